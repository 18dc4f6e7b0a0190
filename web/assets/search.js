// Search: the box on every page, which shows what is found while one types, and the page of a search.

import { ask, show, text } from "./api.js";
import { fill, template } from "./fill.js";
import { times } from "./times.js";

/**
 * @typedef {{ text: string, hit: boolean }} Piece
 * @typedef {{ kind: string, id: string, title: Piece[], number: number | null, happened_at: string,
 *   fragments: { text: Piece[] }[], links: { self: string, about?: string } }} Hit
 * @typedef {{ data: { kind: string, count: number, more: boolean, hits: Hit[] }[], similar: boolean }} Answer
 */

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("seeks"));
const box = /** @type {HTMLInputElement | null} */ (document.getElementById("seek"));
const said = document.getElementById("said");
const list = document.getElementById("seek-list");
const found = document.getElementById("found");

/** How long somebody may think between two letters, in milliseconds. */
const PAUSE = 120;

/** @param {Hit} hit */
function path({ kind, links }) {
  if (kind === "user") return "/people";
  return (links.about ?? links.self).replace(/^\/v1\//, "/records/");
}

/**
 * Texts with what matches marked: never as markup.
 * @param {Piece[]} pieces
 */
function marked(pieces) {
  return pieces.map(({ text: part, hit }) => {
    if (!hit) return document.createTextNode(part);
    const mark = document.createElement("mark");
    mark.textContent = part;
    return mark;
  });
}

/** @param {Hit} hit */
const title = (hit) => (hit.title.length ? marked(hit.title) : [document.createTextNode(text(`kind-${hit.kind}`) ?? hit.kind)]);

/**
 * @param {string} name
 * @param {string} className
 * @param {(Node | string)[]} content
 */
function element(name, className, content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** @param {Answer | null} answer */
function tell(answer) {
  if (!said) return;
  const none = answer && !answer.data.length;
  said.textContent = (none ? text("text-seek_nothing") : answer?.similar ? text("text-seek_similar") : "") ?? "";
}

/** @param {Answer} answer */
function fillPage(answer) {
  const groups = answer.data.map((group) => {
    const count = `${group.count}${group.more ? "+" : ""}`;
    const part = fill(template("found-group"), { kind: group.kind, count });
    part.querySelector("ol")?.append(
      ...group.hits.map((hit) => {
        const row = fill(template("found-hit"), { number: hit.number ?? "", happened_at: hit.happened_at, path: "" });
        const link = /** @type {HTMLAnchorElement} */ (row.querySelector("a"));
        link.href = path(hit);
        link.append(...title(hit));
        row.querySelector("li")?.append(...hit.fragments.map((fragment) => element("p", "snippet", marked(fragment.text))));
        return row;
      }),
    );
    return part;
  });
  found?.replaceChildren(...groups);
  if (found) times(found);
}

/** Where one stands among what is offered; -1 in the box. */
let at = -1;

const options = () => /** @type {HTMLElement[]} */ ([...(list?.querySelectorAll("[role=option]") ?? [])]);

function close() {
  at = -1;
  if (list) list.hidden = true;
  list?.replaceChildren();
  box?.setAttribute("aria-expanded", "false");
  box?.removeAttribute("aria-activedescendant");
}

/** @param {number} place */
function stand(place) {
  const all = options();
  at = all.length ? (place + all.length + 1) % (all.length + 1) : -1;
  if (at === all.length) at = -1;
  for (const [index, option] of all.entries()) option.setAttribute("aria-selected", String(index === at));
  const option = all[at];
  if (option) {
    box?.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  } else box?.removeAttribute("aria-activedescendant");
}

/** @param {Answer} answer */
function offer(answer) {
  if (!list || !box) return;
  let number = 0;
  /** @type {(content: (Node | string)[], href: string, className: string) => HTMLElement} */
  const option = (content, href, className) => {
    const made = element("div", className, content);
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", "false");
    made.id = `seek-${number++}`;
    made.dataset.href = href;
    return made;
  };
  const groups = answer.data.map((group) => {
    const name = element("p", "of", [text(`kind-${group.kind}`) ?? group.kind, " ", element("span", "count", [`${group.count}${group.more ? "+" : ""}`])]);
    name.setAttribute("aria-hidden", "true");
    const hits = group.hits.map((hit) => {
      const lead = element("span", "called", [...title(hit), ...(hit.number === null ? [] : [` #${hit.number}`])]);
      const line = hit.fragments[0] ? [element("span", "snippet", marked(hit.fragments[0].text))] : [];
      return option([lead, ...line], path(hit), "hit");
    });
    const made = element("div", "", [name, ...hits]);
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", text(`kind-${group.kind}`) ?? group.kind);
    return made;
  });
  const every = `/search?${new URLSearchParams({ q: box.value.trim() })}`;
  const rest = answer.data.length ? [option([text("text-seek_all") ?? ""], every, "every")] : [];
  const none = answer.data.length ? [] : [element("p", "none", [text("text-seek_nothing") ?? ""])];
  list.replaceChildren(...groups, ...rest, ...none);
  list.hidden = !answer.data.length;
  at = -1;
  box.setAttribute("aria-expanded", String(!list.hidden));
  box.removeAttribute("aria-activedescendant");
}

/** How often was asked: an answer that comes late is of no use. */
let turn = 0;

async function seek() {
  if (!form || !box) return;
  const own = ++turn;
  const given = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (String(value).trim()) given.set(name, String(value));
  if (found) history.replaceState(null, "", given.size ? `?${given}` : location.pathname);
  const fault = document.getElementById("fault");
  if (!box.value.trim()) {
    tell(null);
    found?.replaceChildren();
    return close();
  }
  given.set("limit", found ? "20" : "4");
  try {
    const answer = /** @type {Answer} */ (await ask("GET", `/v1/search?${given}`));
    if (own !== turn) return;
    if (fault && found) fault.textContent = "";
    tell(answer);
    if (found) fillPage(answer);
    else offer(answer);
  } catch (error) {
    if (own !== turn) return;
    // What is half typed asks for nothing yet.
    if (found) show(error);
    else close();
  }
}

if (form && box) {
  /** @type {number | undefined} */
  let typing;
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(seek, PAUSE);
  });
  if (found) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      seek();
    });
  } else {
    box.addEventListener("keydown", (event) => {
      const open = list && !list.hidden;
      if (event.key === "ArrowDown" && open) stand(at + 1);
      else if (event.key === "ArrowUp" && open) stand(at < 0 ? options().length - 1 : at - 1);
      else if (event.key === "Enter" && open && at >= 0) location.assign(options()[at]?.dataset.href ?? "/search");
      else if (event.key === "Escape") {
        if (!open) box.value = "";
        turn++;
        close();
      } else return;
      event.preventDefault();
    });
    list?.addEventListener("mousedown", (event) => event.preventDefault());
    list?.addEventListener("click", ({ target }) => {
      const option = target instanceof Element ? target.closest("[role=option]") : null;
      if (option instanceof HTMLElement) location.assign(option.dataset.href ?? "/search");
    });
    form.addEventListener("focusout", ({ relatedTarget }) => {
      if (!(relatedTarget instanceof Node && form.contains(relatedTarget))) close();
    });
    box.addEventListener("focus", () => {
      if (box.value.trim()) seek();
    });
  }
  // A stroke leads there from anywhere one does not write.
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    const writes = target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select"));
    if (key !== "/" || writes || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    box.focus();
    box.select();
  });
}
