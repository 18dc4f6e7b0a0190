// System notices: why each was raised, what came in, correcting it and trying it again, and clearing one or all.

import { Refused, announce, ask, show, text, told } from "./api.js";
import { look } from "./attention.js";
import { fill, replace, template } from "./fill.js";
import { times } from "./times.js";

/** How often a page looks what has become of something, and how long it waits between two looks, in milliseconds. */
const LOOKS = 40;
const PAUSE = 150;
/** Notices on a page. */
const PAGE = 50;

/** @param {string} name */
const found = (name) => /** @type {HTMLElement} */ (document.getElementById(name));
const list = found("notices");
const more = /** @type {HTMLButtonElement} */ (found("more"));
const clearing = /** @type {HTMLButtonElement | null} */ (document.getElementById("clear-all"));

/** @type {string | null} */
let next = null;

const rest = () => new Promise((done) => setTimeout(done, PAUSE));

/** @param {any} notice */
function shown(notice) {
  const delivery = notice.subject_kind === "delivery" ? notice.subject_id : "";
  const why = text(`why-${notice.code}`);
  const row = fill(template("notice"), {
    ...notice,
    named: text(`notice-${notice.about}`) ?? notice.about,
    why: why ?? notice.reason,
    reason: why ? notice.reason : "",
    again: notice.raised_count > 1 ? notice.raised_count : "",
    delivery,
    source: "",
    place: notice.subject_kind === "conversation" ? "1" : "",
    hook: notice.subject_kind === "webhook" ? "1" : "",
  });
  const item = /** @type {HTMLElement} */ (row.querySelector("li"));
  item.dataset.id = notice.id;
  const way = item.querySelector("a.chat");
  if (way instanceof HTMLAnchorElement) way.href = `/records/conversations/${encodeURIComponent(notice.subject_id)}`;
  times(row);
  return row;
}

/** Says how many there are. @param {number} count */
function counted(count) {
  found("count").textContent = count ? `${text("notice-waiting") ?? ""} ${count}` : (text("notice-none") ?? "");
  if (clearing) clearing.hidden = !count;
  list.hidden = !count;
}

async function listed() {
  const page = await ask("GET", `/v1/notices?limit=${PAGE}&count=exact`);
  replace(list, page.data.map(shown));
  counted(page.total);
  next = page.next;
  more.hidden = !next;
}

more.addEventListener("click", async () => {
  if (!next) return;
  try {
    const page = await ask("GET", next);
    list.append(...page.data.map(shown));
    next = page.next;
    more.hidden = !next;
  } catch (error) {
    show(error);
  }
});

/**
 * One notice is not there any more: what has the focus then is the next one, or the heading.
 * @param {HTMLElement} item
 */
async function gone(item) {
  const after = item.nextElementSibling ?? item.previousElementSibling;
  item.remove();
  const button = after?.querySelector("button");
  if (button instanceof HTMLElement) button.focus();
  else found("notices-title").focus();
  const page = await ask("GET", "/v1/notices?limit=1&count=exact");
  counted(page.total);
  await look();
}

/** A body as it came, laid out where it is JSON. @param {string} id */
async function came(id) {
  const response = await fetch(`/v1/deliveries/${id}/body`);
  const body = await response.text();
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

/** The body of a delivery, once somebody wants to see it. */
list.addEventListener(
  "toggle",
  async ({ target }) => {
    if (!(target instanceof HTMLDetailsElement) || !target.open) return;
    const form = /** @type {HTMLFormElement} */ (target.querySelector("form"));
    const area = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("body"));
    if (area.value) return;
    const id = form.dataset.delivery ?? "";
    try {
      const [about, body] = await Promise.all([ask("GET", `/v1/deliveries/${id}`), came(id)]);
      area.value = body;
      area.defaultValue = area.value;
      const source = target.querySelector("summary span");
      if (source) source.textContent = [about.source, about.key].filter(Boolean).join(" · ");
    } catch (error) {
      refused(form, error);
    }
  },
  true,
);

/**
 * @param {HTMLFormElement} form
 * @param {unknown} error
 */
function refused(form, error) {
  if (!(error instanceof Refused)) throw error;
  const place = /** @type {HTMLElement} */ (form.querySelector(".fault"));
  place.textContent = told(error.problem);
}

/**
 * What has become of a delivery that is tried.
 * @param {string} id
 */
async function became(id) {
  let delivery = await ask("GET", `/v1/deliveries/${id}`);
  for (let turn = 0; turn < LOOKS && delivery.status === "received"; turn += 1) {
    await rest();
    delivery = await ask("GET", `/v1/deliveries/${id}`);
  }
  return delivery;
}

list.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  const does = /** @type {HTMLButtonElement} */ (event.submitter).value;
  const { delivery: id = "" } = form.dataset;
  const item = /** @type {HTMLElement} */ (form.closest("li"));
  const fault = /** @type {HTMLElement} */ (form.querySelector(".fault"));
  fault.textContent = "";
  form.ariaBusy = "true";
  try {
    const area = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("body"));
    await ask("POST", `/v1/deliveries/${id}/${does}`, does === "correct" ? { body: area.value } : {});
    if (does === "dismiss") {
      await gone(item);
      return;
    }
    const delivery = await became(id);
    if (delivery.status === "taken") {
      announce("saved");
      await gone(item);
    } else {
      const why = text(`why-${delivery.code}`);
      fault.textContent = [why, delivery.reason].filter(Boolean).join(" ") || (text("notice-later") ?? "");
    }
  } catch (error) {
    refused(form, error);
  } finally {
    form.ariaBusy = null;
  }
});

list.addEventListener("click", async ({ target }) => {
  const button = target instanceof Element ? target.closest("button[data-does=clear]") : null;
  if (!button) return;
  const item = /** @type {HTMLElement} */ (button.closest("li"));
  try {
    await ask("POST", `/v1/notices/${item.dataset.id}/clear`, {});
    await gone(item);
  } catch (error) {
    show(error);
  }
});

/** All that there are at this moment, by one order. */
async function clear() {
  const bulk = await ask("POST", "/v1/bulk", { kind: "system_notice", command: "clear", filter: {} });
  for (let turn = 0; turn < LOOKS; turn += 1) {
    const { status } = await ask("GET", `/v1/bulk/${bulk.id}/progress?wait=10`);
    if (!["queued", "running"].includes(status)) break;
  }
}

/** One by one, for whoever may not change many records at once. */
async function each() {
  for (let turn = 0; turn < LOOKS; turn += 1) {
    const page = await ask("GET", "/v1/notices?limit=200");
    if (!page.data.length) break;
    await Promise.all(page.data.map((/** @type {any} */ notice) => ask("POST", `/v1/notices/${notice.id}/clear`, {})));
  }
}

clearing?.addEventListener("click", async () => {
  clearing.disabled = true;
  try {
    if (clearing.dataset.at === "once") await clear();
    else await each();
    await listed();
    await look();
    found("notices-title").focus();
  } catch (error) {
    show(error);
  } finally {
    clearing.disabled = false;
  }
});

listed().catch(show);
