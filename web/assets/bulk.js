// A bulk: what it does or would do, how far it is, what became of each record, and taking it back.

import { ask, reach, show, text, word } from "./api.js";
import { fill, replace, template } from "./fill.js";
import { counted, isAtWork, offer } from "./jobs.js";
import { amounts, times } from "./times.js";
import { fields, label, learn, paired } from "./values.js";

const place = /** @type {HTMLElement} */ (document.getElementById("bulk"));
const items = /** @type {HTMLElement} */ (document.getElementById("items"));
const more = /** @type {HTMLButtonElement} */ (document.getElementById("more"));
const which = /** @type {HTMLFormElement} */ (document.getElementById("which"));
const { id = "", position } = place.dataset;
const own = `/v1/bulk/${id}`;
const paths = paired(place.dataset.collections);
const titles = paired(place.dataset.titles);
/** Items on a page, and most that can be named at once. */
const PAGE = 50;
const MOST = 10000;

/** @type {import("./values.js").Known} */
const known = { collections: paths, references: new Map(), names: new Map() };
/** @type {Record<string, any>} */
let bulk = {};
/** @type {number | null} */
let next = null;
/** What was shown last of its state. */
let before = "";

/** @param {string} name */
const found = (name) => /** @type {HTMLElement} */ (document.getElementById(name));

/** What it does, in a line, with what it says. */
function about() {
  const what = bulk.undoes_id
    ? `${text("text-takes_back")} ${text(`kind-${bulk.undoes_kind}`) ?? bulk.undoes_kind}`
    : `${label(word("command", bulk.command ?? ""))}: ${text(`kind-${bulk.kind}`) ?? bulk.kind}`;
  const heading = document.createElement("p");
  heading.className = "lead";
  heading.textContent = what;
  const { list } = fields(bulk.body ?? {}, known);
  const parts = [heading, list];
  if (bulk.undoes_id) {
    const way = document.createElement("a");
    way.href = bulk.undoes_kind === "bulk" ? `/bulk/${bulk.undoes_id}` : `/imports/${bulk.undoes_id}`;
    way.textContent = text("text-see_it") ?? "";
    parts.push(way);
  }
  if (bulk.undone_by) {
    const way = document.createElement("a");
    way.href = `/bulk/${bulk.undone_by}`;
    way.textContent = text("text-taken_back") ?? "";
    parts.push(way);
  }
  found("about").replaceChildren(...parts);
  times(found("about"));
  amounts(found("about"));
}

/** @param {any[]} data */
async function called(data) {
  /** @type {Map<string, string[]>} */
  const kinds = new Map();
  for (const { record } of data) {
    if (!known.names.has(record.id) && paths.has(record.kind)) kinds.set(record.kind, [...(kinds.get(record.kind) ?? []), record.id]);
  }
  for (const [kind, ids] of kinds) {
    const filter = { all: [{ field: "id", op: "in", value: ids }] };
    // Whoever sees the item of a record sees the record, unless a list has none of it: then it goes by its id.
    const page = await ask("GET", `/v1/${paths.get(kind)}?limit=200&filter=${encodeURIComponent(JSON.stringify(filter))}`).catch(() => ({ data: [] }));
    for (const record of page.data) {
      const name = record[titles.get(kind) ?? ""] ?? "";
      const number = record.number == null ? "" : `#${record.number}`;
      known.names.set(record.id, [number, name].filter(Boolean).join(" ") || record.id);
      learn({ ...record, id: undefined }, known.names);
    }
  }
}

/** @param {any} item */
function row(item) {
  const { kind, id } = item.record;
  const path = paths.get(kind);
  const events = item.events ?? [];
  const made = fill(template("item"), {
    path: path && `/records/${path}/${id}`,
    called: known.names.get(id) ?? id,
    detail: item.detail ?? "",
    outcome: item.outcome ?? "",
    events: events.map((/** @type {any} */ event) => ({ event: label(word("event", event.type.split(".").pop())) })),
  });
  // An address goes into the page as it is.
  made.querySelector("a")?.setAttribute("href", `/records/${path}/${encodeURIComponent(id)}`);
  [...made.querySelectorAll(".done > li")].forEach((line, at) => {
    const said = fields(events[at].data ?? {}, known).list;
    if (said.childElementCount) line.append(said);
  });
  return made;
}

