// The list of people, and what follows from what is done about one of them.

import { all, ask, show } from "./api.js";
import { fill, replace, reveal, template } from "./fill.js";

const place = /** @type {HTMLElement} */ (document.getElementById("people"));
const search = /** @type {HTMLFormElement} */ (document.getElementById("search"));
const more = /** @type {HTMLButtonElement} */ (document.getElementById("more"));

/** @type {any[]} */
let roles = [];
/** @type {any[]} */
let colleagues = [];
/** @type {any[]} */
let people = [];
/** @type {string | null} */
let next = null;

/**
 * Offers roles or colleagues wherever one is to be chosen.
 * @param {ParentNode} root
 */
function offer(root) {
  for (const select of root.querySelectorAll("select[data-options]")) {
    if (!(select instanceof HTMLSelectElement)) continue;
    const offered = select.dataset.options === "roles" ? roles : colleagues;
    const fit = offered.filter((item) => item.id !== select.dataset.without);
    for (const option of [...select.options]) if (option.value) option.remove();
    select.append(...fit.map((item) => new Option(item.name, item.id)));
  }
}

/** @param {any} person */
function card(person) {
  const own = person.roles.map((/** @type {any} */ role) => ({ ...role, user: person.id }));
  const is = { [person.status]: true };
  const shown = fill(template("person"), { ...person, ...is, roles: own });
  offer(shown);
  return shown;
}

function shown() {
  const open = [...place.querySelectorAll("[data-id]:has(> details[open])")].map((item) => item.getAttribute("data-id"));
  replace(place, people.map(card));
  more.hidden = !next;
  for (const item of place.querySelectorAll("[data-id]")) {
    const details = item.querySelector(":scope > details");
    if (details && open.includes(item.getAttribute("data-id"))) details.setAttribute("open", "");
  }
}

async function listed() {
  const name = String(new FormData(search).get("name") ?? "").trim();
  const filter = name ? `&filter=${encodeURIComponent(JSON.stringify({ field: "name", op: "contains", value: name }))}` : "";
  const page = await ask("GET", `/v1/users?sort=status,name&limit=50${filter}`);
  people = page.data;
  next = page.next;
  shown();
}

async function begun() {
  const active = encodeURIComponent(JSON.stringify({ field: "status", op: "eq", value: "active" }));
  const wanted = document.querySelector("[data-options=roles]") || template("person").content.querySelector("[data-options=roles]");
  [roles, colleagues] = await Promise.all([
    wanted ? all("/v1/roles?sort=name&limit=200") : [],
    all(`/v1/users?filter=${active}&sort=name&limit=200`),
  ]);
  offer(document);
  await listed();
}

/**
 * Somebody was invited: gives the role that was chosen, and shows the link.
 * @param {HTMLFormElement} form
 * @param {string} id
 */
async function invited(form, id) {
  const role = /** @type {HTMLSelectElement | null} */ (document.getElementById("invite-role"))?.value;
  if (role) await ask("POST", `/v1/users/${id}/grant_role`, { role });
  const issued = await ask("POST", `/v1/users/${id}/issue_link`, { purpose: "password" });
  form.reset();
  reveal("handed", issued.link);
  await listed();
}

document.addEventListener("answered", (event) => {
  const { answer, then } = /** @type {CustomEvent} */ (event).detail;
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (then === "invited") invited(form, answer.id).catch(show);
  if (then === "link") reveal("handed", answer.link);
  if (then === "list") begun().catch(show);
});

/** @type {number | undefined} */
let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => listed().catch(show), 200);
});
search.addEventListener("submit", (event) => event.preventDefault());

more.addEventListener("click", async () => {
  if (!next) return;
  try {
    const page = await ask("GET", next);
    people.push(...page.data);
    next = page.next;
    shown();
  } catch (error) {
    show(error);
  }
});

begun().catch(show);
