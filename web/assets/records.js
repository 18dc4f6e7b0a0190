// The list of a collection: through a view, searched, in an order, page by page or in groups, and filled anew when a record
// of it changes.

import { all, announce, ask, isGone, least, reach, show, text, word } from "./api.js";
import { fill, replace, template } from "./fill.js";
import { badge, drawn, learn } from "./badges.js";
import { choosing } from "./choose.js";
import { concerns, follow } from "./live.js";
import { times } from "./times.js";
import { called, label, listed, whose } from "./values.js";

const place = /** @type {HTMLElement} */ (document.getElementById("records"));
const board = /** @type {HTMLElement} */ (document.getElementById("board"));
const noted = /** @type {HTMLElement} */ (document.getElementById("noted"));
const search = /** @type {HTMLFormElement} */ (document.getElementById("search"));
const more = /** @type {HTMLButtonElement} */ (document.getElementById("more"));
const saving = /** @type {HTMLFormElement | null} */ (document.getElementById("saving"));
const chosen = /** @type {HTMLAnchorElement | null} */ (document.getElementById("chosen"));
const downloads = /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("#exports a"));
const { path, kind, position, searched, states, holders, changed } = place.dataset;

const narrowed = /** @type {HTMLElement} */ (document.getElementById("narrowed"));
const then = /** @type {HTMLElement} */ (document.getElementById("then"));

/** Records on a page. */
const PAGE = 50;
/** Records of a group that are shown. */
const OF_GROUP = 20;

/** @type {any[]} */
let records = [];
const choice = choosing({
  path: path ?? "",
  kind: kind ?? "",
  filter: () => {
    const parts = conditions(asked());
    return parts.length ? { all: parts } : {};
  },
  records: () => records,
  past: () => asked().has("as_of"),
});
/** @type {string | null} */
let next = null;
/** How often was asked: an answer that comes late is of no use. */
let turn = 0;
/**
 * The views of this collection by id.
 * @type {Map<string, any>}
 */
const views = new Map();

/** What is asked for, as it stands in the address. */
function asked() {
  const given = new URLSearchParams();
  for (const [name, value] of new FormData(search)) if (String(value).trim()) given.set(name, String(value).trim());
  return given;
}

/** @param {URLSearchParams} given */
const view = (given) => views.get(given.get("view") ?? "");

/** @type {(field: string, op: string, value: unknown) => object} */
const condition = (field, op, value) => ({ field, op, value });

/**
 * The conditions of the view and those of the page.
 * @param {URLSearchParams} given
 */
function conditions(given) {
  /** @type {(fields: string[], op: string, value: unknown) => object} */
  const any = (fields, op, value) => ({ any: fields.map((field) => condition(field, op, value)) });
  const { filter } = view(given) ?? {};
  const parts = filter && Object.keys(filter).length ? [filter] : [];
  const narrowed = given.get("filter");
  if (narrowed && Object.keys(JSON.parse(narrowed)).length) parts.push(JSON.parse(narrowed));
  if (given.get("name")) parts.push(any(listed(searched), "contains", given.get("name")));
  if (given.get("mine")) parts.push(any(listed(holders), "eq", "@me"));
  return parts;
}

/** @param {URLSearchParams} given */
const sort = (given) => given.get("sort") ?? view(given)?.sort;

/** @param {URLSearchParams} given */
const group = (given) => given.get("group") ?? view(given)?.group_by;

/**
 * What is asked of the API, `further` conditions included.
 * @param {URLSearchParams} given
 * @param {object[]} [further]
 */
function query(given, further = []) {
  const asks = new URLSearchParams();
  const parts = [...conditions(given), ...further];
  if (parts.length) asks.set("filter", JSON.stringify({ all: parts }));
  const order = sort(given);
  if (order) asks.set("sort", order);
  const then = given.get("as_of");
  if (then) asks.set("as_of", then);
  return asks;
}

/**
 * What a record says in the columns of a view, in a line.
 * @param {any} record
 * @param {string[]} columns
 */
