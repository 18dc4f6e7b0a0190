// What one was told: the list as it grows, that it has been read, and what one wants to be told of.

import { Refused, announce, ask, show, text, told as inWords } from "./api.js";
import { fill, replace, template } from "./fill.js";
import { times } from "./times.js";
import { count, whenTold } from "./told.js";

/** Notifications on a page. */
const PAGE = 30;
/** By what one is told as long as one has said nothing. */
const USUAL = ["in_app", "push", "chat"];

/** @param {string} name */
const found = (name) => /** @type {HTMLElement} */ (document.getElementById(name));
const list = found("told-list");
const more = /** @type {HTMLButtonElement} */ (found("more"));
const all = /** @type {HTMLButtonElement} */ (found("read-all"));

/** @type {string | null} */
let next = null;
/** How many are shown: what is read anew shows as many. */
let shownOnes = PAGE;

/** @param {any} one */
function row(one) {
  const path = text(`path-${one.record_kind}`);
  const id = encodeURIComponent(one.record_id);
  const way = one.record_kind === "conversation" ? `/inbox?state=all&chat=${id}` : path && `/records/${path}/${id}`;
  const called = one.record_name ?? text(`called-${one.record_kind}`) ?? one.record_kind;
  const filled = fill(template("told-row"), {
    ...one,
    called,
    way: way ?? "",
    unread: one.read ? "" : "1",
    state: one.read ? "read" : "unread",
  });
  const item = /** @type {HTMLElement} */ (filled.querySelector("li"));
  item.dataset.id = one.id;
  const link = item.querySelector("a");
  // What is filled in braces is text: the way is not.
  if (link && way) link.setAttribute("href", way);
  times(filled);
  return filled;
}

/** @param {number} [position] what must be known at least */
async function listed(position) {
  const least = position ? `&min_position=${position}` : "";
  const page = await ask("GET", `/v1/me/notifications?limit=${Math.min(shownOnes, 200)}${least}`);
  const focused = document.activeElement?.closest("#told-list > li");
  const id = focused instanceof HTMLElement ? focused.dataset.id : undefined;
  replace(list, page.data.map(row));
  if (id) /** @type {HTMLElement | null} */ (list.querySelector(`[data-id="${id}"] :is(button, a)`))?.focus();
  next = page.next;
  more.hidden = !next;
  found("none").hidden = page.data.length > 0;
  list.hidden = !page.data.length;
  all.hidden = !page.data.some((/** @type {any} */ one) => !one.read);
}

more.addEventListener("click", async () => {
  if (!next) return;
  try {
    const page = await ask("GET", next);
    list.append(...page.data.map(row));
    shownOnes += page.data.length;
    next = page.next;
    more.hidden = !next;
  } catch (error) {
    show(error);
  }
});

/** @param {string[] | undefined} notifications all that there are when absent */
async function read(notifications) {
  const { position } = await ask("POST", "/v1/me/notifications/mark_read", notifications ? { notifications } : {});
  await Promise.all([listed(position), count(position)]);
}

list.addEventListener("click", async ({ target }) => {
  if (!(target instanceof Element)) return;
  const item = /** @type {HTMLElement | null} */ (target.closest("#told-list > li"));
  const id = item?.dataset.id;
  if (!item || !id || !item.classList.contains("unread")) return;
  try {
    if (target.closest("button[data-does=read]")) {
      await read([id]);
      found("told-title").focus();
    } else if (target.closest("a")) {
      // Whoever goes there has read it; the way is not held up by that.
      const body = JSON.stringify({ notifications: [id] });
      const headers = { "content-type": "application/json" };
      fetch("/v1/me/notifications/mark_read", { method: "POST", body, headers, keepalive: true });
    }
  } catch (error) {
    show(error);
  }
});

all.addEventListener("click", async () => {
  all.disabled = true;
  try {
    await read(undefined);
    found("told-title").focus();
  } catch (error) {
    show(error);
  } finally {
    all.disabled = false;
  }
});

const wants = /** @type {HTMLFormElement} */ (found("wants"));
const boxes = () => /** @type {NodeListOf<HTMLInputElement>} */ (wants.querySelectorAll("input[type=checkbox]"));
/** @param {string} name */
const field = (name) => /** @type {HTMLInputElement} */ (wants.elements.namedItem(name));

function setWants(/** @type {any} */ wanted) {
  for (const box of boxes()) box.checked = (wanted.media?.[box.name] ?? USUAL).includes(box.value);
  field("from").value = wanted.quiet_hours?.from ?? "";
  field("until").value = wanted.quiet_hours?.until ?? "";
  field("digest_at").value = wanted.digest_at ?? "08:00";
}

function wanted() {
  /** @type {Record<string, string[]>} */
  const media = {};
  for (const box of boxes()) {
    media[box.name] ??= [];
    if (box.checked) media[box.name]?.push(box.value);
  }
  const [from, until] = [field("from").value, field("until").value];
  /** @type {Record<string, any>} */
  const said = { media };
  if (from || until) said.quiet_hours = { from, until };
  if (field("digest_at").value) said.digest_at = field("digest_at").value;
  return said;
}

