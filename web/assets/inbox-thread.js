// The chat that is open: what was said, how far it has come, who may answer, and who else is here.

import { ask, isGone, reach, show, text as textOf } from "./api.js";
import { times } from "./times.js";
import { at, attempt, called, command, dropping, field, filtered, glyph, later, make, may, me, mention, nameOf, newId, say, through } from "./inbox-parts.js";
import { suggesting } from "./suggest.js";

/** @typedef {import("./inbox-parts.js").Values} Values */
/** @typedef {{ said: Values, place: [string, number], row: HTMLElement }} Message as it is shown: `place` says where in the order */

/** So many messages at a time. */
const PAGE = 50;
/** A signal lasts so long, in milliseconds, and is said anew while it does. */
const LASTS = 30000;
const AGAIN = 20000;
const TYPING = 5000;
/** How the deliveries are drawn. */
const DRAWN = new Map([["queued", "clock"], ["sent", "check"], ["delivered", "checks"], ["read", "checks"], ["failed", "alert"], ["uncertain", "alert"]]);
/** The place of what is sent just now: behind everything. @type {[string, number]} */
const LAST = ["~", 0];
/** Those after which a person decides. */
const DOUBTED = ["failed", "uncertain"];
/** By what one answers with an emoji, and with which. */
const REACTS = ["telegram", "whatsapp", "instagram", "facebook", "api"];
const REACTIONS = "👍 ❤️ 😊 🙏 🎉 😢".split(" ");

/** @type {Values | undefined} */
let chat;
/** The one that is asked for; the answer of another comes too late. @type {string | undefined} */
let wanted;
/** @type {Map<string, Message>} */
let messages = new Map();
/** @type {string | null} */
let further = null;
/** Who does what in it. @type {Map<string, { signal: string, kind: string, until: number }>} */
let others = new Map();
/** Who is responsible, as the last event said it: it is heeded before the list knows. */
let mine = false;
/** Whether somebody else was made responsible while one looked. */
let given = false;
/** Whether one could answer when it was last shown. */
let could = false;
/** @type {(chat: Values | undefined, isNew: boolean) => void} */
let changed = () => {};

const list = at("messages");
const scroll = at("scroll");

/** The chat that is open. */
export const opened = () => chat;
export const openedId = () => wanted;

/** Whether whoever looks may answer now. */
export const mayAnswer = () => chat?.status === "open" && may("conversation.send_message") && (mine || may("conversation.reply_any"));

/* What was said. */

