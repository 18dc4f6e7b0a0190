// Suggests while somebody types: a list of options under a field, for mouse, keyboard and screen reader.

import { show } from "./api.js";

/** One that is `meant` is marked as soon as it is offered: Enter takes it. @typedef {{ value: any, label: string, hint?: string, meant?: boolean }} Option */

let fields = 0;

/**
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {HTMLElement} list
 * @param {object} asked
 * @param {(typed: string) => Promise<Option[]> | Option[]} asked.find what fits what is typed
 * @param {(option: Option) => void} asked.choose
 * @param {(typed: string) => void} [asked.typed] what Enter does while nothing is chosen
 * @param {string} [asked.none] how it is said that nothing fits
 * @param {number} [asked.pause] how long somebody may think between two letters, in milliseconds
 * @returns {{ look: () => Promise<void>, leave: () => void }}
 */
export function suggesting(field, list, { find, choose, typed, none, pause = 150 }) {
  const number = ++fields;
  /** @type {Option[]} */
  let options = [];
  let active = -1;
  let turn = 0;
  /** @type {number | undefined} */
  let waiting;
  const whole = field instanceof HTMLInputElement;
  if (whole) {
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", list.id);
    field.ariaExpanded = "false";
  }

  function draw() {
    const rows = options.map(({ label, hint }, place) => {
      const row = document.createElement("div");
      row.id = `option-${number}-${place}`;
      row.setAttribute("role", "option");
      row.ariaSelected = String(place === active);
      const name = document.createElement("span");
      name.dir = "auto";
      name.textContent = label;
      row.append(name);
      if (hint) {
        const more = document.createElement("small");
        more.dir = "auto";
        more.textContent = hint;
        row.append(more);
      }
      return row;
    });
    list.replaceChildren(...rows);
    if (!rows.length && none && field.value.trim()) {
      const said = document.createElement("div");
      said.setAttribute("role", "option");
      said.ariaDisabled = "true";
      said.ariaSelected = "false";
      said.textContent = none;
      list.append(said);
    }
    list.hidden = !list.childElementCount;
    if (whole) field.ariaExpanded = String(!list.hidden);
    const current = rows[active];
    if (current) field.setAttribute("aria-activedescendant", current.id);
    else field.removeAttribute("aria-activedescendant");
    current?.scrollIntoView({ block: "nearest" });
  }

  async function look() {
    const mine = ++turn;
    try {
      const found = await find(field.value);
      if (mine !== turn) return;
      options = found;
      active = found[0]?.meant ? 0 : -1;
      draw();
    } catch (error) {
      show(error);
    }
  }
  function leave() {
    turn++;
    clearTimeout(waiting);
    options = [];
    active = -1;
    list.replaceChildren();
    list.hidden = true;
    if (whole) field.ariaExpanded = "false";
    field.removeAttribute("aria-activedescendant");
  }
  /** @param {Option} option */
  function take(option) {
    leave();
    choose(option);
  }

  field.addEventListener("input", () => {
    clearTimeout(waiting);
    if (pause) waiting = setTimeout(look, pause);
    else look();
  });
  field.addEventListener("keydown", (/** @type {Event} */ pressed) => {
    const event = /** @type {KeyboardEvent} */ (pressed);
    if (event.isComposing) return;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const option = options[active];
    if (step && options.length) {
      active = (active + step + options.length) % options.length;
      draw();
    } else if (event.key === "Tab" && options[0] && !whole && !event.shiftKey) {
      take(option ?? options[0]);
    } else if (event.key === "Enter" && option) {
      take(option);
    } else if (event.key === "Enter" && typed && field.value.trim()) {
      const said = field.value;
      leave();
      typed(said);
    } else if (event.key === "Escape" && !list.hidden) {
      leave();
    } else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const row = event.target instanceof Element ? event.target.closest("[role=option]") : null;
    const option = row && options[[...list.children].indexOf(row)];
    if (option) take(option);
  });
  field.addEventListener("blur", leave);
  return { look, leave };
}
