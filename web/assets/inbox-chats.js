// The list of chats: what it is narrowed by, how many there are of each, and only as much of it as is seen.

import { all, ask, show } from "./api.js";
import { times } from "./times.js";
import { at, called, field, filtered, glyph, later, make, may, me, mention, say, tag, through } from "./inbox-parts.js";

/** @typedef {import("./inbox-parts.js").Values} Values */

/** So many chats at a time. */
const PAGE = 40;
/** So many chats are looked for in what was written in them. */
const FOUND = 50;
/** Where more than so many have changed at once, the list is read anew. */
const MOST = 100;
/** What the list is narrowed by, as the address says it. */
const NAMES = ["state", "unread", "unanswered", "uncertain", "who", "channel", "linked", "label", "q"];

/** @param {string} name @param {string} op @param {unknown} [value] */
const is = (name, op, value) => ({ field: name, op, value });

/** What is chosen; the address says it too, so that it can be kept and sent. @type {URLSearchParams} */
let chosen = new URLSearchParams();
/** @type {Values[]} */
let chats = [];
/** @type {string | null} */
let next = null;
let turn = 0;
/** @type {string | undefined} */
let current;
/** @type {(id: string) => void} */
let opens = () => {};
/** The filter of what is shown. @type {Values} */
let asked = { all: [] };

/** @param {string} name */
const of = (name) => chosen.get(name) ?? "";
const state = () => of("state") || "open";

/** What an address may say of each; whatever else it says counts for nothing. @type {Record<string, RegExp>} */
const SENSE = {
  state: /^(open|closed|all)$/,
  who: /^(me|nobody|[0-9A-HJKMNP-TV-Z]{26})$/i,
  channel: /^(by:[a-z_]+|[0-9A-HJKMNP-TV-Z]{26})$/i,
  linked: /^(yes|no)$/,
  label: /^[0-9A-HJKMNP-TV-Z]{26}$/i,
};

/** The conditions of one part of what is chosen. @param {string} name @param {string} value */
function condition(name, value) {
  if (name === "state") return value === "all" ? [] : [is("status", "eq", value)];
  if (!value) return [];
  if (name === "who") return [value === "nobody" ? is("assignee_id", "is_null", true) : is("assignee_id", "eq", value === "me" ? me : value)];
  if (name === "channel") return [value.startsWith("by:") ? is("medium", "eq", value.slice(3)) : is("channel_id", "eq", value)];
  if (name === "linked") return [is("contact_id", "is_null", value === "no")];
  if (name === "label") return [is("label_ids", "contains", value)];
  return [is(name, "eq", true)];
}

/**
 * What is typed, as conditions: after an @ whom it is with, else also what was written.
 * @param {string} typed
 * @returns {Promise<Values[]>}
 */
async function sought(typed) {
  const words = typed.replace(/^@/, "").trim();
  if (!words) return [];
  const any = ["contact_name", "visitor.name", "identity.value"].map((name) => is(name, "contains", words));
  if (!typed.startsWith("@")) {
    if (may("search.read")) {
      const found = await ask("GET", `/v1/search?kind=conversation&limit=${FOUND}&q=${encodeURIComponent(words)}`);
      const ids = found.data.flatMap((/** @type {Values} */ group) => group.hits.map((/** @type {Values} */ hit) => hit.id));
      if (ids.length) any.push(is("id", "in", ids));
    } else any.push(is("last_message", "contains", words));
  }
  return [{ any }];
}

/** @param {string[]} without @param {Values[]} seeks */
function conditions(without, seeks) {
  const names = NAMES.filter((name) => name !== "q" && !without.includes(name));
  return [...names.flatMap((name) => condition(name, name === "state" ? state() : of(name))), ...seeks];
}