/** Text with the addresses in it as links. @param {string} words */
function linked(words) {
  const parts = words.split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]}'])/);
  return parts.map((part, place) => (place % 2 ? make("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part));
}

/** @param {number | undefined} bytes */
export function size(bytes) {
  if (bytes === undefined || bytes === null) return "";
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const power = Math.min(Math.floor(Math.log(Math.max(bytes, 1)) / Math.log(1000)), 3);
  const format = { style: "unit", unit: units[power] ?? "byte", unitDisplay: power ? "short" : "long", maximumFractionDigits: power > 1 ? 1 : 0 };
  return new Intl.NumberFormat(document.documentElement.lang, /** @type {Intl.NumberFormatOptions} */ (format)).format(bytes / 1000 ** power);
}

/** @param {Values} attachment */
function file(attachment) {
  const path = `/v1/uploads/${encodeURIComponent(attachment.upload_id)}`;
  const way = make("a", { class: "file", href: `${path}/content`, target: "_blank", rel: "noopener" });
  if (/^image\/(jpeg|png|webp)$/.test(attachment.media_type ?? "")) {
    const picture = /** @type {HTMLImageElement} */ (make("img", { src: `${path}/thumbnail`, alt: attachment.name, loading: "lazy" }));
    picture.addEventListener("error", () => picture.replaceWith(glyph("file"), attachment.name));
    way.append(picture);
  } else way.append(glyph("file"), make("span", { dir: "auto" }, attachment.name), make("small", {}, size(attachment.size)));
  return way;
}

/** How far a message of ours has come. @param {Values} said */
function delivery(said) {
  if (said.direction !== "sent" || !said.delivery) return [];
  const told = make("span", { class: `delivery is-${said.delivery}` }, glyph(DRAWN.get(said.delivery) ?? "clock"), " ", say(`delivery-${said.delivery}`));
  if (!DOUBTED.includes(said.delivery)) return [told];
  if (said.delivery_error) told.append(": ", make("span", { dir: "auto" }, said.delivery_error));
  if (!mayAnswer()) return [told];
  const again = make("button", { type: "button", class: "link" }, say("send-again"));
  again.addEventListener("click", () => send(said.body, said.attachments, undefined, said.message_id));
  return [told, " ", again];
}

/** With what emoji a message is answered, and what one answers it with. @param {Values} said */
function reactions(said) {
  const all = [...(said.reactions ?? []), said.own_reaction].filter(Boolean);
  const told = all.length ? [" ", make("span", { class: "reactions" }, all.join(" "))] : [];
  if (said.own_reaction_error) told.push(" ", make("span", { class: "fault", dir: "auto" }, `${say("not-reacted")}: ${said.own_reaction_error}`));
  if (said.local || said.deleted_at || !REACTS.includes(chat?.medium) || !mayAnswer() || !may("conversation.react")) return told;
  const choose = make("button", { type: "button", class: "link", "aria-label": say("react"), title: say("react") }, "☺");
  choose.addEventListener("click", () => {
    const choices = REACTIONS.map((emoji) => {
      const one = make("button", { type: "button", class: "link" }, emoji);
      const reaction = emoji === said.own_reaction ? null : emoji;
      one.addEventListener("click", () => does("react", { message_id: said.message_id, reaction }));
      return one;
    });
    choose.replaceWith(...choices);
    choices[0]?.focus();
  });
  return [...told, " ", choose];
}

/** @param {Values} said */
function row(said) {
  const own = said.direction === "sent";
  const name = said.author_name ?? (own ? "" : chat && called(chat));
  const author = make("span", { class: "author", dir: "auto" }, name ?? "");
  const gone = said.deleted_at && make("div", { class: "bubble" }, make("p", { class: "body gone" }, say("deleted")));
  const body = gone || (said.body && make("div", { class: "bubble" }, make("p", { class: "body", dir: "auto" }, ...linked(said.body))));
  const edited = said.edited_at && !gone ? [" ", say("edited")] : [];
  const files = said.attachments?.length > 0 && make("div", { class: "files" }, ...said.attachments.map(file));
  const foot = make("p", { class: "foot" }, author, " ", make("time", { datetime: said.written_at }), ...edited, ...reactions(said), " ", ...delivery(said));
  const made = make("li", { class: `said ${own ? "ours" : "theirs"}`, "data-id": said.message_id }, body, files, foot);
  times(made);
  if (own && !said.author_name && said.author_kind === "user" && said.author_id) {
    nameOf(said.author_id).then((known) => (author.textContent = known));
  } else if (own && !name && said.author_kind) author.textContent = say(`by-${said.author_kind === "bot" ? "bot" : "program"}`);
  return made;
}

/** A time without the Z at its end: one that is told more exactly sorts right. @param {string} time */
const sorting = (time) => time.replace(/Z$/, "");
/** @param {[string, number]} one @param {[string, number]} other */
const follows = (one, other) => sorting(one[0]) > sorting(other[0]) || (one[0] === other[0] && one[1] > other[1]);

/** Shows a message where it belongs: in place of itself where it is there already. @param {Values} said @param {[string, number]} place */
function put(said, place) {
  const known = messages.get(said.message_id);
  const made = row(said);
  if (known && (said.local || !known.said.local)) {
    known.row.replaceWith(made);
    messages.set(said.message_id, { said, place: known.place, row: made });
    return;
  }
  // What was shown as it was sent now has its place.
  known?.row.remove();
  /** @type {Element | null} */
  let before = null;
  for (let one = list.lastElementChild; one; one = one.previousElementSibling) {
    const other = messages.get(/** @type {HTMLElement} */ (one).dataset.id ?? "");
    if (!other || !follows(other.place, place)) break;
    before = one;
  }
  list.insertBefore(made, before);
  messages.set(said.message_id, { said, place, row: made });
}

/** What the visitor answered before the chat stands before it. */
const before = make("dl", { class: "told before", hidden: true });
list.before(before);

/** @param {Values} chat */
function answered({ answers = [] }) {
  before.hidden = !answers.length;
  const asked = (/** @type {Values} */ { type, label }) => label ?? say(`field-${type}`);
  before.replaceChildren(...answers.map((/** @type {Values} */ one) => make("div", {}, make("dt", { dir: "auto" }, asked(one)), make("dd", { dir: "auto" }, one.answer))));
}

const isAtEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
const toEnd = () => {
  scroll.scrollTop = scroll.scrollHeight;
};

/** Reads what was said before the first message that is shown. */
async function older() {
  const of = wanted;
  const page = further && (await attempt(() => ask("GET", further ?? "")));
  if (!page || of !== wanted) return;
  const height = scroll.scrollHeight;
  for (const said of page.data) put(said, [said.written_at, said.written_position]);
  further = page.next;
  at("older").hidden = !further;
  scroll.scrollTop += scroll.scrollHeight - height;
}

/* Which chat. */

/** Opens a chat; without an id none is open. @param {string | undefined} id */
export async function display(id) {
  if (wanted && wanted !== id) signal("left");
  wanted = id;
  chat = undefined;
  messages = new Map();
  others = new Map();
  list.replaceChildren();
  at("nothing").hidden = Boolean(id);
  at("open").hidden = true;
  at("fault").textContent = "";
  changed(undefined, true);
  if (!id) return;
  try {
    const [found, page] = await Promise.all([
      ask("GET", `/v1/conversations/${id}`),
      ask("GET", `/v1/conversations/${id}/messages?newest=true&limit=${PAGE}`),
    ]);
    if (id !== wanted) return;
    at("open").hidden = false;
    further = page.next;
    at("older").hidden = !further;
    take(found, true);
    for (const said of page.data.reverse()) put(said, [said.written_at, said.written_position]);
    toEnd();
    looks();
    read();
  } catch (error) {
    if (id !== wanted) return;
    wanted = undefined;
    at("nothing").hidden = false;
    changed(undefined, true);
    show(error);
  }
}

/** @param {Values} found @param {boolean} isNew */
function take(found, isNew) {
  chat = found;
  responsible(found.assignee_id, isNew);
  answered(found);
  changed(found, isNew);
}

/** @param {string | null} whose @param {boolean} isNew */
function responsible(whose, isNew) {
  if (isNew || !whose || whose === me) given = false;
  else given ||= mine;
  mine = whose === me;
  head();
}

/** Reads the chat anew, after something has happened to it. */
const renew = later(30, async () => {
  const id = wanted;
  if (!id || !chat) return;
  try {
    const found = await ask("GET", `/v1/conversations/${id}`);
    if (id === wanted) take(found, false);
  } catch (error) {
    if (id !== wanted) return;
    if (isGone(error)) gone(id);
    else mention(error);
  }
});
export { renew };

/** The chat is seen no longer. @param {string} id */
export function gone(id) {
  if (id !== wanted) return;
  display(undefined);
  at("fault").textContent = say("gone");
}

/** What stands above, and whether one can answer. */
function head() {
  if (!chat) return;
  const { status, assignee_id: whose, assignee_name: name } = chat;
  const closed = status === "closed";
  const whom = called(chat);
  at("whom").textContent = whom;
  const about = [make("span", { class: "by" }, through(chat))];
  const rest = [chat.identity?.value, chat.visitor?.country, chat.visitor?.path].filter((part) => part && part !== whom);
  if (rest.length) about.push(make("span", { dir: "auto" }, rest.join(" · ")));
  about.push(make("span", { class: "responsible" }, whose ? `${say("responsible")}: ${whose === me ? say("me") : (name ?? "…")}` : say("nobody")));
  if (chat.rating) about.push(make("span", {}, `★ ${chat.rating}`));
  at("about").replaceChildren(...about.flatMap((part) => [part, " "]));
  const take = at("take");
  take.hidden = closed || Boolean(whose) || !may("conversation.claim");
  at("assign").hidden = !may("conversation.assign");
  at("assign").textContent = say(whose ? "assign-other" : "assign");
  const close = at("close-chat");
  close.hidden = !closed && !may("conversation.close");
  close.textContent = say(closed ? "closed-now" : "close");
  close.toggleAttribute("disabled", closed);
  close.classList.toggle("is-closed", closed);
  answerable();
}

/** Shows where one writes, or why one cannot. */
function answerable() {
  if (!chat) return;
  const can = mayAnswer();
  const why = at("cannot-why");
  const act = at("cannot-do");
  const had = at("writing").contains(document.activeElement);
  at("writing").hidden = !can;
  at("cannot").hidden = can;
  // Who may answer may send again.
  if (can !== could) for (const { said, place } of messages.values()) if (DOUBTED.includes(said.delivery) || REACTS.includes(chat.medium)) put(said, place);
  could = can;
  if (can) return;
  const name = chat.assignee_name ?? "…";
  /** @type {[string, string, boolean]} */
  const [words, does, offered] =
    chat.status === "closed" ? [say("is-closed"), "reopen", may("conversation.reopen")]
    : !may("conversation.send_message") ? [say("no-answers"), "", false]
    : chat.assignee_id ? [`${say(given ? "given" : "answers")} ${name}`, "", false]
    : [say("take-first"), "claim", may("conversation.claim")];
  if (why.textContent !== words) why.textContent = words;
  act.hidden = !offered;
  act.dataset.does = does;
  act.textContent = say(does === "claim" ? "take" : "reopen");
  if (had) at("thread").focus();
}

/* What is done in it. */

/** @param {string} name @param {Values} [body] */
export async function does(name, body) {
  const id = wanted;
  if (!id) return undefined;
  const done = await attempt(() => command(id, name, body));
  if (done && id === wanted) renew();
  return done;
}

/**
 * Sends a message, and shows it at once. What is sent again has the id it has, so that nobody gets it twice.
 * @param {string} body
 * @param {Values[]} attachments
 * @param {string} [reply] the quick reply that it was made from
 * @param {string} [again]
 */
export async function send(body, attachments, reply, again) {
  const of = wanted;
  if (!of) return;
  const message_id = again ?? newId();
  const known = messages.get(message_id);
  const anew = { message_id, body, attachments, direction: "sent", author_kind: "user", author_id: me, written_at: new Date().toISOString(), local: true };
  put({ ...(known?.said ?? anew), delivery: "queued", delivery_error: null }, known?.place ?? LAST);
  toEnd();
  try {
    await command(of, "send_message", { message_id, body, attachments, quick_reply: reply });
  } catch (error) {
    const now = of === wanted && messages.get(message_id);
    // It may have been taken in although nobody could say so.
    if (now && (now.said.local || known)) put({ ...now.said, delivery: "failed" }, now.place);
    show(error);
  }
}

/** Says how far one has read, if one sees it. */
const read = later(400, async () => {
  const id = wanted;
  if (!id || !chat?.unread_count || document.visibilityState !== "visible" || !may("conversation.mark_read")) return;
  const last = [...messages.values()].findLast(({ said }) => !said.local);
  if (last) await command(id, "mark_read", { up_to: last.said.message_id }).catch(mention);
});
export { read };

/* What happens in it. */

/** The end of what an event of a message is called, and how far it has come by that. */
const COME = new Map([["sent", "sent"], ["delivered", "delivered"], ["read", "read"], ["failed", "failed"], ["uncertain", "uncertain"]]);

/**
 * What becomes of a message by an event.
 * @param {string} what
 * @param {Values} data
 * @param {string} when
 * @returns {Values | undefined}
 */
function become(what, data, when) {
  switch (what) {
    case "message_edited":
      return { body: data.body, edited_at: data.edited_at };
    case "message_deleted":
      return { body: "", attachments: [], deleted_at: when };
    case "message_reactions_received":
      return { reactions: data.reactions };
    case "message_reaction_queued":
      return { own_reaction: data.reaction ?? null, own_reaction_error: null };
    case "message_reaction_failed":
      return { own_reaction: null, own_reaction_error: data.error };
    default:
      return undefined;
  }
}

/** Takes in an event of the stream. @param {Values} event */
export function hear(event) {
  if (event.stream !== `conversation-${wanted}` || !chat) return;
  const { data, type, position, occurred_at } = event;
  const what = type.replace("conversation.", "");
  const known = messages.get(data.message_id);
  // What the page was told is not older than what it is told.
  if (known && !known.said.local && known.said.position >= position) return;
  const end = isAtEnd();
  if (what === "message_received" || (what === "message_queued" && !(data.again && known))) {
    const own = what === "message_queued";
    const by = own ? { author_kind: event.actor.kind, author_id: event.actor.id, delivery: "queued" } : {};
    const said = { ...data, attachments: data.attachments ?? [], direction: own ? "sent" : "received", written_at: occurred_at, position, ...by };
    put(said, [occurred_at, position]);
    if (!own) others.delete("visitor");
    chat.unread_count += own ? 0 : 1;
    typing();
    if (end || (own && event.actor.id === me)) toEnd();
    read();
  } else if (known) {
    const come = what === "message_queued" ? "queued" : COME.get(what.replace("message_", ""));
    const now = become(what, data, occurred_at);
    if (now) put({ ...known.said, position, ...now }, known.place);
    else if (come) put({ ...known.said, position, delivery: come, delivery_error: data.error ?? data.reason ?? null, body: data.body ?? known.said.body }, known.place);
    if (end) toEnd();
  }
  if (what === "assigned" || what === "unassigned") {
    chat.assignee_id = data.to ?? null;
    chat.assignee_name = null;
    responsible(chat.assignee_id, false);
    const id = wanted;
    if (data.to && data.to !== me) {
      nameOf(data.to).then((name) => {
        if (id !== wanted || !chat || chat.assignee_id !== data.to) return;
        chat.assignee_name = name;
        head();
      });
    }
  } else if (what === "closed" || what === "reopened") {
    chat.status = what === "closed" ? "closed" : "open";
    head();
  }
  if (!what.startsWith("message_") || what === "message_received") {
    reach(String(position));
    renew();
  }
}

/* Who else is here. */

/** Takes in what somebody does at this moment. @param {Values} told */
export function shown({ conversation, signal: what, kind, by }) {
  if (conversation !== wanted || by === me) return;
  const key = kind === "user" ? by : "visitor";
  if (what === "left") others.delete(key);
  else others.set(key, { signal: what, kind, until: Date.now() + (what === "typing" ? TYPING * 1.5 : LASTS) });
  typing();
}

async function typing() {
  const of = wanted;
  const now = Date.now();
  for (const [by, { until }] of others) if (until < now) others.delete(by);
  const told = await Promise.all(
    [...others].map(async ([by, { signal: what, kind }]) => {
      const name = kind === "user" ? await nameOf(by) : chat ? called(chat) : "";
      return what === "typing" || kind === "user" ? `${name} ${say(what === "typing" ? "types" : "looks")}` : "";
    }),
  );
  if (of !== wanted) return;
  const words = told.filter(Boolean).join(" · ");
  if (at("typing").textContent !== words) at("typing").textContent = words;
}
setInterval(typing, 1000);

/** Says what one does in the chat. @param {"typing" | "looking" | "left"} what */
export function signal(what) {
  if (!wanted) return;
  // Whoever hears it not has missed nothing.
  ask("POST", "/v1/inbox/signals", { conversation: wanted, signal: what }).catch(() => undefined);
}
const looks = () => document.visibilityState === "visible" && signal("looking");
setInterval(looks, AGAIN);

/**
 * Begins.
 * @param {(chat: Values | undefined, isNew: boolean) => void} tell called with the chat as often as it changes
 */
export function begin(tell) {
  changed = tell;
  at("take").addEventListener("click", () => does("claim"));
  at("close-chat").addEventListener("click", () => does("close"));
  at("cannot-do").addEventListener("click", async () => {
    if (await does(at("cannot-do").dataset.does ?? "")) setTimeout(() => !at("writing").hidden && at("words").focus(), 200);
  });
  at("older").addEventListener("click", older);
  scroll.addEventListener("scroll", () => scroll.scrollTop < 40 && !at("older").hidden && older());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") {
      looks();
      read();
    } else signal("left");
  });
  const text = field("assign-text");
  const drop = dropping(at("assign"), at("assign-drop"), () => {
    text.value = "";
    text.focus();
    options.look();
  });
  const options = suggesting(text, at("assign-options"), {
    find: (typed) => eligible(typed.trim().toLocaleLowerCase()),
    choose: async ({ value }) => {
      drop(false);
      await does("assign", { assignee: value });
    },
    none: say("none-eligible"),
  });
}

/** Those who may be given the chat: operators of its channel, or all colleagues where it has none. @param {string} typed */
async function eligible(typed) {
  if (!chat) return [];
  /** @type {Values[]} */
  const filter = [{ field: "status", op: "eq", value: "active" }];
  if (chat.channel_id) {
    const { operators } = await ask("GET", `/v1/channels/${chat.channel_id}`);
    if (!operators.length) return [];
    filter.push({ field: "id", op: "in", value: operators.map((/** @type {Values} */ one) => one.id) });
  }
  if (typed) filter.push({ field: "name", op: "contains", value: typed });
  const found = await ask("GET", `/v1/users?limit=20&${filtered(filter)}`);
  const fit = found.data.filter((/** @type {Values} */ user) => user.id !== chat?.assignee_id);
  return fit.map((/** @type {Values} */ user) => ({ value: user.id, label: user.id === me ? `${user.name} (${say("me")})` : user.name, hint: textOf(`presence-${user.presence}`) }));
}
