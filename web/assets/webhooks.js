// Webhooks: how each fares, what was sent to it of late, trying it, and its secret, which is shown once.

import { all, announce, ask, show, text } from "./api.js";
import { fill, replace, reveal, template } from "./fill.js";
import { times } from "./times.js";

/** How often it is looked what has come of a test, and how long it is waited between two looks, in milliseconds. */
const LOOKS = 20;
const PAUSE = 300;

const list = /** @type {HTMLElement} */ (document.getElementById("webhooks"));

const rest = () => new Promise((done) => setTimeout(done, PAUSE));

/** @param {string} name */
const said = (name) => text(`hook-${name}`) ?? name;

/** @param {any} webhook */
async function shown(webhook) {
  const how = await ask("GET", `/v1/webhooks/${webhook.id}/progress`);
  const works = webhook.status === "enabled";
  const why = webhook.disabled_by && webhook.disabled_by !== "person" ? said(webhook.disabled_by) : webhook.disabled_reason;
  const archived = webhook.status === "archived";
  const state = works && how.failing_since ? "failing" : webhook.status;
  const asked = webhook.types.join(", ");
  return fill(template("webhook"), { ...webhook, ...how, works, archived, why, asked, state: said(state) });
}

async function listed() {
  const found = await all("/v1/webhooks?limit=200");
  const open = new Set([...list.querySelectorAll("details[open][data-log]")].map((log) => /** @type {HTMLElement} */ (log).dataset.log));
  const live = found.filter((webhook) => webhook.status !== "archived");
  replace(list, await Promise.all(live.map(shown)));
  times(list);
  for (const log of /** @type {NodeListOf<HTMLDetailsElement>} */ (list.querySelectorAll("details[data-log]"))) {
    if (open.has(log.dataset.log)) log.open = true;
  }
}

/**
 * What was sent of late.
 * @param {string} id
 */
async function logged(id) {
  const log = list.querySelector(`details[data-log="${CSS.escape(id)}"]`);
  const place = /** @type {HTMLElement | null} */ (log?.querySelector("ul"));
  if (!place) return [];
  const { data } = await ask("GET", `/v1/webhooks/${id}/deliveries?limit=20`);
  const works = !!list.querySelector(`[data-id="${CSS.escape(id)}"] form[action$="/disable"], [data-id="${CSS.escape(id)}"] form[action$="/test"]`);
  const rows = data.map((/** @type {any} */ delivery) => {
    const { request, response } = delivery;
    const sent = `${Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`).join("\n")}\n\n${JSON.stringify(request.body, null, 2)}`;
    const got = response ? `${Object.entries(response.headers).map(([name, value]) => `${name}: ${value}`).join("\n")}\n\n${response.body}` : "";
    return fill(template("delivery"), { ...delivery, webhook: id, works, outcome: said(delivery.status), answer: response?.status, sent, got });
  });
  replace(place, rows);
  times(place);
  return data;
}

list.addEventListener(
  "toggle",
  ({ target }) => {
    if (target instanceof HTMLDetailsElement && target.open && target.dataset.log) logged(target.dataset.log).catch(show);
  },
  true,
);

/**
 * Opens the log of a webhook, and waits until what was asked for has been sent.
 * @param {string} id
 */
async function tried(id) {
  const log = /** @type {HTMLDetailsElement | null} */ (list.querySelector(`details[data-log="${CSS.escape(id)}"]`));
  if (!log) return;
  const before = (await logged(id))[0]?.id;
  log.open = true;
  for (let turn = 0; turn < LOOKS; turn += 1) {
    const [newest] = await logged(id);
    if (newest && newest.id !== before) break;
    await rest();
  }
  /** @type {HTMLElement | null} */ (log.querySelector("summary"))?.focus();
  announce("saved");
}

document.addEventListener("answered", async (event) => {
  const { answer, then } = /** @type {CustomEvent} */ (event).detail;
  const form = /** @type {HTMLFormElement} */ (event.target);
  try {
    if (then === "secret") {
      reveal("hook-secret", answer.secret);
      form.reset();
    }
    if (then === "tried") await tried(answer.id);
    else await listed();
  } catch (error) {
    show(error);
  }
});

listed().catch(show);