function told(record, columns) {
  const at = (/** @type {string} */ column) => column.split(".").reduce((part, name) => part?.[name], record);
  const plain = (/** @type {any} */ value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  const values = columns.map(at).flatMap((value) => (Array.isArray(value) ? value.map(plain).join(", ") : (value ?? [])));
  return values.map(plain).filter(Boolean).join(" · ");
}

/** The products of records. @param {any[]} data */
const products = (data) => data.map(({ product_id: id }) => id).filter(Boolean);

/** @param {any} record */
function row(record) {
  const { name, about } = called(record, place.dataset);
  const columns = view(asked())?.columns ?? [];
  const shown = listed(states).map((state) => record[state]).filter(Boolean);
  const badges = [...new Set(shown)].map((state) => ({ state: label(word("state", state)) }));
  const line = columns.length ? told(record, columns) : about;
  const made = fill(template("row"), { id: record.id, called: name, about: line, states: badges, whose: whose(record), changed: record[changed ?? ""] });
  const then = asked().get("as_of");
  const link = made.querySelector("a");
  const picture = drawn(kind === "product" ? record : badge(record.product_id));
  if (picture) link?.before(picture);
  // Not by its parts: as long as it is in no document, there is nothing that its address is relative to.
  if (then && link) link.setAttribute("href", `${link.getAttribute("href")}?as_of=${encodeURIComponent(then)}`);
  return made;
}

function filled() {
  const given = asked();
  // Whoever stands on a record stays there.
  const at = document.activeElement instanceof HTMLAnchorElement && place.contains(document.activeElement) ? document.activeElement.href : null;
  const narrowed = ["name", "mine", "view", "filter", "as_of"].some((name) => given.has(name));
  replace(place, records.map(row), narrowed ? "unfound" : "empty");
  times(place);
  more.hidden = !next;
  choice.drawn();
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
  const given = asked();
  const asks = query(given);
  const columns = view(given)?.columns ?? [];
  if (columns.length) asks.set("columns", columns.join(","));
  const position = least();
  if (position) asks.set("min_position", position);
  for (const way of downloads) {
    const format = new URL(way.href).searchParams.get("format") ?? "csv";
    asks.set("format", format);
    // Spreadsheets know UTF-8 by it.
    asks.set("bom", String(format === "csv"));
    way.href = `/v1/${path}/export?${asks}`;
  }
  if (chosen) {
    chosen.hidden = !view(given);
    chosen.href = `/records/views/${given.get("view") ?? ""}`;
  }
}

/**
 * The records side by side, by the values of a field.
 * @param {URLSearchParams} given
 * @param {string} field
 */
async function grouped(given, field) {
  const own = ++turn;
  const { groups } = await ask("GET", `/v1/${path}?limit=1&group=${encodeURIComponent(field)}&${query(given)}`);
  const parts = await Promise.all(
    groups.map(async (/** @type {{ value: any, count: number }} */ { value, count }) => {
      const of = value === null ? condition(field, "is_null", true) : condition(field, "eq", value);
      const { data } = await ask("GET", `/v1/${path}?limit=${OF_GROUP}&${query(given, [of])}`);
      await learn(products(data));
      // What refers to somebody goes by a name.
      const name = data[0]?.[field.replace(/_id$/, "_name")] ?? value;
      const called = name === null ? "–" : typeof name === "boolean" ? text(name ? "text-yes" : "text-no") : label(String(name));
      const part = fill(template("group"), { called, count, more: Math.max(0, count - data.length) || "" });
      const list = /** @type {HTMLElement} */ (part.querySelector("ul"));
      list.replaceChildren(...data.map(row));
      return part;
    }),
  );
  if (own !== turn) return;
  board.replaceChildren(...parts);
  times(board);
  choice.drawn();
}

/**
 * Says what of a view is out of date.
 * @param {URLSearchParams} given
 */
async function note(given) {
  noted.hidden = true;
  if (!view(given)) return;
  const { faults } = await ask("GET", `/v1/views/${given.get("view")}/records?limit=1`);
  noted.hidden = !faults.length;
  noted.textContent = [text("text-noted"), ...faults.map((/** @type {{ detail: string }} */ fault) => fault.detail)].join(" ");
}

async function found() {
  const given = asked();
  history.replaceState(null, "", given.size ? `?${given}` : location.pathname);
  offer();
  framed(given);
  choice.asked();
  const field = group(given);
  place.hidden = Boolean(field);
  board.hidden = !field;
  if (field) {
    more.hidden = true;
    await grouped(given, field);
    return;
  }
  const data = await read(`/v1/${path}?limit=${PAGE}&${query(given)}`);
  if (!data) return;
  await learn(products(data));
  records = data;
  filled();
}

/**
 * Says that these are not all of them, and of what day they are.
 * @param {URLSearchParams} given
 */
function framed(given) {
  narrowed.hidden = !given.has("filter");
  then.hidden = !given.has("as_of");
  const day = /** @type {HTMLTimeElement} */ (then.querySelector("time"));
  day.dateTime = day.textContent = given.get("as_of") ?? "";
  times(then);
}

/** Takes away what a field of the search says. @param {string} name */
function leave(name) {
  /** @type {HTMLInputElement} */ (search.elements.namedItem(name)).value = "";
  again();
}

const again = () => found().catch(show);
document.getElementById("widen")?.addEventListener("click", () => leave("filter"));
document.getElementById("now")?.addEventListener("click", () => leave("as_of"));

/** @type {number | undefined} */
let typing;
search.addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(again, 200);
  if (event.target === search.elements.namedItem("view")) note(asked()).catch(show);
});
search.addEventListener("submit", (event) => event.preventDefault());