/** @param {Values} chat */
function row(chat) {
  const unread = chat.unread_count > 0;
  const marks = make("span", { class: "row-marks" });
  marks.append(make("span", { class: "by" }, through(chat)));
  if (chat.assignee_name) marks.append(make("span", { class: "whose" }, chat.assignee_name));
  if (chat.status === "closed") marks.append(make("span", { class: "badge" }, say("closed")));
  if (chat.uncertain) marks.append(make("span", { class: "badge warns" }, glyph("alert"), say("uncertain")));
  marks.append(...chat.labels.map(tag));
  const count = unread && make("span", { class: "count-unread" }, make("span", { class: "unseen" }, `${say("unread")}: `), String(chat.unread_count));
  const waits = !unread && chat.unanswered && make("span", { class: "waits", title: say("unanswered") }, make("span", { class: "unseen" }, say("unanswered")));
  const way = make(
    "a",
    { href: address(chat.id), "aria-current": chat.id === current ? "true" : undefined },
    make("span", { class: "row-top" }, make("strong", {}, make("bdi", {}, called(chat))), make("time", { datetime: chat.active_at })),
    make("span", { class: "row-words" }, make("span", { class: "words", dir: "auto" }, chat.last_message ?? ""), count, waits),
    marks,
  );
  const made = make("li", { "data-id": chat.id, class: unread ? "is-unread" : undefined }, way);
  times(made);
  return made;
}

/** @param {string | undefined} id */
export function address(id) {
  const named = new URLSearchParams(chosen);
  if (id) named.set("chat", id);
  return named.size ? `/inbox?${named}` : "/inbox";
}

const list = at("chats");
const rowOf = (/** @type {string} */ id) => /** @type {HTMLElement | null} */ (list.querySelector(`[data-id="${id}"]`));

function drawn() {
  list.removeAttribute("aria-busy");
  const none = at("none");
  none.hidden = chats.length > 0;
  none.textContent = say(chosen.size ? "none-fits" : "none");
  at("more").hidden = !next;
}

/** Reads the list from its beginning. */
export async function load() {
  const mine = ++turn;
  list.ariaBusy = "true";
  try {
    const seeks = await sought(of("q"));
    const filter = { all: conditions([], seeks) };
    const page = await ask("GET", `/v1/conversations?limit=${PAGE}&${filtered(filter)}`);
    if (mine !== turn) return page.position;
    asked = filter;
    chats = page.data;
    next = page.next;
    list.replaceChildren(...chats.map(row));
    at("list").scrollTop = 0;
    drawn();
    count(seeks);
    return page.position;
  } catch (error) {
    list.removeAttribute("aria-busy");
    show(error);
    return undefined;
  }
}

let reading = false;
/** Reads on where the list ends. */
async function more() {
  if (!next || reading) return;
  reading = true;
  const mine = turn;
  try {
    const page = await ask("GET", next);
    if (mine !== turn) return;
    next = page.next;
    const known = new Set(chats.map((chat) => chat.id));
    const added = page.data.filter((/** @type {Values} */ chat) => !known.has(chat.id));
    chats.push(...added);
    list.append(...added.map(row));
    drawn();
  } catch (error) {
    show(error);
  } finally {
    reading = false;
  }
}

/**
 * Brings up to date what has changed of the list: each of these as it is now, or gone where it fits no more.
 * @param {string[]} ids
 */
export async function renew(ids) {
  if (ids.length > MOST) return load();
  const mine = turn;
  const page = await ask("GET", `/v1/conversations?limit=${ids.length}&${filtered({ all: [asked, is("id", "in", ids)] })}`);
  if (mine !== turn) return;
  const focused = list.contains(document.activeElement) ? document.activeElement?.closest("li")?.dataset.id : undefined;
  for (const id of ids) forget(id);
  for (const chat of page.data) place(chat);
  if (focused) rowOf(focused)?.querySelector("a")?.focus({ preventScroll: true });
  drawn();
  recount();
}

/** @param {string} id */
export function forget(id) {
  chats = chats.filter((chat) => chat.id !== id);
  rowOf(id)?.remove();
}

