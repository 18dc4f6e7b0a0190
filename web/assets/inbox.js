// The page of the inbox: joins its parts, hears the stream, and knows the keys.

import { ask, reach } from "./api.js";
import { listen } from "./live.js";
import { times } from "./times.js";
import { at, dialog, field, open, root } from "./inbox-parts.js";
import * as chats from "./inbox-chats.js";
import * as client from "./inbox-client.js";
import * as thread from "./inbox-thread.js";
import * as writing from "./inbox-writing.js";

/** @typedef {import("./inbox-parts.js").Values} Values */

/** What happens in conversations: a stream has no name for all of it. */
const EVENTS = ["started", "message_received", "message_queued", "message_sent", "message_delivered", "message_read", "message_failed", "message_uncertain", "message_edited", "message_deleted", "message_reactions_received", "message_reaction_queued", "message_reaction_sent", "message_reaction_failed", "read_marker_moved", "claimed", "assigned", "unassigned", "contact_linked", "contact_unlinked", "labelled", "unlabelled", "bot_step_shown", "bot_answer_given", "bot_answer_refused", "bot_started", "bot_finished", "converted_to_ticket", "handed_over", "closed", "reopened", "rated", "transcript_queued", "transcript_sent", "transcript_failed", "visitor_revoked", "visitor_blocked", "visitor_unblocked"];
/** That somebody is there is said so often, in milliseconds. */
const TOUCH = 60000;
/** Whether single keys do something is kept in this browser. */
const KEYS = "deskfold-inbox-keys";

/** Which part is seen where there is room for one. @param {"chats" | "thread" | "client"} pane */
function pane(pane) {
  root.dataset.pane = pane;
}

/** @param {string | undefined} id @param {boolean} [remember] */
function openChat(id, remember = true) {
  if (remember) history.pushState({}, "", chats.address(id));
  chats.mark(id);
  thread.display(id);
  pane(id ? "thread" : "chats");
  if (id && matchMedia("(max-width: 52rem)").matches) at("thread").focus();
}

/* What is heard. */

/** Chats to which something has happened since the list was told. @type {Set<string>} */
let touched = new Set();
let isAccess = false;

/** @param {Values} event */
function heard(event) {
  const id = String(event.stream).replace("conversation-", "");
  touched.add(id);
  reach(String(event.position));
  thread.hear(event);
}

/** @type {Record<string, (told: any) => void>} */
const hear = {
  signal: (told) => thread.shown(told),
  gone: ({ conversation }) => {
    chats.forget(conversation);
    thread.gone(conversation);
  },
  access: () => {
    isAccess = true;
  },
};
for (const name of EVENTS) hear[`conversation.${name}`] = heard;

function told() {
  const ids = [...touched];
  touched = new Set();
  if (isAccess) {
    isAccess = false;
    chats.load();
    thread.renew();
  } else if (ids.length) chats.renew(ids).catch(() => chats.load());
}

/* Keys. */

/** @param {string} id */
const press = (id) => !at(id).hidden && at(id).click();
/** @type {Record<string, () => void>} */
const keys = {
  j: () => chats.step(1),
  k: () => chats.step(-1),
  ArrowDown: () => chats.step(1),
  ArrowUp: () => chats.step(-1),
  f: () => {
    pane("chats");
    field("find-text").focus();
  },
  r: () => !at("writing").hidden && at("words").focus(),
  t: () => press("take"),
  a: () => press("assign"),
  l: () => {
    pane("client");
    document.getElementById("label-text")?.focus();
  },
  c: () => {
    pane("client");
    (document.getElementById("link-text") ?? at("client")).focus();
  },
  x: () => press("close-chat"),
  n: chats.onlyUnread,
  "?": () => open(dialog("keys-asked")),
};
const keysOn = () => localStorage.getItem(KEYS) !== "off";

document.addEventListener("keydown", (event) => {
  const target = event.target instanceof HTMLElement ? event.target : document.body;
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return;
  if (target.matches("input, textarea, select, [role=listbox] *") || target.isContentEditable) return;
  const arrow = event.key.startsWith("Arrow");
  // Where one scrolls, arrows scroll.
  if (arrow && !at("chats-part").contains(target)) return;
  const does = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!does || (!arrow && event.key !== "?" && !keysOn())) return;
  event.preventDefault();
  does();
  if (arrow) /** @type {HTMLElement | null} */ (document.querySelector("#chats a[aria-current]"))?.focus();
});
const box = field("keys-on");
box.checked = keysOn();
box.addEventListener("change", () => localStorage.setItem(KEYS, box.checked ? "on" : "off"));
at("keys-open").addEventListener("click", () => open(dialog("keys-asked")));

/* Ways between the parts. */

at("to-chats").addEventListener("click", () => openChat(undefined));
at("to-client").addEventListener("click", () => {
  const shown = root.dataset.pane === "client";
  root.classList.toggle("is-client-open");
  pane(shown ? "thread" : "client");
  if (!shown) at("client").focus();
});
at("to-thread").addEventListener("click", () => pane("thread"));
addEventListener("popstate", () => openChat(new URLSearchParams(location.search).get("chat") ?? undefined, false));

/* Whoever touches the page is there. */

let touchedAt = Date.now();
for (const does of ["pointerdown", "keydown"]) {
  addEventListener(does, () => {
    if (Date.now() - touchedAt < TOUCH) return;
    touchedAt = Date.now();
    ask("POST", "/v1/inbox/touch").catch(() => undefined);
  });
}

/* What says how long ago it was stays true. */

setInterval(() => document.visibilityState === "visible" && times(root), 60000);

thread.begin((chat, isNew) => {
  // None is open, or not any more.
  if (!chat && !thread.openedId()) {
    pane("chats");
    chats.mark(undefined);
    history.replaceState({}, "", chats.address(undefined));
  }
  writing.changed(chat, isNew);
  client.changed(chat, isNew);
});
writing.begin();
client.begin();
const query = new URLSearchParams(location.search);
const begun = chats.begin(query, openChat);
const first = query.get("chat");
if (first) openChat(first, false);
const away = at("lost");
// What happens from the moment on at which the list was read is heard.
begun.then((position) => listen("/v1/inbox/stream", position === undefined ? undefined : String(position), hear, told, 150, (lost) => (away.hidden = !lost)));
