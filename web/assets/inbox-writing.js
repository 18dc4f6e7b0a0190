// Where one writes: Enter, files, quick replies, emoji, and what is typed after a slash.

import { all, announce, ask, show } from "./api.js";
import { at, attempt, attemptIn, dialog, dropping, field, filtered, glyph, make, may, open, pictured, say } from "./inbox-parts.js";
import { does, mayAnswer, opened, openedId, send, signal, size } from "./inbox-thread.js";
import { suggesting } from "./suggest.js";

/** @typedef {import("./inbox-parts.js").Values} Values */

const EMOJI = "😀 😂 😊 😍 😎 😉 🙂 🙃 😅 😢 😭 😡 🤔 😴 🤗 😱 👍 👎 👏 🙏 👋 💪 🤝 👌 ❤️ 💔 🎉 🎁 🔥 ⭐ ✅ ❌ ❓ ❗ 💡 📎 📞 📷 🛒 🏠".split(" ");
/** Where what is not sent yet is kept. */
const DRAFTS = "deskfold-inbox:";
/** That one types is said so often, in milliseconds. */
const SAID = 4000;
/** Makes a ticket of the chat. */
const TICKET = "/ticket";

const words = /** @type {HTMLTextAreaElement} */ (document.getElementById("words"));
/** The quick reply that is in what is written. @type {Values | undefined} */
let reply;
/** @type {Values[] | undefined} */
let replies;
/** What each kind of channel can. @type {Promise<Values[]> | undefined} */
let kinds;
/** What the channel of the open chat can. @type {Values | undefined} */
let can;
let typedAt = 0;

function grow() {
  words.style.height = "auto";
  words.style.height = `${Math.min(words.scrollHeight + 2, 220)}px`;
  const left = can ? can.max_text - [...words.value].length : Infinity;
  at("left").textContent = left < 200 ? `${say("left")}: ${left}` : "";
  at("left").classList.toggle("fault", left < 0);
}

/** @param {string} value */
function set(value) {
  words.value = value;
  kept();
}

function kept() {
  const id = openedId();
  if (id && words.value.trim()) sessionStorage.setItem(DRAFTS + id, words.value);
  else if (id) sessionStorage.removeItem(DRAFTS + id);
  if (!words.value.trim()) reply = undefined;
  const label = reply && follows(reply);
  at("with-reply").hidden = !label;
  at("with-reply").textContent = label || "";
  grow();
}

/** What will happen by a quick reply once it is sent. @param {Values} reply */
const follows = (reply) => [reply.label_name && `${say("label")}: ${reply.label_name}`, ...(reply.attachments ?? []).map((/** @type {Values} */ one) => one.name)].filter(Boolean).join(" · ");

/**
 * Another chat is open, or the same one can do something else.
 * @param {Values | undefined} chat
 * @param {boolean} isNew
 */
export async function changed(chat, isNew) {
  if (!isNew) return;
  reply = undefined;
  can = undefined;
  words.value = (chat && sessionStorage.getItem(DRAFTS + chat.id)) ?? "";
  if (!chat) return;
  kept();
  kinds ??= may("channel.read") ? ask("GET", "/v1/channel_kinds").then((told) => told.data, () => []) : Promise.resolve([]);
  const known = await kinds;
  if (chat.id !== opened()?.id) return;
  const medium = chat.medium === "facebook" ? "messenger" : chat.medium;
  can = known.find((one) => one.kind === medium);
  at("pick").hidden = !takesFiles();
  grow();
}

const takesFiles = () => may("upload.create") && can?.files !== false;

async function submit() {
  const body = words.value.trim();
  if (!mayAnswer()) return;
  if (body === TICKET || body.startsWith(`${TICKET} `)) {
    set("");
    await ticket(body.slice(TICKET.length).trim());
    return;
  }
  const attachments = reply?.attachments ?? [];
  if (!body && !attachments.length) return;
  const used = reply?.id;
  set("");
  await sendAll(body, attachments, used);
}

/**
 * Sends words and files as one message, or one after the other where the channel takes no more at once.
 * @param {string} body
 * @param {Values[]} attachments
 * @param {string} [used] the quick reply that it was made from
 */
async function sendAll(body, attachments, used) {
  const most = can?.max_files ?? Infinity;
  const apart = attachments.length > most || (attachments.length > 0 && [...body].length > (can?.max_caption ?? Infinity));
  if (!apart) return send(body, attachments, used);
  if (body) await send(body, [], used);
  for (let from = 0; from < attachments.length; from += most) await send("", attachments.slice(from, from + most), body ? undefined : used);
}

/** @param {string} [title] */
export async function ticket(title) {
  const done = await does("convert_to_ticket", title ? { title } : {});
  if (done && !done.events.length) at("fault").textContent = say("ticket-nothing");
  else if (done) announce("saved");
}

