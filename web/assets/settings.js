// The settings and features of the tenant.

import { ask, show, text } from "./api.js";
import { fill, replace, template } from "./fill.js";

const values = /** @type {HTMLElement} */ (document.getElementById("values"));
const features = /** @type {HTMLElement} */ (document.getElementById("features"));

/** @param {any} setting */
function field(setting) {
  const { key, type, value } = setting;
  const label = text(`setting-${key}`) ?? key;
  const about = text(`about-${key}`) ?? setting.description;
  const is = { is_bool: type === "bool", is_names: type === "names", is_number: type === "number", is_text: !["bool", "names", "number"].includes(type) };
  const shown = fill(template("value"), { key, label, about, ...is });
  const control = shown.querySelector("[name=value]");
  if (control instanceof HTMLSelectElement) control.value = String(value);
  else if (control instanceof HTMLTextAreaElement) control.value = value.join("\n");
  else if (control instanceof HTMLInputElement) control.value = value ?? "";
  return shown;
}

async function set() {
  const { data } = await ask("GET", "/v1/settings");
  replace(values, data.map(field));
}

async function switched() {
  const { data } = await ask("GET", "/v1/features");
  const shown = data.map((/** @type {any} */ feature) => {
    const label = text(`feature-${feature.feature}`) ?? feature.description;
    const order = feature.enabled ? "disable_feature" : "enable_feature";
    return fill(template("feature"), { ...feature, label, order });
  });
  replace(features, shown);
}

document.addEventListener("answered", (event) => {
  const { then, body } = /** @type {CustomEvent} */ (event).detail;
  if (then !== "list") return;
  const again = () => /** @type {HTMLElement | null} */ (features.querySelector(`form:has([value="${CSS.escape(body.feature)}"]) button`))?.focus();
  switched().then(again).catch(show);
});

set().catch(show);
switched().catch(show);
