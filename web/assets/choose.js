// Chooses records of a list, or all that it finds, and tries a command on them: the page of the bulk shows the rest.

import { all, ask, show, text } from "./api.js";
import { refuse } from "./forms.js";

/**
 * What choosing needs of the list.
 * @typedef {object} Listed
 * @property {string} path
 * @property {string} kind
 * @property {() => object} filter what the list finds, as the API takes it
 * @property {() => { id: string }[]} records those that are shown
 * @property {() => boolean} past whether the list is one of the past, of which nothing can be changed
 */

/**
 * What a form of a command says, as the API takes it: empty fields say nothing.
 * @param {HTMLFormElement} form
 */
export function body(form) {
  /** @type {Record<string, unknown>} */
  const said = {};
  for (const field of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("#bulk-fields [name]"))) {
    const value = field.value.trim();
    if (!value) continue;
    const type = field.dataset.type;
    if (type === "number") said[field.name] = Number(value);
    else if (type === "bool") said[field.name] = value === "true";
    else if (type === "moment") said[field.name] = new Date(value).toISOString();
    else if (type === "lines") said[field.name] = value.split("\n").map((line) => line.trim()).filter(Boolean);
    else if (type === "json") said[field.name] = JSON.parse(value);
    else said[field.name] = value;
  }
  return said;
}

/**
 * @param {Listed} list
 * @returns {{ drawn: () => void, asked: () => void }} what the list says when it has drawn its rows, and when it asks for others
 */
export function choosing(list) {
  const panel = /** @type {HTMLDetailsElement | null} */ (document.getElementById("bulk"));
  if (!panel) return { drawn() {}, asked() {} };
  const form = /** @type {HTMLFormElement} */ (document.getElementById("bulk-form"));
  const chosen = /** @type {HTMLElement} */ (document.getElementById("bulk-chosen"));
  const fields = /** @type {HTMLElement} */ (document.getElementById("bulk-fields"));
  const command = /** @type {HTMLSelectElement} */ (form.elements.namedItem("command"));
  /** @type {Set<string>} */
  let ids = new Set();
  /** All that the list finds, and how many that are. @type {number | null} */
  let whole = null;

  const boxes = () => /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[data-pick]"));
  function told() {
    const count = whole ?? ids.size;
    chosen.textContent = count ? `${text("text-chosen")} ${count}` : (text("text-chosen_none") ?? "");
    for (const box of boxes()) {
      box.checked = whole !== null || ids.has(box.value);
      box.disabled = whole !== null;
    }
  }
  function drawn() {
    panel?.toggleAttribute("hidden", list.past());
    told();
  }
  // Another filter finds others.
  function asked() {
    whole = null;
    told();
  }

  document.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || !("pick" in target.dataset)) return;
    if (target.checked) ids.add(target.value);
    else ids.delete(target.value);
    told();
  });
  form.addEventListener("click", async ({ target }) => {
    const how = target instanceof HTMLElement ? target.dataset.choose : undefined;
    if (!how) return;
    whole = null;
    if (how === "none") ids = new Set();
    else if (how === "page") for (const { id } of list.records()) ids.add(id);
    else {
      try {
        const filter = encodeURIComponent(JSON.stringify(list.filter()));
        whole = (await ask("GET", `/v1/${list.path}?limit=1&count=exact&filter=${filter}`)).total;
      } catch (error) {
        show(error);
      }
    }
    told();
  });

  async function fitted() {
    const made = /** @type {HTMLTemplateElement | null} */ (panel?.querySelector(`template[data-command="${CSS.escape(command.value)}"]`));
    fields.replaceChildren(...(made ? [made.content.cloneNode(true)] : []));
    for (const select of /** @type {NodeListOf<HTMLSelectElement>} */ (fields.querySelectorAll("select[data-of]"))) {
      const named = await all(`/v1/${select.dataset.of}?limit=200`);
      const options = named.map((one) => new Option(one.name ?? one.title ?? one.id, one.id));
      select.append(...options.sort((one, other) => one.text.localeCompare(other.text)));
    }
  }
  command.addEventListener("change", () => fitted().catch(show));
  fitted().catch(show);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = /** @type {HTMLElement} */ (form.querySelector(".fault"));
    fault.textContent = "";
    if (whole === null && !ids.size) {
      fault.textContent = text("text-chosen_none") ?? "";
      return;
    }
    try {
      const which = whole === null ? { ids: [...ids] } : { filter: list.filter() };
      const asks = { kind: list.kind, command: command.value, body: body(form), dry_run: true, ...which };
      const begun = await ask("POST", "/v1/bulk", asks);
      location.assign(`/bulk/${begun.id}`);
    } catch (error) {
      if (error instanceof SyntaxError) fault.textContent = error.message;
      else if (error instanceof Error && "problem" in error) {
        const problem = /** @type {import("./api.js").Problem} */ (error.problem);
        // What is wrong with the command stands in its fields.
        const errors = problem.errors?.map((one) => ({ ...one, pointer: one.pointer.replace(/^\/body/, "") }));
        refuse(form, { ...problem, errors });
      } else throw error;
    }
  });
  return { drawn, asked };
}
