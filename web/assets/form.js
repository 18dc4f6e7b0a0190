// Shows the fields of a form that depend on others only where they are asked for. Without it the server alone decides.

const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form.asks"));

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */

/**
 * What a field holds: nothing where it is not shown.
 * @param {string} key
 */
function held(key) {
  const control = /** @type {Control | null} */ (form?.elements.namedItem(key));
  if (!control || control.disabled) return "";
  if (control instanceof HTMLInputElement && control.type === "checkbox") return control.checked ? "true" : "";
  return control.value.trim();
}

/** Shows and hides, from the first field on: each depends on those before it. */
function settle() {
  for (const field of /** @type {NodeListOf<HTMLElement>} */ (form?.querySelectorAll("[data-if]") ?? [])) {
    /** @type {{ field: string, values: string[] }[]} */
    const conditions = JSON.parse(field.dataset.if ?? "[]");
    const shown = conditions.every(({ field: key, values }) => {
      const value = held(key);
      return value !== "" && (values.length === 0 || values.includes(value));
    });
    field.hidden = !shown;
    for (const control of /** @type {NodeListOf<Control>} */ (field.querySelectorAll("input, select, textarea"))) {
      control.disabled = !shown;
      control.required = shown && "required" in control.dataset;
    }
  }
}

form?.addEventListener("input", settle);
form?.addEventListener("change", settle);
settle();
document.documentElement.dataset.settled = "";

// Whoever was refused begins at the first field that is wrong.
/** @type {HTMLElement | null} */ (document.querySelector("form.asks [aria-invalid]"))?.focus();