/** Puts something where the cursor is. @param {string} text */
function insert(text) {
  words.setRangeText(text, words.selectionStart, words.selectionEnd, "end");
  kept();
  words.focus();
}

/* Quick replies. */

async function known() {
  if (replies || !may("quick_reply.read")) return replies ?? [];
  replies = await all("/v1/quick_replies?limit=200&sort=name");
  return replies;
}

/** The word before the cursor, by which a reply is found. */
const word = () => words.value.slice(0, words.selectionStart).match(/\S+$/)?.[0] ?? "";

/** @param {string} text */
const beginning = (text) => (text.length > 90 ? `${text.slice(0, 89)}…` : text);

async function offers() {
  const typed = word();
  const bare = typed.replace(/^\//, "").toLocaleLowerCase();
  // A slash alone offers everything; without one, a word must look like a shortcut.
  if (!typed || (bare.length < 2 && !typed.startsWith("/"))) return [];
  const found = (await known()).filter((one) => one.name.toLocaleLowerCase().replace(/^\//, "").startsWith(bare)).slice(0, 8);
  // Who writes nothing but a slash with letters, or a whole shortcut, means what is offered: Enter takes it, and sends no letters.
  const alone = words.value.trim() === typed;
  const means = (/** @type {string} */ name) => alone && (typed.startsWith("/") || name.toLocaleLowerCase().replace(/^\//, "") === bare);
  const made = found.map((one) => ({ value: one, label: one.name, hint: beginning(one.text), meant: means(one.name) }));
  const makes = typed.startsWith("/") && words.value.startsWith("/") && TICKET.startsWith(typed) && mayConvert();
  return makes ? [...made, { value: TICKET, label: TICKET, hint: say("ticket-make"), meant: alone }] : made;
}
const mayConvert = () => may("conversation.convert_to_ticket") && may("ticket.open");

/** @param {Values} one @param {boolean} inPlace whether the word before the cursor goes */
function use(one, inPlace) {
  const end = words.selectionStart;
  const begin = inPlace ? end - word().length : end;
  words.setRangeText(one.text, begin, inPlace ? end : words.selectionEnd, "end");
  reply = one;
  kept();
  words.focus();
}

const shut = dropping(at("rocket"), at("replies"), async () => {
  field("replies-find").value = "";
  field("replies-find").focus();
  await attempt(list);
});

async function list() {
  const sought = field("replies-find").value.trim().toLocaleLowerCase();
  const found = (await known()).filter((one) => `${one.name} ${one.text}`.toLocaleLowerCase().includes(sought)).slice(0, 50);
  const rows = found.map((one) => {
    const pick = make("button", { type: "button", class: "pick-reply" }, make("strong", { dir: "auto" }, one.name), make("span", { dir: "auto" }, beginning(one.text)), one.label_name && make("span", { class: "tag" }, one.label_name));
    pick.addEventListener("click", () => {
      shut(false);
      use(one, false);
    });
    const change = may("quick_reply.edit") && pictured("pencil", `${say("reply-change")}: ${one.name}`, () => asked(one));
    const remove = may("quick_reply.archive") && pictured("basket", `${say("reply-delete")}: ${one.name}`, () => removed(one));
    return make("li", {}, pick, change, remove);
  });
  at("replies-list").replaceChildren(...(rows.length ? rows : [make("li", { class: "hint" }, say("replies-none"))]));
}

/** @param {Values} one */
async function removed(one) {
  if (!confirm(`${say("reply-delete")}: ${one.name}?`)) return;
  await attempt(() => ask("POST", `/v1/quick_replies/${one.id}/archive`, {}));
  replies = undefined;
  if (reply?.id === one.id) reply = undefined;
  await attempt(list);
}

/** Asks what a quick reply says; of one that there is, what it says now. @param {Values} [one] */
async function asked(one) {
  const place = dialog("reply-asked");
  shut(false);
  at("reply-title").textContent = say(one ? "reply-change" : "reply-new");
  field("reply-name").value = one?.name ?? "";
  field("reply-text").value = one?.text ?? words.value;
  field("reply-label").value = one?.label_name ?? "";
  place.dataset.id = one?.id ?? "";
  open(place);
  const labels = may("label.read") ? await attempt(() => all("/v1/labels?limit=200")) : [];
  at("reply-labels").replaceChildren(...(labels ?? []).map((label) => make("option", { value: label.name })));
}

/** The label of this name; made where there is none. @param {string} name */
async function labelled(name) {
  if (!name) return null;
  const found = await ask("GET", `/v1/labels?limit=1&${filtered({ field: "name", op: "eq", value: name })}`);
  if (found.data[0]) return found.data[0].id;
  return (await ask("POST", "/v1/labels", { name })).id;
}

function saves() {
  const place = dialog("reply-asked");
  return attemptIn(place, async () => {
    const label = await labelled(field("reply-label").value.trim());
    const body = { name: field("reply-name").value.trim(), text: field("reply-text").value, label };
    if (place.dataset.id) await ask("PATCH", `/v1/quick_replies/${place.dataset.id}`, body);
    else await ask("POST", "/v1/quick_replies", label ? body : { name: body.name, text: body.text });
    replies = undefined;
    announce("saved");
  });
}

/* Files. */

/** @type {File[]} */
let chosen = [];

/** Asks whether these are to be sent. @param {File[]} files */
function confirmed(files) {
  if (!files.length || !mayAnswer()) return;
  if (!takesFiles()) {
    at("fault").textContent = say("files-none");
    return;
  }
  const large = can && files.find((file) => file.size > can?.max_file_bytes);
  chosen = files;
  filesShown();
  field("files-words").value = words.value;
  open(dialog("files-asked"));
  if (large) /** @type {Element} */ (dialog("files-asked").querySelector(".fault")).textContent = `${say("files-large")}: ${large.name}`;
}

function filesShown() {
  const rows = chosen.map((file) => {
    const leave = pictured("cross", `${say("remove")}: ${file.name}`, () => {
      chosen = chosen.filter((other) => other !== file);
      if (chosen.length) filesShown();
      else dialog("files-asked").close();
    });
    return make("li", {}, make("div", {}, glyph("file"), " ", make("span", { dir: "auto" }, file.name), " ", make("small", {}, size(file.size))), leave);
  });
  at("files-list").replaceChildren(...rows);
}

function sends() {
  const files = chosen;
  const of = openedId();
  return attemptIn(dialog("files-asked"), async () => {
    const attachments = [];
    for (const file of files) {
      const sent = await ask("POST", `/v1/uploads?name=${encodeURIComponent(file.name)}`, file);
      const kept = await ask("GET", `/v1/uploads/${sent.id}`);
      attachments.push({ upload_id: sent.id, name: kept.name, media_type: kept.media_type, size: kept.size });
    }
    if (of !== openedId()) return;
    const body = field("files-words").value.trim();
    const used = reply;
    set("");
    await sendAll(body, [...(used?.attachments ?? []), ...attachments], used?.id);
  });
}

/** Begins. */
export function begin() {
  const form = at("writing");
  const picker = field("files");
  const list_ = suggesting(words, at("offers"), {
    find: offers,
    choose: ({ value }) => {
      if (value === TICKET) {
        set("");
        ticket();
      } else use(value, true);
    },
    pause: 0,
  });
  words.addEventListener("input", () => {
    kept();
    if (Date.now() - typedAt > SAID && words.value) {
      typedAt = Date.now();
      signal("typing");
    }
  });
  words.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      list_.leave();
      submit().catch(show);
    } else if (event.key === "Escape") at("thread").focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    list_.leave();
    submit().catch(show);
    words.focus();
  });

  at("pick").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    confirmed([...(picker.files ?? [])]);
    picker.value = "";
  });
  words.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    confirmed(files);
  });
  const thread = at("thread");
  const over = (/** @type {boolean} */ is) => thread.classList.toggle("is-over", is);
  thread.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files") || !mayAnswer()) return;
    event.preventDefault();
    over(true);
  });
  thread.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node) || !thread.contains(relatedTarget)) over(false);
  });
  thread.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    over(false);
    confirmed([...event.dataTransfer.files]);
  });
  for (const [id, done] of /** @type {[string, () => Promise<void>][]} */ ([["files-asked", sends], ["reply-asked", saves]])) {
    dialog(id).querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      done().catch(show);
    });
  }

  at("reply-new").hidden = !may("quick_reply.create");
  at("reply-new").addEventListener("click", () => asked());
  field("replies-find").addEventListener("input", () => attempt(list));
  at("rocket").hidden = !may("quick_reply.read");

  const faces = at("faces");
  const shutFaces = dropping(at("smile"), faces, () => /** @type {HTMLElement | null} */ (faces.querySelector("button"))?.focus());
  EMOJI.forEach((emoji, place) => {
    const face = make("button", { type: "button", tabindex: place ? "-1" : "0" }, emoji);
    face.addEventListener("click", () => {
      shutFaces(false);
      insert(emoji);
    });
    faces.append(face);
  });
  faces.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 8, ArrowUp: -8 };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    const all = /** @type {HTMLElement[]} */ ([...faces.children]);
    const other = step && all[all.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + step];
    if (!other) return;
    event.preventDefault();
    for (const face of all) face.tabIndex = face === other ? 0 : -1;
    other.focus();
  });
}
