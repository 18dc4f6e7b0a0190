// Dashboards: what changes is shown at once, and whoever may edit one moves, resizes, adds and removes what is on it.

import { ask, reach, show, text } from "./api.js";
import { configuring } from "./configure.js";
import { refuse } from "./forms.js";
import { listen } from "./live.js";
import { amounts, times } from "./times.js";

/** @typedef {{ x: number, y: number, w: number, h: number }} Place */
/** @typedef {{ section: HTMLElement, id: string, place: Place }} Widget */

const board = document.getElementById("board");
/** Columns and rows of the grid. */
const COLUMNS = 12;
const ROWS = 100;
const TALLEST = 12;
/** How long a burst of changes may take to be one: in milliseconds. */
const BURST = 400;
/** What is remembered when the page is shown anew. */
const EDITING = "deskfold-editing";

// Whoever made a dashboard goes there.
document.addEventListener("answered", (event) => {
  const { answer } = /** @type {CustomEvent} */ (event).detail;
  if (answer?.id && event.target instanceof HTMLElement && ["new-board", "copy"].includes(event.target.id)) {
    location.assign(`/dashboards/${answer.id}`);
  }
});

/**
 * The same page as it is now, with these widgets alone. Nothing of it runs: it is read as a document.
 * @param {string[]} widgets
 * @returns {Promise<Document | null>}
 */
function anew(widgets) {
  const address = new URL(location.href);
  address.searchParams.set("widgets", widgets.join(","));
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.responseType = "document";
    request.open("GET", address);
    request.onload = () => done(request.status === 200 ? request.responseXML : null);
    request.onerror = () => done(null);
    request.send();
  });
}

/**
 * Puts widgets in the place of what they were.
 * @param {string[]} widgets
 */
async function renew(widgets) {
  const page = await anew(widgets);
  for (const id of widgets) {
    const before = document.getElementById(`widget-${id}`);
    const now = page?.getElementById(`widget-${id}`);
    if (!before || !now) continue;
    // Whoever reads the table goes on reading it.
    const opened = before.querySelector("details[open]");
    const details = now.querySelector("details");
    if (opened && details) details.open = true;
    const controls = before.querySelector(".controls");
    const focused = controls?.contains(document.activeElement) ? document.activeElement : null;
    if (controls) now.prepend(controls);
    now.className = before.className;
    before.replaceWith(document.adoptNode(now));
    // Whoever goes on with a widget stays on its control.
    if (focused instanceof HTMLElement) focused.focus();
    times(now);
    amounts(now);
  }
}

/** @param {HTMLElement} board */
function follow(board) {
  /** @type {Set<string>} */
  let heard = new Set();
  const changed = (/** @type {{ widgets: string[], position: number }} */ { widgets, position }) => {
    reach(String(position));
    for (const id of widgets) heard.add(id);
  };
  const tell = () => {
    const there = [...heard].filter((id) => document.getElementById(`widget-${id}`));
    heard = new Set();
    if (there.length) renew(there);
  };
  listen(`/v1/dashboards/${board.dataset.id}/stream`, board.dataset.position, { changed }, tell, BURST);
}

/**
 * Hands out the address of a picture, and shows it in the place of what asked for it.
 * @param {HTMLElement} board
 * @param {HTMLElement} button
 */
async function address(board, button) {
  const widget = /** @type {HTMLElement} */ (button.closest(".widget")).dataset.widget;
  try {
    const language = document.documentElement.lang;
    const made = await ask("POST", "/v1/me/address_widget", { widget: `${board.dataset.id}.${widget}`, language });
    const shown = document.createElement("code");
    shown.className = "secret";
    shown.textContent = new URL(made.path, location.href).href;
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.textContent = text("text-address_made") ?? "";
    button.replaceWith(shown, hint);
  } catch (error) {
    show(error);
  }
}

