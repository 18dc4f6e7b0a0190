// The form of a widget: what it shows and how, of a new one or of one that is there.

import { fill, template } from "./fill.js";

/** @typedef {Record<string, any>} Shows */

/** What is compared as a number, and as yes or no. */
const NUMBERS = ["integer"];
const SWITCHES = ["bool"];

/**
 * @param {HTMLFormElement} form
 * @returns {{ shows: () => Shows, take: (shows: Shows | null) => void }} what the form says; and what is to be in it, null for
 * that of a new widget
 */
export function configuring(form) {
  const conditions = /** @type {HTMLElement} */ (form.querySelector("#conditions"));
  const json = /** @type {HTMLDetailsElement} */ (form.querySelector("#conditions-json"));
  const panel = /** @type {HTMLDetailsElement} */ (form.closest("details"));
  const chosen = (/** @type {string} */ name) => String(new FormData(form).get(name) ?? "").trim();
  let rows = 0;

  /** From where its numbers come: a report of its own, a saved one, or records as they are. */
  function source() {
    const kind = chosen("kind");
    if (kind === "list") return "records";
    const report = chosen("report");
    return report === "@records" ? "records" : report ? "saved" : "own";
  }
  const of = () => chosen(source() === "records" ? "list" : "of");

  /**
   * Offers what there is of a kind alone.
   * @param {HTMLSelectElement} select
   * @param {string} kind
   */
  function narrow(select, kind) {
    for (const option of select.options) {
      if (option.dataset.of) option.disabled = option.hidden = option.dataset.of !== kind;
    }
    if (select.selectedOptions[0]?.disabled) {
      // Two kinds may have fields of the same name.
      const alike = [...select.options].find((option) => !option.disabled && option.value === select.value);
      const other = alike ?? [...select.options].find((option) => !option.disabled);
      if (other) other.selected = true;
    }
  }

  function fits() {
    const kind = chosen("kind");
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-for]"))) {
      const sources = part.dataset.source?.split(" ");
      part.hidden = !(part.dataset.for ?? "").split(" ").includes(kind) || Boolean(sources && !sources.includes(source()));
    }
    for (const select of /** @type {NodeListOf<HTMLSelectElement>} */ (form.querySelectorAll("select[data-follows]"))) {
      narrow(select, chosen(select.dataset.follows ?? ""));
    }
    for (const select of /** @type {NodeListOf<HTMLSelectElement>} */ (conditions.querySelectorAll("select[data-part=field]"))) {
      narrow(select, of());
    }
  }

  /** @param {any} [known] a condition */
  function condition(known) {
    const made = fill(template("condition"), { number: ++rows });
    const part = (/** @type {string} */ name) => /** @type {any} */ (made.querySelector(`[data-part=${name}]`));
    narrow(part("field"), of());
    if (known) {
      const field = [...part("field").options].find((option) => !option.disabled && option.value === known.field);
      if (field) field.selected = true;
      part("op").value = known.op;
      part("value").value = Array.isArray(known.value) ? known.value.join(", ") : String(known.value);
    }
    const row = made.firstElementChild;
    part("remove").addEventListener("click", () => row?.remove());
    conditions.append(made);
  }

  /** Whether a filter can be shown as rows. @param {any} filter @returns {any[] | null} */
  function plain(filter) {
    const all = filter.field ? [filter] : (filter.all ?? (Object.keys(filter).length ? null : []));
    const select = /** @type {HTMLTemplateElement} */ (form.querySelector("#condition")).content.querySelector("[data-part=op]");
    const ops = [.../** @type {HTMLSelectElement} */ (select).options].map((option) => option.value);
    const simple = (/** @type {any} */ one) => one.field && ops.includes(one.op) && (typeof one.value !== "object" || Array.isArray(one.value));
    return Array.isArray(all) && all.every(simple) ? all : null;
  }

  function filter() {
    const said = [...conditions.children].map((row) => {
      const part = (/** @type {string} */ name) => /** @type {any} */ (row.querySelector(`[data-part=${name}]`));
      const kind = part("field").selectedOptions[0]?.dataset.kind ?? "";
      const op = part("op").value;
      const read = (/** @type {string} */ text) =>
        op === "is_null" || SWITCHES.includes(kind) ? text === "true" : NUMBERS.includes(kind) ? Number(text) : text;
      const typed = part("value").value.trim();
      const value = op === "in" ? typed.split(",").map((/** @type {string} */ one) => read(one.trim())) : read(typed);
      return { field: part("field").value, op, value };
    });
    const written = chosen("filter");
    const parts = written ? [...said, JSON.parse(written)] : said;
    return parts.length === 1 ? parts[0] : parts.length ? { all: parts } : {};
  }

  function shows() {
    const kind = chosen("kind");
    /** @type {Shows} */
    const shown = { kind };
    if (chosen("title")) shown.title = chosen("title");
    if (kind === "text") shown.text = chosen("text");
    else if (kind === "feed") shown.record = { kind: chosen("feed"), id: chosen("record") };
    else if (kind === "list") {
      const columns = chosen("columns").split(/[\s,]+/).filter(Boolean);
      shown.collection = { of: chosen("list"), columns, sort: chosen("sort") || undefined, filter: filter() };
    } else if (kind !== "pending_work") {
      if (source() === "records") shown.collection = { of: chosen("list"), group: chosen("group") || undefined, filter: filter() };
      else if (source() === "saved") shown.report = chosen("report");
      else {
        const dimensions = kind === "number" ? [] : ["by", "and"].map(chosen).filter(Boolean);
        // What a form does not show stays as it was.
        const measures = measured.length > 1 && measured[0] === chosen("measure") ? measured : [chosen("measure")];
        shown.definition = { of: chosen("of"), measures, dimensions, filter: filter() };
      }
      if (chosen("range")) shown.range = chosen("range");
      if (chosen("statistic")) shown.statistic = chosen("statistic");
      if (chosen("top")) shown.top = Number(chosen("top"));
    }
    return shown;
  }

  /** @type {string[]} */
  let measured = [];
  /** @param {string} name @param {string} value */
  function set(name, value) {
    const control = form.elements.namedItem(name);
    if (control instanceof HTMLSelectElement && value && ![...control.options].some((option) => option.value === value)) {
      control.append(new Option(value.replaceAll("_", " "), value));
    }
    if (control instanceof HTMLInputElement || control instanceof HTMLSelectElement || control instanceof HTMLTextAreaElement) control.value = value;
    if (control instanceof HTMLSelectElement && control.dataset.follows) narrow(control, chosen(control.dataset.follows));
  }

  /** @param {Shows | null} shown */
  function take(shown) {
    form.reset();
    conditions.replaceChildren();
    for (const named of /** @type {NodeListOf<HTMLElement>} */ (panel.querySelectorAll("[data-old]"))) {
      named.textContent = (shown ? named.dataset.old : named.dataset.new) ?? "";
    }
    const leave = form.querySelector("#add-leave");
    if (leave instanceof HTMLElement) leave.hidden = !shown;
    measured = [];
    if (shown) {
      const { kind, title, definition, collection, record, report } = shown;
      set("kind", kind);
      set("title", title ?? "");
      set("report", report ?? (collection && kind !== "list" ? "@records" : ""));
      set("of", definition?.of ?? "ticket");
      measured = definition?.measures ?? [];
      set("measure", measured[0] ?? "");
      set("by", definition?.dimensions?.[0] ?? "");
      set("and", definition?.dimensions?.[1] ?? "");
      set("list", collection?.of ?? "ticket");
      set("group", collection?.group ?? "");
      if (collection?.columns) set("columns", collection.columns.join(", "));
      set("sort", collection?.sort ?? "");
      set("range", shown.range ?? "");
      set("statistic", shown.statistic ?? "");
      set("top", String(shown.top ?? ""));
      set("text", shown.text ?? "");
      if (record) {
        set("feed", record.kind);
        set("record", record.id);
      }
      const given = definition?.filter ?? collection?.filter ?? {};
      const simple = plain(given);
      fits();
      if (simple) for (const one of simple) condition(one);
      else set("filter", JSON.stringify(given));
      json.open = !simple;
    }
    fits();
  }

  form.addEventListener("change", fits);
  form.querySelector("#condition-add")?.addEventListener("click", () => condition());
  fits();
  return { shows, take };
}
