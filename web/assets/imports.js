// Brings a file in: what its columns mean, what would become of its first rows, then all of it, tried or for good.

import { ask, show, text, word } from "./api.js";
import { fill, template } from "./fill.js";
import { refuse } from "./forms.js";
import { watch } from "./importing.js";
import { label } from "./values.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("import"));
const mapping = /** @type {HTMLTextAreaElement} */ (document.getElementById("import-mapping"));

/** @param {string} name */
const found = (name) => /** @type {HTMLElement} */ (document.getElementById(name));

/** What was shown last. @type {any} */
let seen = null;

/**
 * A value as TOML writes it within a line.
 * @param {any} value
 * @returns {string}
 */
function inline(value) {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    return `{ ${Object.entries(value).map(([key, part]) => `${JSON.stringify(key)} = ${inline(part)}`).join(", ")} }`;
  }
  return JSON.stringify(value);
}

/**
 * A mapping as TOML.
 * @param {Record<string, any>} sheet
 */
function toml(sheet) {
  const isTable = (/** @type {any} */ value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const plain = Object.entries(sheet).filter(([, value]) => !isTable(value));
  const tables = Object.entries(sheet).filter(([, value]) => isTable(value));
  const lines = (/** @type {[string, any][]} */ pairs) => pairs.map(([key, value]) => `${JSON.stringify(key)} = ${inline(value)}\n`).join("");
  return lines(plain) + tables.map(([name, table]) => `\n[${name}]\n${lines(Object.entries(table))}`).join("");
}

/** What is sent: the file, and what is said of it. */
function said() {
  const { record, source, file } = Object.fromEntries(new FormData(form));
  const body = new FormData();
  if (record) body.set("record", record);
  if (String(source ?? "").trim()) body.set("source", String(source).trim());
  if (mapping.value.trim()) body.set("mapping", mapping.value);
  // What comes after the file is not read by whoever has stopped at it.
  if (file instanceof File && file.size) body.set("file", file);
  return body;
}

/** @param {any} error */
function refused(error) {
  if (error instanceof Error && "problem" in error) refuse(form, /** @type {any} */ (error.problem));
  else show(error);
}

/**
 * A column, and what it says.
 * @param {string} column
 * @param {number} at
 */
function row(column, at) {
  const examples = seen.rows.map((/** @type {string[]} */ cells) => cells[at]).filter(Boolean).slice(0, 3).join(" · ");
  const shown = fill(template("column"), { column, examples });
  const select = /** @type {HTMLSelectElement} */ (shown.querySelector("select"));
  const says = seen.mapping.columns[column] ?? [];
  const names = seen.mapping.attributes.map((/** @type {any} */ one) => one.name);
  for (const name of [...new Set([...names, ...says])]) {
    const about = seen.mapping.attributes.find((/** @type {any} */ one) => one.name === name);
    const option = new Option(`${label(word("field", name))}${about?.required ? " *" : ""}`, name);
    select.append(option);
  }
  select.value = says[0] ?? "";
  select.addEventListener("change", () => means(column, says, select.value));
  return shown;
}

/**
 * A column says something else.
 * @param {string} column
 * @param {string[]} before
 * @param {string} now
 */
function means(column, before, now) {
  const sheet = structuredClone(seen.mapping.json);
  sheet.fields ??= {};
  for (const name of before) {
    if (name.startsWith("custom.")) delete sheet.custom?.[name.slice(7)];
    else delete sheet.fields[name];
  }
  // What said it before says it no longer.
  if (now) sheet.fields[now] = `{${column}}`;
  mapping.value = toml(sheet);
  look().catch(refused);
}

function drawn() {
  const { encoding, delimiter, recognised, mapping: meaning } = seen;
  const whose = recognised ? `${text("text-recognised")} ${recognised.system} (${recognised.mapping}). ` : "";
  const between = delimiter === "\t" ? "Tab" : delimiter;
  found("looks").textContent = `${whose}${label(text(`kind-${meaning.record}`) ?? meaning.record)} · ${encoding} · ${between}`;
  const lacks = meaning.lacks.map((/** @type {string} */ name) => word("field", name)).join(", ");
  found("lacks").textContent = lacks ? `${text("text-lacks")} ${lacks}` : "";
  found("columns").replaceChildren(...seen.header.map(row));
  mapping.value = meaning.toml;
  const outcomes = seen.outcomes.map((/** @type {any} */ one) => {
    const does = one.commands.map((/** @type {any} */ said) => word("command", said.command)).join(", ");
    const same = one.duplicates ? ` ${text("text-twice")} ${one.duplicates}` : "";
    return fill(template("foreseen-row"), { row: one.row, reason: one.reason ?? "", does: `${does}${same}`, outcome: one.outcome });
  });
  found("outcomes").replaceChildren(...outcomes);
  found("meaning").hidden = false;
  found("foreseen").hidden = !outcomes.length;
  found("begin").hidden = Boolean(lacks);
}

async function look() {
  const body = said();
  if (!body.has("file")) return;
  for (const fault of form.querySelectorAll(".fault")) fault.textContent = "";
  form.ariaBusy = "true";
  try {
    seen = await ask("POST", "/v1/imports/preview", body);
    drawn();
  } finally {
    form.ariaBusy = null;
  }
}

form.addEventListener("change", ({ target }) => {
  const name = target instanceof HTMLElement ? target.getAttribute("name") : "";
  if (!name || !["file", "record", "source"].includes(name)) return;
  // Another file means what it means by itself.
  if (name !== "source") mapping.value = "";
  look().catch(refused);
});
found("look-again").addEventListener("click", () => look().catch(refused));

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const tried = /** @type {HTMLButtonElement} */ (event.submitter).value;
  const body = new FormData();
  body.set("kind", "records");
  body.set("dry_run", tried);
  for (const [name, value] of said()) if (name !== "record") body.set(name, value);
  if (!body.get("source")) body.set("source", seen?.mapping.json.source ?? "csv");
  // The file is the last of it.
  const file = body.get("file");
  body.delete("file");
  if (file) body.set("file", file);
  try {
    const begun = await ask("POST", "/v1/imports", body);
    if (tried !== "true") {
      location.assign(`/imports/${begun.id}`);
      return;
    }
    found("job").hidden = false;
    found("job-title").focus();
    await watch(begun.id);
  } catch (error) {
    refused(error);
  }
});