more.addEventListener("click", async () => {
  try {
    const data = next && (await read(next));
    if (!data) return;
    await learn(products(data));
    records.push(...data);
    filled();
  } catch (error) {
    show(error);
  }
});

/**
 * Shows what changed: the first page anew, and the groups; of whoever has read on, the records that he sees.
 * @param {import("./live.js").Change[]} changes
 */
async function heard(changes) {
  const own = changes.filter((change) => concerns(change, kind));
  const latest = own.at(-1);
  if (!latest) return;
  reach(String(latest.position));
  // What was stays as it was.
  if (asked().has("as_of")) return;
  if (group(asked()) || records.length <= PAGE) return found();
  const again = records.filter(({ id }) => own.some((change) => concerns(change, kind, id)));
  for (const { id } of again) {
    const record = await ask("GET", `/v1/${path}/${id}`).catch((error) => {
      if (!isGone(error)) throw error;
    });
    // What one does not see any more is gone.
    records.splice(records.findIndex((one) => one.id === id), 1, ...(record ? [record] : []));
  }
  filled();
}

/** Reads which views there are, and offers them. */
async function look() {
  const choice = search.elements.namedItem("view");
  if (!(choice instanceof HTMLSelectElement)) return;
  const filter = JSON.stringify(condition("collection", "eq", path));
  views.clear();
  for (const one of await all(`/v1/views?limit=200&filter=${encodeURIComponent(filter)}`)) views.set(one.id, one);
  const { value } = choice;
  choice.replaceChildren(...[...choice.options].slice(0, 1), ...[...views].map(([id, { name }]) => new Option(name, id)));
  choice.value = views.has(value) ? value : "";
}

saving?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  const given = asked();
  const parts = conditions(given);
  const { columns } = view(given) ?? {};
  const named = String(new FormData(form).get("name"));
  const filter = parts.length ? { all: parts } : {};
  try {
    const made = await ask("POST", "/v1/views", { name: named, collection: path, filter, sort: sort(given), columns, group_by: group(given) });
    await look();
    // It says all that was asked for before.
    search.reset();
    const choice = /** @type {HTMLSelectElement} */ (search.elements.namedItem("view"));
    choice.value = made.id;
    form.reset();
    announce("saved");
    await found();
  } catch (error) {
    show(error);
  }
});

reach(position);
await look().catch(show);
for (const [name, value] of new URLSearchParams(location.search)) {
  const control = search.elements.namedItem(name);
  if (control instanceof HTMLInputElement && control.type === "checkbox") control.checked = value === "true";
  else if (control instanceof HTMLInputElement || control instanceof HTMLSelectElement) control.value = value;
}
note(asked()).catch(show);
again();
follow(position, (changes) => heard(changes).catch(show));
