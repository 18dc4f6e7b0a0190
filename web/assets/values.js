// Shows what the API answers of a record, whatever its kind: names in place of ids, and values as people write them.

import { text, word } from "./api.js";

/** @typedef {Record<string, any>} Values */

/**
 * What is known of other records.
 * @typedef {object} Known
 * @property {Map<string, string>} collections The collection of each kind that one may see.
 * @property {Map<string, string>} references The kind that a field refers to, or @ and the field that says it.
 * @property {Map<string, string>} names What records are called, by id.
 */

/** An id, a moment or a day, and an address. */
const ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const TIME = /^\d{4}-\d\d-\d\d(T[\d:.]+Z)?$/;
const ADDRESS = /^https?:\/\/\S+$/;
/** Where something came from, told as a collection and an id. */
const PLACE = /^([a-z_]+)\/([0-9A-HJKMNP-TV-Z]{26})$/;
/** Those whom a record names as its people. */
const PEOPLE = ["assignee", "owner", "user", "author"];
/** Fields that say how far a record has come. */
const STATES = ["status", "stage", "stage_means"];
/** How a badge looks that another record bears. */
const BADGE = ["color", "icon"];
/** What a page tells of a record elsewhere. */
const ELSEWHERE = ["id", "version", "position", "links", "shared", "custom_names"];

/** @param {string | undefined} words */
export const listed = (words) => (words ?? "").split(" ").filter(Boolean);

/**
 * Pairs such as `ticket=tickets`.
 * @param {string | undefined} words
 * @returns {Map<string, string>}
 */
export const paired = (words) => new Map(listed(words).map((pair) => /** @type {[string, string]} */ (pair.split("="))));

/**
 * Words as they begin a line.
 * @param {string} words
 */
export const label = (words) => words.charAt(0).toLocaleUpperCase() + words.slice(1);

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * The names of others that a record tells of itself.
 * @param {Values} record
 * @returns {string[]}
 */
function others(record) {
  const told = Object.entries(record).filter(([key, value]) => key.endsWith("_name") && typeof value === "string" && value);
  return told.filter(([key]) => !PEOPLE.includes(key.slice(0, -5))).map(([, value]) => value);
}

/**
 * What is said in the fields of these names, where anything is.
 * @param {Values} record
 * @param {string[]} fields
 * @returns {string[]}
 */
function said(record, fields) {
  const at = (/** @type {string} */ path) => path.split(".").reduce((/** @type {any} */ part, name) => part?.[name], record);
  return fields.map(at).filter((value) => typeof value === "string" && value);
}

/** @param {string} words */
function shortened(words) {
  const line = words.trim().split("\n")[0] ?? "";
  return line.length > 140 ? `${line.slice(0, 139)}…` : line;
}

/**
 * What a record is called, and what else tells it from others.
 * @param {Values} record
 * @param {DOMStringMap} collection
 */
export function called(record, { title, told }) {
  const names = others(record).slice(0, 2).join(" · ");
  const words = said(record, listed(told)).map(shortened);
  const name = title ? shortened(String(record[title] ?? "")) : names || words[0] || "";
  const number = record.number == null ? "" : `#${record.number}`;
  const about = title ? names : words.find((word) => word !== name && word !== names);
  return { name: [number, name].filter(Boolean).join(" ") || record.id, about: about ?? "" };
}

/**
 * Who is responsible for a record, by name.
 * @param {Values} record
 * @returns {string}
 */
export function whose(record) {
  return PEOPLE.map((who) => record[`${who}_name`]).find(Boolean) ?? "";
}

/**
 * Takes in what a record tells of the names of others.
 * @param {any} value
 * @param {Map<string, string>} names
 */
export function learn(value, names) {
  if (typeof value !== "object" || value === null) return;
  const name = value.name ?? value.title;
  if (value.id && typeof name === "string") names.set(value.id, name);
  for (const [key, part] of Object.entries(value)) {
    const of = value[`${key.slice(0, -5)}_id`];
    if (key.endsWith("_name") && of && part) names.set(of, part);
    if (key.endsWith("_names") && part && !Array.isArray(part)) {
      for (const [id, name] of Object.entries(part)) if (typeof name === "string") names.set(value.custom?.[id] ?? id, name);
    }
    learn(part, names);
  }
}

/**
 * The kind of record that a field refers to.
 * @param {string} field
 * @param {Values} record
 * @param {Known} known
 * @returns {string}
 */
function kindOf(field, record, { references, collections }) {
  const referred = references.get(field);
  if (referred) return referred.startsWith("@") ? record[referred.slice(1)] : referred;
  const base = field.replace(/_ids?$/, "");
  const ends = (/** @type {string} */ word) => `_${base}`.endsWith(`_${word}`);
  const named = [...collections].find(([kind, path]) => ends(kind) || ends(path))?.[0];
  return record[`${base}_kind`] ?? named ?? base;
}

