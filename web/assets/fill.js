// Fills templates of the page with what the API answers: as text, never as markup.

import { text } from "./api.js";

/** @typedef {Record<string, any>} Values */

/**
 * What stands in braces.
 * @param {string} pattern
 * @param {Values} values
 */
function substituted(pattern, values) {
  return pattern.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name] ?? "") : whole));
}

/**
 * Whether an element has this attribute, among its descendants or itself.
 * @param {DocumentFragment | Element} root
 * @param {string} attribute
 */
function having(root, attribute) {
  return [...root.querySelectorAll(`[${attribute}]`)];
}

/**
 * A filled copy of a template.
 * @param {HTMLTemplateElement} template
 * @param {Values} values
 * @returns {DocumentFragment}
 */
export function fill(template, values) {
  const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  // What repeats comes first: it has values of its own.
  for (const list of having(copy, "data-each")) {
    const inner = /** @type {HTMLTemplateElement} */ (list.querySelector(":scope > template"));
    const items = values[list.getAttribute("data-each") ?? ""] ?? [];
    inner.remove();
    list.append(...items.map((/** @type {Values} */ item) => fill(inner, item)));
    list.removeAttribute("data-each");
    if (!items.length) list.remove();
  }
  for (const part of having(copy, "data-if")) {
    if (!values[part.getAttribute("data-if") ?? ""]) part.remove();
    part.removeAttribute("data-if");
  }
  for (const part of having(copy, "data-unless")) {
    if (values[part.getAttribute("data-unless") ?? ""]) part.remove();
    part.removeAttribute("data-unless");
  }
  for (const part of having(copy, "data-class")) {
    part.classList.add(String(values[part.getAttribute("data-class") ?? ""]));
    part.removeAttribute("data-class");
  }
  for (const part of having(copy, "data-fill")) {
    const name = part.getAttribute("data-fill") ?? "";
    if (!(name in values)) continue;
    const value = String(values[name] ?? "");
    const family = part.getAttribute("data-family");
    if (part instanceof HTMLTimeElement) part.dateTime = value;
    part.textContent = family ? (text(`${family}-${value}`) ?? value) : value;
    part.removeAttribute("data-fill");
  }
  for (const part of copy.querySelectorAll("*")) {
    for (const attribute of part.attributes) {
      if (!attribute.value.includes("{")) continue;
      const address = ["action", "href", "src"].includes(attribute.name);
      const safe = Object.entries(values).map(([name, value]) => [name, address ? encodeURIComponent(value) : value]);
      attribute.value = substituted(attribute.value, Object.fromEntries(safe));
    }
  }
  return copy;
}

/**
 * The template of this id.
 * @param {string} id
 */
export function template(id) {
  return /** @type {HTMLTemplateElement} */ (document.getElementById(id));
}

/**
 * Shows these in place of what an element held; says so where there is none.
 * @param {HTMLElement} place
 * @param {DocumentFragment[]} parts
 * @param {string} [none] how that is said
 */
export function replace(place, parts, none = "empty") {
  place.replaceChildren(...parts);
  place.removeAttribute("aria-busy");
  if (parts.length) return;
  const empty = document.createElement(place.matches("ul, ol") ? "li" : "p");
  empty.className = "hint";
  empty.textContent = text(`text-${none}`) ?? "";
  place.append(empty);
}

/**
 * Shows a secret, once.
 * @param {string} id
 * @param {string} secret
 */
export function reveal(id, secret) {
  const place = /** @type {HTMLElement} */ (document.getElementById(id));
  const code = /** @type {HTMLElement} */ (place.querySelector("[data-secret]"));
  code.textContent = secret;
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}