/** Puts a chat where it belongs, what was written last first; not where the list has not come to yet. @param {Values} chat */
function place(chat) {
  const before = (/** @type {Values} */ other) => other.active_at < chat.active_at || (other.active_at === chat.active_at && other.id < chat.id);
  const found = chats.findIndex(before);
  if (found < 0 && next) return;
  const other = found < 0 ? null : rowOf(chats[found]?.id);
  list.insertBefore(row(chat), other);
  chats.splice(found < 0 ? chats.length : found, 0, chat);
}

/** Marks the chat that is open. @param {string | undefined} id */
export function mark(id) {
  current = id;
  for (const way of list.querySelectorAll("a")) {
    const open = way.closest("li")?.dataset.id === id;
    if (open) way.setAttribute("aria-current", "true");
    else way.removeAttribute("aria-current");
    const of = way.closest("li")?.dataset.id;
    way.setAttribute("href", address(of));
  }
  if (id) rowOf(id)?.scrollIntoView({ block: "nearest" });
}

/** The chat after or before the one that is open. @param {1 | -1} step */
export function step(step) {
  const place = chats.findIndex((chat) => chat.id === current);
  const other = chats[place < 0 ? 0 : place + step];
  if (other) opens(other.id);
  if (step > 0 && place + 5 > chats.length) more();
}

/* How many there are. */

/** @type {Values[]} */
let lastSeeks = [];
const recount = later(500, () => count(lastSeeks));

/** @param {Values[]} filter @param {string} group @returns {Promise<Map<unknown, number>>} */
async function groups(filter, group) {
  const page = await ask("GET", `/v1/conversations?limit=1&group=${group}&${filtered(filter)}`);
  return new Map(page.groups.map((/** @type {Values} */ one) => [one.value, one.count]));
}

/** @param {HTMLElement} button @param {number | undefined} number */
function tells(button, number) {
  const place = /** @type {HTMLElement} */ (button.querySelector(".count"));
  place.textContent = number === undefined ? "" : String(number);
}

/** @param {Map<unknown, number>} counts */
const total = (counts) => [...counts.values()].reduce((sum, one) => sum + one, 0);

/** Says beside each way to narrow the list how many chats it would leave of those in this state. @param {Values[]} seeks */
async function count(seeks) {
  lastSeeks = seeks;
  const mine = turn;
  const base = [...condition("state", state()), ...seeks];
  try {
    const [states, unread, unanswered, who, channels, media, labels, sums, linked, uncertain] = await Promise.all([
      groups(seeks, "status"),
      groups(base, "unread"),
      groups(base, "unanswered"),
      groups(base, "assignee_id"),
      groups(base, "channel_id"),
      groups(base, "medium"),
      groups(base, "label_ids"),
      ask("GET", `/v1/conversations?limit=1&sum=unread_count&${filtered([is("unread", "eq", true)])}`),
      ask("GET", `/v1/conversations?limit=1&count=exact&${filtered([...base, ...condition("linked", "yes")])}`),
      groups(base, "uncertain"),
    ]);
    if (mine !== turn) return;
    const ofState = new Map([["open", states.get("open") ?? 0], ["closed", states.get("closed") ?? 0], ["all", total(states)]]);
    for (const button of buttons("states")) tells(button, ofState.get(button.dataset.state ?? ""));
    /** @type {Record<string, number>} */
    const flags = { unread: unread.get(true) ?? 0, unanswered: unanswered.get(true) ?? 0, mine: who.get(me) ?? 0, nobody: who.get(null) ?? 0, uncertain: uncertain.get(true) ?? 0 };
    for (const button of buttons("flags")) {
      const flag = button.dataset.flag ?? "";
      tells(button, flags[flag]);
      if (flag === "uncertain") button.hidden = !flags.uncertain && !of("uncertain");
    }
    badge(sums.sums.unread_count);
    await offered({ who, channels, media, labels, linked: linked.total, all: total(who) });
  } catch (error) {
    mention(error);
  }
}

