// What the parts of the inbox share: who sits at it and what he may, texts, small elements, and how a command is sent.

import { Refused, ask, show, text } from "./api.js";

/** @typedef {Record<string, any>} Values what the API answers */

/**
 * The element of this id, which the page has.
 * @param {string} id
 * @returns {HTMLElement}
 */
export const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} id */
export const field = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));

/** @param {string} id */
export const dialog = (id) => /** @type {HTMLDialogElement} */ (document.getElementById(id));

export const root = at("inbox");
export const me = root.dataset.me ?? "";
const permitted = new Set(root.dataset.may?.split(" "));

/** @param {string} permission */
export const may = (permission) => permitted.has(permission);

/** @param {string} name */
export const say = (name) => text(`inbox-${name}`) ?? name;

/**
 * @param {string} tag
 * @param {Record<string, string | boolean | undefined>} [attributes] those that are false or missing are left out
 * @param {(Node | string | null | undefined | false)[]} children
 */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/**
 * A picture that says nothing which the words beside it do not.
 * @param {string} name
 */
export function glyph(name) {
  const known = /** @type {HTMLTemplateElement} */ (document.getElementById("glyphs"));
  return /** @type {Element} */ (known.content.querySelector(`[data-glyph="${name}"]`)?.cloneNode(true));
}

/**
 * A button that is a picture alone.
 * @param {string} picture
 * @param {string} label
 * @param {() => void} does
 */
export function pictured(picture, label, does) {
  const button = make("button", { type: "button", class: "quiet icon", "aria-label": label, title: label }, glyph(picture));
  button.addEventListener("click", does);
  return button;
}

/**
 * Does something, and shows what is wrong where it is refused.
 * @template T
 * @param {() => Promise<T>} does
 * @returns {Promise<T | undefined>}
 */
export async function attempt(does) {
  at("fault").textContent = "";
  try {
    return await does();
  } catch (error) {
    show(error);
    return undefined;
  }
}

/**
 * Shows what is wrong with what nobody has asked for: that the connection is lost is said elsewhere.
 * @param {unknown} error
 */
export function mention(error) {
  if (!(error instanceof Refused && error.problem.code === "unreachable")) show(error);
}

/**
 * Does something in a dialog: it closes once that is done, and says what is wrong as long as it is not.
 * @param {HTMLDialogElement} place
 * @param {() => Promise<unknown>} does
 */
export async function attemptIn(place, does) {
  const form = /** @type {HTMLFormElement} */ (place.querySelector("form"));
  if (form.ariaBusy === "true") return;
  const fault = place.querySelector(".fault");
  if (fault) fault.textContent = "";
  form.ariaBusy = "true";
  try {
    await does();
    place.close();
  } catch (error) {
    if (!(error instanceof Refused) || !fault) throw error;
    const { errors, code, detail } = error.problem;
    const told = (/** @type {{ code: string, detail: string }} */ one) => text(`problem-${one.code}`) ?? one.detail;
    fault.textContent = errors?.length ? errors.map(told).join(" ") : told({ code, detail });
  } finally {
    form.ariaBusy = null;
  }
}

/**
 * Asks a dialog's question; what it does when that is answered is the form's own.
 * @param {HTMLDialogElement} place
 */
export function open(place) {
  const fault = place.querySelector(".fault");
  if (fault) fault.textContent = "";
  place.showModal();
}

for (const leaves of document.querySelectorAll("[data-leaves]")) {
  leaves.addEventListener("click", () => leaves.closest("dialog")?.close());
}

/**
 * Has a conversation do something.
 * @param {string} id
 * @param {string} command
 * @param {Values} [body]
 * @returns {Promise<Values>}
 */
export const command = (id, command, body = {}) => ask("POST", `/v1/conversations/${id}/${command}`, body);

/** @param {Values | Values[]} filter */
export const filtered = (filter) => `filter=${encodeURIComponent(JSON.stringify(Array.isArray(filter) ? { all: filter } : filter))}`;

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** A new id, as the API makes them: it is known before the answer comes, so that what is asked twice is done once. */
export function newId() {
  let value = BigInt(Date.now());
  for (const byte of crypto.getRandomValues(new Uint8Array(10))) value = (value << 8n) | BigInt(byte);
  let id = "";
  for (let place = 0; place < 26; place++, value >>= 5n) id = (DIGITS[Number(value & 31n)] ?? "") + id;
  return id;
}

/**
 * What whoever is on the other side is called.
 * @param {Values} chat
 * @returns {string}
 */
export const called = (chat) => chat.contact_name ?? chat.visitor?.name ?? chat.identity?.value ?? say("visitor");

/**
 * By what channel one speaks.
 * @param {Values} chat
 * @returns {string}
 */
export const through = (chat) => chat.channel_name ?? text(`inbox-medium-${chat.medium}`) ?? String(chat.medium).replaceAll("_", " ");

/** @param {Values} label */
export function tag(label) {
  const made = make("span", { class: "tag", dir: "auto" }, label.name);
  // A colour is no style of the markup's: the policy lets scripts set it.
  if (label.color) made.style.setProperty("--of", label.color);
  return made;
}

/** @type {Map<string, Promise<string>>} */
const names = new Map();

/**
 * What a colleague is called.
 * @param {string} id
 * @returns {Promise<string>}
 */
export function nameOf(id) {
  let name = names.get(id);
  if (!name) {
    name = ask("GET", `/v1/users/${id}`).then((user) => user.name, () => say("colleague"));
    names.set(id, name);
  }
  return name;
}

/**
 * Calls this once, so long after it was last asked for; where it is asked for again and again, after five times as long.
 * @param {number} pause in milliseconds
 * @param {() => void} does
 */
export function later(pause, does) {
  /** @type {number | undefined} */
  let waiting;
  let first = 0;
  const now = () => {
    first = 0;
    does();
  };
  return () => {
    clearTimeout(waiting);
    first ||= Date.now();
    waiting = setTimeout(now, Math.max(0, Math.min(pause, first + 5 * pause - Date.now())));
  };
}

/**
 * A button that opens and closes what hangs on it; clicks elsewhere and Escape close it.
 * @param {HTMLElement} button
 * @param {HTMLElement} drop
 * @param {() => void} [opened]
 */
export function dropping(button, drop, opened) {
  const set = (/** @type {boolean} */ shown) => {
    drop.hidden = !shown;
    button.ariaExpanded = String(shown);
    if (shown) opened?.();
  };
  button.addEventListener("click", () => set(drop.hidden));
  document.addEventListener("pointerdown", ({ target }) => {
    if (!drop.hidden && target instanceof Node && !drop.contains(target) && !button.contains(target)) set(false);
  });
  drop.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    set(false);
    button.focus();
  });
  return set;
}