/** @param {boolean} anew */
async function read(anew) {
  const outcome = String(new FormData(which).get("outcome") ?? "");
  const asks = new URLSearchParams({ limit: String(PAGE) });
  if (outcome) asks.set("outcome", outcome);
  if (!anew && next !== null) asks.set("after", String(next));
  const page = await ask("GET", `${own}/items?${asks}`);
  next = page.next;
  await called(page.data);
  const rows = page.data.map(row);
  if (anew) replace(items, rows);
  else items.append(...rows);
  more.hidden = next === null;
  times(items);
  amounts(items);
}

/** @param {Record<string, any>} progress */
function told(progress) {
  const { counts, dry_run: tried, status, refusals } = progress;
  const outcomes = /** @type {[string, number][]} */ (["applied", "unchanged", "refused"].map((name) => [`outcome-${name}`, counts[name]]));
  counted(progress, progress.items_total, counts.items, outcomes);
  found("tried").hidden = !tried;
  const ended = !["running", "paused"].includes(status);
  const undone = !tried && ended && counts.applied > 0;
  offer(place, [
    ...(tried && status === "completed" && counts.applied ? ["run"] : []),
    ...(status === "running" ? ["pause"] : []),
    ...(["paused", "failed"].includes(status) ? ["resume"] : []),
    ...(ended ? [] : ["cancel"]),
    ...(undone ? ["undo"] : []),
  ]);
  found("undo-hint").hidden = !undone;
  found("refusals").hidden = !refusals.length;
  found("reasons").replaceChildren(...refusals.map((/** @type {any} */ one) => fill(template("reason"), { detail: one.detail, items: one.items })));
  place.removeAttribute("aria-busy");
}

async function watch() {
  for (let wait = 0; ; wait = 1) {
    const progress = await ask("GET", `${own}/progress?wait=${wait}`);
    told(progress);
    const now = `${progress.status} ${progress.counts.items}`;
    // The items are read when there are some to see, and once it is through.
    if (now !== before && (!before || !isAtWork(progress))) await read(true);
    before = now;
    if (!isAtWork(progress)) return;
  }
}

/** Every record that it was about, as far as they can be named. */
async function named() {
  const ids = [];
  for (let after = null; ; ) {
    const page = await ask("GET", `${own}/items?limit=1000${after === null ? "" : `&after=${after}`}`);
    ids.push(...page.data.map((/** @type {any} */ item) => item.record.id));
    after = page.next;
    if (after === null || ids.length > MOST) return ids;
  }
}

/** @type {Record<string, () => Promise<any>>} */
const does = {
  async run() {
    if (bulk.undoes_id) {
      const undone = bulk.undoes_kind === "bulk" ? "bulk" : "imports";
      return ask("POST", `/v1/${undone}/${bulk.undoes_id}/undo`, {});
    }
    const { kind, command, body, filter } = bulk;
    // It is carried out on what was shown; of more than can be named, on what the same filter finds.
    const ids = await named();
    const which = ids.length <= MOST ? { ids } : { filter };
    return ask("POST", "/v1/bulk", { kind, command, body, ...which });
  },
  undo: () => ask("POST", `${own}/undo`, { dry_run: true }),
  pause: () => ask("POST", `${own}/pause`, {}),
  resume: () => ask("POST", `${own}/resume`, {}),
  cancel: () => ask("POST", `${own}/cancel`, {}),
};

place.addEventListener("click", async ({ target }) => {
  const button = target instanceof Element ? target.closest("button[data-does]") : null;
  const name = button instanceof HTMLButtonElement ? (button.dataset.does ?? "") : "";
  const action = does[name];
  if (!action || !(button instanceof HTMLButtonElement)) return;
  button.disabled = true;
  try {
    const begun = await action();
    if (["run", "undo"].includes(name)) location.assign(`/bulk/${begun.id}`);
    else await watch();
  } catch (error) {
    show(error);
  } finally {
    button.disabled = false;
  }
});
more.addEventListener("click", () => read(false).catch(show));
which.addEventListener("change", () => read(true).catch(show));
which.addEventListener("submit", (event) => event.preventDefault());

async function begin() {
  reach(position);
  bulk = await ask("GET", own);
  about();
  await watch();
}
begin().catch(show);