/** The badge of the page: how many messages nobody has read. @param {number} unread */
function badge(unread) {
  const place = document.getElementById("unread");
  const number = place?.querySelector(".number");
  if (!place || !number) return;
  place.hidden = !unread;
  number.textContent = unread > 999 ? "999+" : String(unread);
  document.title = document.title.replace(/^\(\d+\+?\) /, "");
  if (unread) document.title = `(${number.textContent}) ${document.title}`;
}

/** @param {string} id @returns {HTMLElement[]} */
const buttons = (id) => [...at(id).querySelectorAll("button")];

/** What channels, colleagues and labels are called. @type {Map<string, string>} */
const names = new Map();
/** @param {string} collection @param {unknown[]} ids */
async function learn(collection, ids) {
  const strange = ids.filter((id) => typeof id === "string" && !names.has(id));
  for (let from = 0; from < strange.length; from += 100) {
    const some = strange.slice(from, from + 100);
    const found = await all(`/v1/${collection}?limit=200&${filtered(is("id", "in", some))}`).catch(() => []);
    for (const one of found) names.set(one.id, one.name);
    for (const id of some) if (!names.has(/** @type {string} */ (id))) names.set(/** @type {string} */ (id), "…");
  }
}

/**
 * Fills what one chooses from, each with how many it leaves.
 * @param {{ who: Map<any, number>, channels: Map<any, number>, media: Map<any, number>, labels: Map<any, number>, linked: number, all: number }} counts
 */
async function offered({ who, channels, media, labels, linked, all: whole }) {
  const mine = turn;
  const known = may("label.read") ? await all("/v1/labels?limit=200") : [];
  await Promise.all([learn("users", [...who.keys(), of("who")].filter((id) => !["me", "nobody", ""].includes(id))), learn("channels", [...channels.keys()])]);
  if (mine !== turn) return;
  const named = (/** @type {Map<any, number>} */ counts) =>
    [...counts].filter(([id]) => id !== null).map(([id, count]) => /** @type {[string, string, number]} */ ([id, names.get(id) ?? "…", count])).sort((a, b) => a[1].localeCompare(b[1]));
  const colleagues = named(who).filter(([id]) => id !== me);
  choices("who", [["", say("anybody"), whole], ["me", say("mine"), who.get(me) ?? 0], ["nobody", say("nobody"), who.get(null) ?? 0], ...colleagues]);
  const media_ = [...media].map(([name, count]) => /** @type {[string, string, number]} */ ([`by:${name}`, through({ medium: name }), count]));
  choices("channel", [["", say("any-channel"), whole], ...media_, ...named(channels)]);
  choices("linked", [["", say("any-client"), whole], ["yes", say("linked"), linked], ["no", say("unlinked"), whole - linked]]);
  const shown = known.map((label) => {
    const button = make("button", { type: "button", "aria-pressed": String(of("label") === label.id) }, tag(label), " ", make("span", { class: "count" }, String(labels.get(label.id) ?? 0)));
    button.addEventListener("click", () => choose("label", of("label") === label.id ? "" : label.id));
    return button;
  });
  at("labels-filter").replaceChildren(...(shown.length ? shown : [make("p", { class: "hint" }, say("labels-none"))]));
}

/** @param {string} name @param {[string, string, number][]} options */
function choices(name, options) {
  const select = /** @type {HTMLSelectElement} */ (document.getElementById(`filter-${name}`));
  if (document.activeElement === select) return;
  const value = of(name);
  if (value && !options.some(([id]) => id === value)) options.push([value, names.get(value) ?? "…", 0]);
  const worded = options.map(([id, label, count]) => /** @type {[string, string]} */ ([id, `${label} (${count})`]));
  // Whoever is about to choose has the same list before him.
  if (worded.length === select.options.length && worded.every(([id], place) => select.options[place]?.value === id)) {
    worded.forEach(([, words], place) => (/** @type {HTMLOptionElement} */ (select.options[place]).text = words));
    select.value = value;
  } else select.replaceChildren(...worded.map(([id, words]) => new Option(words, id, false, id === value)));
}