// Mail of its own or one a day: what is chosen last counts.
wants.addEventListener("change", ({ target }) => {
  if (!(target instanceof HTMLInputElement) || !target.checked) return;
  const other = { email: "digest", digest: "email" }[target.value];
  for (const box of boxes()) if (box.name === target.name && box.value === other) box.checked = false;
});

wants.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fault = found("wants-fault");
  fault.textContent = "";
  wants.ariaBusy = "true";
  try {
    setWants(await ask("PUT", "/v1/me/notification_preferences", wanted()));
    announce("saved");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    fault.textContent = inWords(error.problem);
  } finally {
    wants.ariaBusy = null;
  }
});

const chat = /** @type {HTMLFormElement} */ (found("chat"));

/** What is told of how one is reached besides. @param {{ chat_webhook: boolean, browsers: any[] }} ways */
function setWays({ chat_webhook, browsers }) {
  found("chat-is").hidden = !chat_webhook;
  found("chat-off").hidden = !chat_webhook;
  for (const [medium, set] of Object.entries({ chat: chat_webhook, push: browsers.length > 0 })) {
    /** @type {HTMLElement} */ (document.querySelector(`[data-tests=${medium}]`)).hidden = !set;
  }
}

const ways = async () => setWays(await ask("GET", "/v1/me/notification_ways"));

/** @param {string | null} url */
async function setChat(url) {
  const fault = found("chat-fault");
  fault.textContent = "";
  try {
    await ask("PUT", "/v1/me/chat_webhook", { url });
    chat.reset();
    announce("saved");
    await ways();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    fault.textContent = inWords(error.problem);
  }
}

chat.addEventListener("submit", (event) => {
  event.preventDefault();
  setChat(/** @type {HTMLInputElement} */ (found("chat-url")).value);
});
found("chat-off").addEventListener("click", () => setChat(null));

document.addEventListener("click", async ({ target }) => {
  const button = target instanceof Element ? target.closest("[data-tests]") : null;
  if (!(button instanceof HTMLButtonElement)) return;
  button.disabled = true;
  try {
    const { delivered, reason } = await ask("POST", "/v1/me/test_notification", { medium: button.dataset.tests });
    if (delivered) announce("saved");
    else found("fault").textContent = reason;
  } catch (error) {
    show(error);
  } finally {
    button.disabled = false;
  }
});

const canPush = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
const [turnOn, turnOff] = ["push-on", "push-off"].map((name) => /** @type {HTMLButtonElement} */ (found(name)));

/** The one script that runs without a page: nothing else may be named where one is. */
function worker() {
  const policies = /** @type {any} */ (window).trustedTypes;
  const only = (/** @type {string} */ url) => (url === "/push.js" ? url : "");
  return policies ? policies.createPolicy("push", { createScriptURL: only }).createScriptURL("/push.js") : "/push.js";
}

/** @returns {Promise<PushSubscription | null | undefined>} */
const subscription = async () => (await navigator.serviceWorker.getRegistration("/"))?.pushManager.getSubscription();

async function setPush() {
  const state = found("push-state");
  state.textContent = "";
  if (!canPush || !turnOn || !turnOff) {
    state.textContent = text("push-none") ?? "";
    return;
  }
  const is = Boolean(await subscription());
  turnOn.hidden = is;
  turnOff.hidden = !is;
  if (!is && Notification.permission === "denied") state.textContent = text("push-denied") ?? "";
}

/** @param {string} key as base64url has it */
function bytes(key) {
  const plain = atob(key.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

turnOn?.addEventListener("click", async () => {
  try {
    if ((await Notification.requestPermission()) === "granted") {
      const registration = await navigator.serviceWorker.register(worker());
      await navigator.serviceWorker.ready;
      const { key } = await ask("GET", "/v1/me/push_key");
      const made = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
      const { endpoint, keys } = made.toJSON();
      await ask("POST", "/v1/me/subscribe_push", { endpoint, keys });
      announce("saved");
    }
    await Promise.all([setPush(), ways()]);
  } catch (error) {
    if (error instanceof Refused) show(error);
    else found("push-state").textContent = text("push-denied") ?? "";
  }
});

turnOff?.addEventListener("click", async () => {
  try {
    const known = await subscription();
    if (known) await ask("POST", "/v1/me/unsubscribe_push", { endpoint: known.endpoint });
    await known?.unsubscribe();
    announce("saved");
    await Promise.all([setPush(), ways()]);
  } catch (error) {
    show(error);
  }
});

whenTold(() => listed().catch(show));
try {
  const [, preferences] = await Promise.all([listed(), ask("GET", "/v1/me/notification_preferences")]);
  setWants(preferences);
  await Promise.all([setPush(), ways()]);
} catch (error) {
  show(error);
}
