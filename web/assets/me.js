// One's own picture and keys, the choice of time zones, and recovery codes.

import { Refused, all, ask, show } from "./api.js";
import { fill, replace, reveal, template } from "./fill.js";
import { refuse } from "./forms.js";
import { times } from "./times.js";

const zones = document.getElementById("zones");
zones?.append(...Intl.supportedValuesOf("timeZone").map((zone) => new Option(zone, zone)));

const picture = /** @type {HTMLFormElement | null} */ (document.getElementById("picture"));

/**
 * Another picture, or none.
 * @param {HTMLFormElement} form
 * @param {File} [file]
 */
async function pictured(form, file) {
  try {
    if (file) await ask("PUT", "/v1/me/picture", file);
    else await ask("DELETE", "/v1/me/picture");
    location.reload();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refuse(form, error.problem);
  }
}

picture?.addEventListener("change", ({ target }) => {
  const file = target instanceof HTMLInputElement ? target.files?.[0] : null;
  if (file) pictured(picture, file);
});
picture?.addEventListener("submit", (event) => {
  event.preventDefault();
  pictured(picture);
});

const keys = document.getElementById("keys");

async function listed() {
  if (!keys) return;
  const own = { field: "user_id", op: "eq", value: keys.dataset.user };
  const active = { field: "status", op: "eq", value: "active" };
  const filter = encodeURIComponent(JSON.stringify({ all: [own, active] }));
  const found = await all(`/v1/api_keys?filter=${filter}&sort=-issued_at&limit=200`);
  replace(keys, found.map((key) => fill(template("key"), key)));
  times(keys);
}

/**
 * Recovery codes in place of what asked for them.
 * @param {HTMLElement} form
 * @param {string[]} codes
 */
function codes(form, codes) {
  const shown = fill(template("codes"), {});
  const list = /** @type {HTMLElement} */ (shown.querySelector("ol"));
  for (const code of codes) {
    const item = document.createElement("li");
    const text = document.createElement("code");
    text.textContent = code;
    item.append(text);
    list.append(item);
  }
  const heading = /** @type {HTMLElement} */ (shown.querySelector("h3"));
  (form.closest(".factor") ?? form).replaceWith(shown);
  heading.focus();
}

const addresses = document.getElementById("handed-out");

async function addressed() {
  if (!addresses) return;
  const { data } = await ask("GET", "/v1/me/widget_addresses");
  replace(addresses, data.map((/** @type {any} */ one) => fill(template("address"), one)));
  times(addresses);
}

document.addEventListener("answered", (event) => {
  const { answer, then } = /** @type {CustomEvent} */ (event).detail;
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (then === "codes") codes(form, answer.recovery_codes);
  if (then === "key") {
    reveal("issued", answer.key);
    form.reset();
  }
  if (then === "addresses") addressed().catch(show);
  if (then === "key" || then === "list") listed().catch(show);
});

listed().catch(show);
addressed().catch(show);