/** Those that narrow the list behind a switch are counted upon it. */
function pressed() {
  for (const button of buttons("states")) button.ariaPressed = String(button.dataset.state === state());
  for (const button of buttons("flags")) {
    const flag = button.dataset.flag ?? "";
    const on = flag === "mine" ? of("who") === "me" : flag === "nobody" ? of("who") === "nobody" : of(flag) === "true";
    button.ariaPressed = String(on);
  }
  for (const [id, parts] of /** @type {[string, string[]][]} */ ([["filters-switch", ["who", "channel", "linked"]], ["labels-switch", ["label"]]])) {
    const mark = /** @type {HTMLElement} */ (at(id).querySelector(".mark-on"));
    const number = parts.filter((name) => of(name)).length;
    mark.hidden = !number;
    mark.textContent = String(number || "");
    const name = at(id).title;
    at(id).ariaLabel = number ? `${name}: ${number}` : name;
  }
  for (const name of ["who", "channel", "linked"]) {
    const select = /** @type {HTMLSelectElement} */ (document.getElementById(`filter-${name}`));
    if ([...select.options].some((option) => option.value === of(name))) select.value = of(name);
  }
}

/** @param {string} name @param {string} value */
function choose(name, value) {
  if (value) chosen.set(name, value);
  else chosen.delete(name);
  kept();
}

function kept() {
  history.replaceState(history.state, "", address(current));
  pressed();
  load().then(() => announceCount());
}

/** How many were found is said to whoever does not see it. */
function announceCount() {
  at("chats-said").textContent = `${say("chats")}: ${chats.length}${next ? "+" : ""}`;
}

/** @param {string} flag */
function toggle(flag) {
  if (flag === "mine" || flag === "nobody") {
    const who = flag === "mine" ? "me" : "nobody";
    choose("who", of("who") === who ? "" : who);
  } else choose(flag, of(flag) ? "" : "true");
}

/**
 * Begins: what the address says is chosen, and whoever chooses a chat is told.
 * @param {URLSearchParams} query
 * @param {(id: string) => void} open
 */
export function begin(query, open) {
  opens = open;
  for (const name of NAMES) {
    const said = query.get(name);
    if (said && (SENSE[name]?.test(said) ?? true)) chosen.set(name, said);
  }
  field("find-text").value = of("q");
  at("states").addEventListener("click", ({ target }) => {
    const value = target instanceof Element ? target.closest("button")?.dataset.state : undefined;
    if (value) choose("state", value === "open" ? "" : value);
  });
  at("flags").addEventListener("click", ({ target }) => {
    const flag = target instanceof Element ? target.closest("button")?.dataset.flag : undefined;
    if (flag) toggle(flag);
  });
  for (const [id, place] of [["filters-switch", "filters"], ["labels-switch", "labels-filter"]]) {
    const button = at(id ?? "");
    button.addEventListener("click", () => {
      const drop = at(place ?? "");
      drop.hidden = !drop.hidden;
      button.ariaExpanded = String(!drop.hidden);
    });
  }
  at("filters").addEventListener("change", ({ target }) => {
    if (target instanceof HTMLSelectElement) choose(target.dataset.filter ?? "", target.value);
  });
  at("filters-clear").addEventListener("click", () => {
    chosen = new URLSearchParams();
    field("find-text").value = "";
    kept();
  });
  const typed = later(250, () => choose("q", field("find-text").value.trim()));
  at("find").addEventListener("input", typed);
  at("find").addEventListener("submit", (event) => {
    event.preventDefault();
    choose("q", field("find-text").value.trim());
  });
  list.addEventListener("click", (event) => {
    const way = event.target instanceof Element ? event.target.closest("a") : null;
    const id = way?.closest("li")?.dataset.id;
    // Other ways to follow a link stay the browser's.
    if (!id || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    opens(id);
  });
  at("more").addEventListener("click", more);
  new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && more(), { root: at("list"), rootMargin: "400px" }).observe(at("more"));
  pressed();
  return load();
}

/** Chats that nobody has read alone, or all again. */
export const onlyUnread = () => toggle("unread");
