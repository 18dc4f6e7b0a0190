// The list of a collection: searched, in an order, page by page, and filled anew when a record of it changes.

import { ask, least, reach, show, word } from "./api.js";
import { fill, replace, template } from "./fill.js";
import { follow } from "./live.js";
import { times } from "./times.js";
import { called, label, listed, whose } from "./values.js";

const place = /** @type {HTMLElement} */ (document.getElementById("records"));
const search = /** @type {HTMLFormElement} */ (document.getElementById("search"));
const more = /** @type {HTMLButtonElement} */ (document.getElementById("more"));
const downloads = /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("#exports a"));
const { path, kind, me, position, searched, states, holders, changed } = place.dataset;

/** Records on a page. */
const PAGE = 50;

/** @type {any[]} */
let records = [];
/** @type {string | null} */
let next = null;
/** How often was asked: an answer that comes late is of no use. */
let turn = 0;

/** What is asked for, as it stands in the address. */
function asked() {
  const given = new URLSearchParams();
  for (const [name, value] of new FormData(search)) if (String(value).trim()) given.set(name, String(value).trim());
  return given;
}

/** @param {URLSearchParams} given */
function query(given) {
  const asks = new URLSearchParams({ limit: String(PAGE) });
  /** @type {(fields: string[], op: string, value: unknown) => object} */
  const any = (fields, op, value) => ({ any: fields.map((field) => ({ field, op, value })) });
  const parts = [];
  if (given.get("name")) parts.push(any(listed(searched), "contains", given.get("name")));
  if (given.get("mine")) parts.push(any(listed(holders), "eq", me));
  if (parts.length) asks.set("filter", JSON.stringify({ all: parts }));
  const sort = given.get("sort");
  if (sort) asks.set("sort", sort);
  return asks;
}

/** @param {any} record */
function row(record) {
  const { name, about } = called(record, place.dataset);
  const shown = listed(states).map((state) => record[state]).filter(Boolean);
  const badges = [...new Set(shown)].map((state) => ({ state: label(word("state", state)) }));
  return fill(template("row"), { id: record.id, called: name, about, states: badges, whose: whose(record), changed: record[changed ?? ""] });
}

function filled() {
  const given = asked();
  // Whoever stands on a record stays there.
  const at = document.activeElement instanceof HTMLAnchorElement && place.contains(document.activeElement) ? document.activeElement.href : null;
  replace(place, records.map(row), given.has("name") || given.has("mine") ? "unfound" : "empty");
  times(place);
  more.hidden = !next;
  if (at) [...place.querySelectorAll("a")].find((link) => link.href === at)?.focus();
}

/** @param {string} address */
async function read(address) {
  const own = ++turn;
  const page = await ask("GET", address);
  if (own !== turn) return null;
  next = page.next;
  return page.data;
}

/** Leads the ways to files to what is shown, all pages of it. */
function offer() {
  const asks = query(asked());
  asks.delete("limit");
  const position = least();
  if (position) asks.set("min_position", position);
  for (const way of downloads) {
    const format = new URL(way.href).searchParams.get("format") ?? "csv";
    asks.set("format", format);
    // Spreadsheets know UTF-8 by it.
    asks.set("bom", String(format === "csv"));
    way.href = `/v1/${path}/export?${asks}`;
  }
}

async function found() {
  const given = asked();
  history.replaceState(null, "", given.size ? `?${given}` : location.pathname);
  offer();
  const data = await read(`/v1/${path}?${query(given)}`);
  if (!data) return;
  records = data;
  filled();
}

const again = () => found().catch(show);

/** @type {number | undefined} */
let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(again, 200);
});
search.addEventListener("submit", (event) => event.preventDefault());

more.addEventListener("click", async () => {
  try {
    const data = next && (await read(next));
    if (!data) return;
    records.push(...data);
    filled();
  } catch (error) {
    show(error);
  }
});

/**
 * Shows what changed: the first page anew; of whoever has read on, the records that he sees.
 * @param {import("./live.js").Change[]} changes
 */
async function heard(changes) {
  const own = changes.filter((change) => change.kind === kind);
  const latest = own.at(-1);
  if (!latest) return;
  reach(String(latest.position));
  if (records.length <= PAGE) return found();
  const ids = new Set(own.map((change) => change.id));
  for (const [index, { id }] of records.entries()) if (ids.has(id)) records[index] = await ask("GET", `/v1/${path}/${id}`);
  filled();
}

reach(position);
for (const [name, value] of new URLSearchParams(location.search)) {
  const control = search.elements.namedItem(name);
  if (control instanceof HTMLInputElement && control.type === "checkbox") control.checked = value === "true";
  else if (control instanceof HTMLInputElement || control instanceof HTMLSelectElement) control.value = value;
}
again();
follow(position, (changes) => heard(changes).catch(show));