/** @param {HTMLElement} board */
function edit(board) {
  const base = `/v1/dashboards/${board.dataset.id}`;
  const button = /** @type {HTMLButtonElement} */ (document.getElementById("edit"));
  const editor = /** @type {HTMLElement} */ (document.getElementById("editor"));
  const add = /** @type {HTMLFormElement} */ (document.getElementById("add"));
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById("controls"));
  const page = board.dataset.page ?? "";

  /** @type {() => Widget[]} */
  const widgets = () =>
    [.../** @type {NodeListOf<HTMLElement>} */ (board.querySelectorAll(".widget"))].map((section) => {
      const [x = 0, y = 0, w = 1, h = 1] = (section.dataset.place ?? "").split(" ").map(Number);
      return { section, id: section.dataset.widget ?? "", place: { x, y, w, h } };
    });

  /** @type {(one: Place, other: Place) => boolean} */
  const meet = (one, other) =>
    one.x < other.x + other.w && other.x < one.x + one.w && one.y < other.y + other.h && other.y < one.y + one.h;

  /** @param {Widget} widget */
  function stand({ section, place }) {
    for (const name of [...section.classList]) if (/^[xywh]\d+$/.test(name)) section.classList.remove(name);
    section.classList.add(`x${place.x}`, `y${place.y}`, `w${place.w}`, `h${place.h}`);
    section.dataset.place = `${place.x} ${place.y} ${place.w} ${place.h}`;
  }

  /**
   * Moves a widget; whatever is in its way goes down.
   * @param {string} id
   * @param {Place} wanted
   */
  async function move(id, wanted) {
    const all = widgets();
    const before = new Map(all.map((widget) => [widget.id, { ...widget.place }]));
    const moved = all.find((widget) => widget.id === id);
    if (!moved) return;
    const w = Math.min(Math.max(wanted.w, 1), COLUMNS);
    const h = Math.min(Math.max(wanted.h, 1), TALLEST);
    moved.place = { x: Math.min(Math.max(wanted.x, 0), COLUMNS - w), y: Math.min(Math.max(wanted.y, 0), ROWS - h), w, h };
    const settled = [moved];
    const others = all.filter((widget) => widget !== moved).sort((a, b) => a.place.y - b.place.y || a.place.x - b.place.x);
    for (const widget of others) {
      for (let upon; (upon = settled.find((other) => meet(other.place, widget.place))); ) {
        widget.place = { ...widget.place, y: upon.place.y + upon.place.h };
      }
      settled.push(widget);
    }
    const changed = settled.filter(({ id, place }) => JSON.stringify(before.get(id)) !== JSON.stringify(place));
    if (!changed.length) return;
    try {
      await ask("POST", `${base}/place_widgets`, { places: changed.map(({ id, place }) => ({ widget: id, place })) });
      changed.forEach(stand);
      renew(changed.map((widget) => widget.id));
    } catch (error) {
      show(error);
    }
  }

  /** @param {string} command @param {object} body @param {HTMLFormElement} [form] */
  async function run(command, body, form) {
    try {
      await ask("POST", `${base}/${command}`, body);
      return true;
    } catch (error) {
      if (form && error instanceof Error && "problem" in error) refuse(form, /** @type {any} */ (error).problem);
      else show(error);
      return false;
    }
  }

  function controls() {
    for (const { section, id } of widgets()) {
      section.querySelector(".controls")?.remove();
      if (!board.classList.contains("editing")) continue;
      const bar = /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
      const title = section.querySelector("h2")?.textContent ?? id;
      bar.setAttribute("aria-label", `${bar.getAttribute("aria-label")}: ${title}`);
      section.prepend(bar);
    }
  }

  /** @param {boolean} on */
  function editing(on) {
    board.classList.toggle("editing", on);
    button.setAttribute("aria-pressed", String(on));
    editor.hidden = !on;
    if (on) sessionStorage.setItem(EDITING, board.dataset.id ?? "");
    else sessionStorage.removeItem(EDITING);
    controls();
  }

  /** @type {Record<string, (place: Place) => Place>} */
  const steps = {
    left: (place) => ({ ...place, x: place.x - 1 }),
    right: (place) => ({ ...place, x: place.x + 1 }),
    up: (place) => ({ ...place, y: place.y - 1 }),
    down: (place) => ({ ...place, y: place.y + 1 }),
    wider: (place) => ({ ...place, w: place.w + 1 }),
    narrower: (place) => ({ ...place, w: place.w - 1 }),
    taller: (place) => ({ ...place, h: place.h + 1 }),
    shorter: (place) => ({ ...place, h: place.h - 1 }),
  };

  button.addEventListener("click", () => editing(!board.classList.contains("editing")));
  board.addEventListener("click", async ({ target }) => {
    const pressed = target instanceof Element ? target.closest("button[data-does]") : null;
    const section = pressed?.closest(".widget");
    if (!(pressed instanceof HTMLElement) || !(section instanceof HTMLElement)) return;
    const widget = widgets().find((known) => known.section === section);
    if (!widget) return;
    const does = pressed.dataset.does ?? "";
    if (does === "remove") {
      if (await run("remove_widget", { widget: widget.id })) section.remove();
      return;
    }
    if (does === "configure") {
      take(widget);
      return;
    }
    const step = steps[does];
    if (step) await move(widget.id, step(widget.place));
  });

  board.addEventListener("pointerdown", (event) => {
    const grip = event.target instanceof Element ? event.target.closest("[data-grip]") : null;
    const section = grip?.closest(".widget");
    if (!(grip instanceof HTMLElement) || !(section instanceof HTMLElement)) return;
    const widget = widgets().find((known) => known.section === section);
    if (!widget) return;
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    section.classList.add("dragged");
    const sizes = grip.dataset.grip === "size";
    const [x, y, wide, high] = [event.clientX, event.clientY, section.offsetWidth, section.offsetHeight];
    const column = board.clientWidth / COLUMNS;
    const row = high / widget.place.h;
    // It goes with the pointer, and settles on the grid when it is let go.
    const drag = (/** @type {PointerEvent} */ { clientX, clientY }) => {
      const [along, down] = [clientX - x, clientY - y];
      if (sizes) Object.assign(section.style, { width: `${Math.max(column, wide + along)}px`, height: `${Math.max(row, high + down)}px` });
      else section.style.translate = `${along}px ${down}px`;
    };
    const drop = (/** @type {PointerEvent} */ end) => {
      section.classList.remove("dragged");
      Object.assign(section.style, { width: "", height: "", translate: "" });
      grip.removeEventListener("pointermove", drag);
      grip.removeEventListener("pointerup", drop);
      grip.removeEventListener("pointercancel", drop);
      if (end.type === "pointercancel") return;
      const along = Math.round((end.clientX - x) / column);
      const down = Math.round((end.clientY - y) / row);
      if (!along && !down) return;
      const { place } = widget;
      move(widget.id, sizes ? { ...place, w: place.w + along, h: place.h + down } : { ...place, x: place.x + along, y: place.y + down });
    };
    grip.addEventListener("pointermove", drag);
    grip.addEventListener("pointerup", drop);
    grip.addEventListener("pointercancel", drop);
  });

  // The same with keys: arrows move what has the grip, and with Shift they resize it.
  board.addEventListener("keydown", (event) => {
    const grip = event.target instanceof Element ? event.target.closest(".grip") : null;
    const widget = grip && widgets().find((known) => known.section === grip.closest(".widget"));
    const names = event.shiftKey
      ? { ArrowLeft: "narrower", ArrowRight: "wider", ArrowUp: "shorter", ArrowDown: "taller" }
      : { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
    const step = steps[/** @type {Record<string, string>} */ (names)[event.key] ?? ""];
    if (!widget || !step) return;
    event.preventDefault();
    move(widget.id, step(widget.place));
  });

  // The form of a widget.
  const configure = configuring(add);
  const panel = /** @type {HTMLDetailsElement} */ (add.closest("details"));
  /** The widget that is changed; none where a new one is added. @type {string | null} */
  let changed = null;

  /** @param {Widget | null} widget */
  function take(widget) {
    changed = widget?.id ?? null;
    configure.take(widget ? JSON.parse(widget.section.dataset.shows ?? "{}") : null);
    panel.open = Boolean(widget);
    if (!widget) return;
    panel.scrollIntoView({ block: "start" });
    /** @type {HTMLElement} */ (add.elements.namedItem("kind")).focus();
  }

  add.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = add.querySelector(".fault");
    if (fault) fault.textContent = "";
    /** @type {Record<string, any>} */
    let shown;
    try {
      shown = configure.shows();
    } catch (error) {
      if (fault) fault.textContent = String(error);
      return;
    }
    if (changed) {
      if (await run("configure_widget", { widget: changed, shows: shown }, add)) location.reload();
      return;
    }
    const low = Math.max(0, ...widgets().map(({ place }) => place.y + place.h));
    const small = shown.kind === "number";
    const place = { x: 0, y: Math.min(low, ROWS - 4), w: small ? 3 : 6, h: small ? 2 : 4 };
    let home = page;
    if (!home) {
      home = "overview";
      if (!(await run("add_page", { page: home, name: document.querySelector("h1")?.textContent ?? home }, add))) return;
    }
    const id = `${shown.kind}-${crypto.randomUUID().slice(0, 8)}`;
    if (await run("add_widget", { page: home, widget: { id, place, shows: shown } }, add)) location.reload();
  });
  document.getElementById("add-leave")?.addEventListener("click", () => take(null));

  const pages = () =>
    [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".tabs [data-page]"))].map((tab) => tab.dataset.page ?? "");
  document.getElementById("page-new")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const id = `page-${crypto.randomUUID().slice(0, 8)}`;
    if (await run("add_page", { page: id, name: new FormData(form).get("name") }, form)) location.assign(`?page=${id}`);
  });
  document.getElementById("page-name")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (await run("rename_page", { page, name: new FormData(form).get("name") }, form)) location.reload();
  });
  for (const does of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-page-does]"))) {
    does.addEventListener("click", async () => {
      if (does.dataset.pageDoes === "remove") {
        if (await run("remove_page", { page })) location.assign(location.pathname);
        return;
      }
      const order = pages();
      const at = order.indexOf(page);
      const to = at + (does.dataset.pageDoes === "earlier" ? -1 : 1);
      if (to < 0 || to >= order.length) return;
      order.splice(to, 0, ...order.splice(at, 1));
      if (await run("reorder_pages", { pages: order })) location.reload();
    });
  }

  if (sessionStorage.getItem(EDITING) === board.dataset.id) editing(true);
}

if (board instanceof HTMLElement && board.dataset.id) {
  reach(board.dataset.position);
  // What was stays as it was.
  if (!board.dataset.past) follow(board);
  board.addEventListener("click", ({ target }) => {
    if (target instanceof HTMLElement && "address" in target.dataset) address(board, target);
  });
  if (board.dataset.edit) edit(board);
}