/**
 * Another record: its name, with the way to it where one may go there.
 * @param {string} kind
 * @param {string} id
 * @param {Known} known
 * @param {string} [name]
 * @returns {Node | string}
 */
export function reference(kind, id, { collections, names }, name = names.get(id)) {
  const path = collections.get(kind);
  const shown = name ?? element("code", {}, id);
  return path ? element("a", { href: `/records/${path}/${encodeURIComponent(id)}` }, shown) : shown;
}

/** @param {any} value */
function isEmpty(value) {
  return value == null || value === "" || (typeof value === "object" && !Object.keys(value).length);
}

/**
 * A value, as people write it; moments and amounts are yet to be written in the language of the page.
 * @param {any} value
 * @param {string} field
 * @param {Values} record
 * @param {Known} known
 * @returns {Node | string}
 */
function shown(value, field, record, known) {
  if (isEmpty(value)) return "–";
  if (typeof value === "boolean") return text(value ? "text-yes" : "text-no") ?? String(value);
  if (typeof value === "number") return String(value);
  if (typeof value === "string") {
    if (ID.test(value)) return reference(kindOf(field, record, known), value, known);
    if (TIME.test(value)) return element("time", { datetime: value }, value);
    if (STATES.includes(field)) return label(word("state", value));
    const [, path, id] = PLACE.exec(value) ?? [];
    if (path && id && [...known.collections.values()].includes(path)) {
      // A chat is read where it goes on.
      const way = path === "conversations" ? `/inbox?state=all&chat=${id}` : `/records/${path}/${id}`;
      return element("a", { href: way }, value);
    }
    if (ADDRESS.test(value)) return element("a", { href: value, rel: "noopener noreferrer" }, value);
    return element("span", { class: "text" }, value);
  }
  if (Array.isArray(value)) {
    const plain = value.every((item) => typeof item !== "object" || (item?.id && (item.name ?? item.title ?? item.kind)));
    const items = value.map((item) => element("li", {}, shown(item, field, record, known)));
    return element("ul", { class: plain ? "chips" : "several" }, ...items);
  }
  const members = Object.keys(value);
  if (members.length === 2 && "amount" in value && "currency" in value) {
    const { amount, currency } = value;
    return element("data", { class: "money", value: amount, "data-currency": currency }, `${amount} ${currency}`);
  }
  if (members.length === 2 && "from" in value && "to" in value) {
    const change = [shown(value.from, field, record, known), " → ", shown(value.to, field, record, known)];
    return element("span", { class: "change" }, ...change);
  }
  const { id, name, title, kind, ...rest } = value;
  const of = known.collections.has(kind) ? kind : kindOf(field, record, known);
  const more = Object.entries(rest).filter(([member, part]) => !BADGE.includes(member) && !isEmpty(part));
  if (ID.test(id) && (name ?? title ?? kind) && more.every(([, part]) => typeof part !== "object")) {
    const further = more.flatMap(([member, part]) => [" · ", shown(part, member, value, known)]);
    return element("span", {}, reference(of, id, known, name ?? title ?? undefined), ...further);
  }
  // What is a part of this record alone goes by no id.
  return fields(known.collections.has(of) || !id ? value : { name, title, kind, ...rest }, known).list;
}

/**
 * Whether a field says nothing that another one does not say better.
 * @param {string} field
 * @param {Values} record
 * @param {Known} known
 */
function isSaid(field, record, known) {
  const of = field.replace(/_(name|kind)$/, "_id");
  if (of !== field && of in record) return true;
  if (field.endsWith("_names") && typeof record[field] === "object") return true;
  if (!field.endsWith("_ids")) return false;
  const whole = [`${field.slice(0, -4)}s`, known.collections.get(kindOf(field, record, known)) ?? ""];
  return whole.some((other) => Array.isArray(record[other]));
}

/**
 * All that a record or a part of it says, and the names of the fields that say nothing.
 * @param {Values} record
 * @param {Known} known
 */
export function fields(record, known) {
  const list = element("dl", { class: "says" });
  const unfilled = [];
  for (const [field, value] of Object.entries(record)) {
    if (value === undefined || isSaid(field, record, known)) continue;
    const refers = ID.test(value) || (Array.isArray(value) && value.some((item) => ID.test(item))) || known.references.has(field);
    const base = field.replace(/_ids?$/, "");
    const name = known.names.get(field) ?? text(`field-${field}`) ?? word("field", refers ? base : field);
    if (isEmpty(value)) unfilled.push(name);
    else list.append(element("div", {}, element("dt", {}, label(name)), element("dd", {}, shown(value, field, record, known))));
  }
  return { list, unfilled };
}

/**
 * What a record says that its page does not tell elsewhere.
 * @param {Values} record
 * @param {Known} known
 */
export function details(record, known) {
  return fields(Object.fromEntries(Object.entries(record).filter(([field]) => !ELSEWHERE.includes(field))), known);
}
