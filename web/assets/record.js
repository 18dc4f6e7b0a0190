// A record: what it says, who may see and change it, with whom it is shared, and what happened to it; as it is, at any time, or as it was.

import { all, announce, ask, isGone, reach, show, text, word } from "./api.js";
import { badges, drawn } from "./badges.js";
import { fill, replace, template } from "./fill.js";
import { concerns, follow } from "./live.js";
import { amounts, times } from "./times.js";
import { called, details, element, fields, label, learn, listed, paired, reference } from "./values.js";

/** @typedef {import("./values.js").Values} Values */

/** @param {string} id */
const found = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const place = found("record");
const { path, kind = "", id = "", position, changed = "", commands, me = "", name: mine = "" } = place.dataset;
const own = `/v1/${path}/${id}`;
/** The position of the log at which the record is looked at; null for now. */
const moment = new URLSearchParams(location.search).get("as_of");
const then = moment === null ? "" : `?as_of=${encodeURIComponent(moment)}`;
/** @type {import("./values.js").Known} */
const known = { collections: paired(place.dataset.collections), references: paired(place.dataset.references), names: new Map() };

/** @type {Values} */
let record = {};
/** @type {Record<string, unknown>} What one may do oneself. */
let may = {};
/** @type {string | null} */
let next = null;

/** @param {ParentNode} root */
function written(root) {
  times(root);
  amounts(root);
  badges(root).catch(show);
}

/** What everybody who can be named is called, and whom it can be shared with. */
async function introduced() {
  const [people, teams] = await Promise.all([
    "people" in place.dataset ? all("/v1/users?sort=name&limit=200") : [],
    "teams" in place.dataset ? all("/v1/teams?sort=name&limit=200") : [],
  ]);
  known.names.set(me, mine);
  for (const named of [...people, ...teams]) known.names.set(named.id, named.name);
  const options = (/** @type {any[]} */ named) => named.map((one) => new Option(one.name, one.id));
  const colleagues = people.filter((one) => one.status === "active" && one.id !== me);
  document.getElementById("share-people")?.replaceChildren(...options(colleagues));
  document.getElementById("share-teams")?.replaceChildren(...options(teams));
}

async function read() {
  record = await ask("GET", own + then);
  learn(record, known.names);
  const { name } = called(record, place.dataset);
  /** @type {HTMLElement} */ (document.querySelector("h1")).textContent = name;
  document.title = `${name} · Deskfold`;
  const picture = kind === "product" ? drawn(record) : null;
  if (picture) document.querySelector("h1")?.prepend(picture);
  const { list, unfilled } = details(record, known);
  const part = fill(template("fields"), { unfilled: unfilled.join(", ").toLocaleLowerCase() });
  part.querySelector(".fields-of")?.replaceWith(list);
  place.replaceChildren(part);
  place.removeAttribute("aria-busy");
  written(place);
  if (moment === null) return;
  const notice = found("then");
  /** @type {HTMLTimeElement} */ (notice.querySelector("time")).dateTime = record[changed] ?? "";
  notice.hidden = false;
  written(notice);
}

/**
 * By what somebody sees it.
 * @param {Values} sees
 * @param {string} user
 * @returns {(Node | string)[]}
 */
function because({ by, relation, roles, about, with: whom }, user) {
  const words = (by === "own" ? text(`holds-${relation}`) : text(`by-${by}`)) ?? by;
  const further = by === "role" ? roles.join(", ") : whom && whom !== user ? known.names.get(whom) : "";
  const said = further ? `${words}: ${further}` : words;
  const last = about.at(-1);
  if (!last) return [said];
  const name = known.names.get(last.id) ?? text(`kind-${last.kind}`);
  return [`${text("by-about")} `, reference(last.kind, last.id, known, name), ` (${said})`];
}

/** @param {Values} who */
function permitted({ user, name, sees, commands: may }) {
  const all = listed(commands);
  const does = all.filter((command) => command in may);
  const not = all.filter((command) => !(command in may));
  const list = (/** @type {string[]} */ names) => names.map((name) => word("command", name)).join(", ");
  const some = not.length < does.length ? `${text("text-but")} ${list(not)}` : list(does);
  const whole = !not.length ? "everything" : !does.length ? "nothing" : "";
  const row = fill(template("permitted"), { name, does: whole ? text(`text-${whole}`) : some });
  row.querySelector(".because")?.append(...because(sees, user));
  return row;
}

async function accessed() {
  const self = await ask("GET", `/v1/me/access?record=${kind}:${id}`);
  may = moment === null ? self.commands : {};
  const alone = moment === null ? [{ user: me, name: mine, ...self }] : [];
  const data = "people" in place.dataset ? (await ask("GET", `${own}/access${then}`)).data : alone;
  found("access-part").hidden = !data.length;
  replace(found("access"), data.map(permitted));
}

function shared() {
  const list = document.getElementById("shares");
  if (!list) return;
  const shares = Object.entries(record.shared ?? {});
  const rows = shares.map(([grantee, level]) => {
    return fill(template("shared"), { grantee, level, name: known.names.get(grantee) ?? grantee, may: may.unshare });
  });
  replace(list, rows);
  found("share").hidden = !may.share || !document.querySelector("#share optgroup option");
}

/** @param {Values} event */
function happened(event) {
  const { actor, data, type, occurred_at: at, position } = event;
  const shown = fill(template("event"), { what: label(word("event", type.split(".").pop() ?? type)), at, position, data: Object.keys(data).length });
  const named = known.names.get(actor.id);
  const who = named ? [named] : actor.kind === "rule" ? [reference("rule", actor.id, known, text("actor-rule"))] : [text(`actor-${actor.kind}`) ?? ""];
  if (actor.on_behalf_of) who.push(` ${text("text-for")} `, known.names.get(actor.on_behalf_of) ?? "?");
  shown.querySelector(".who-did")?.append(...who);
  const { changes, ...rest } = data;
  const said = { ...changes, ...rest };
  // What is short is told at once.
  const part = shown.querySelector(Object.keys(said).length < 4 ? "details" : ".fields-of");
  part?.replaceWith(fields(said, known).list);
  if (moment === String(position)) shown.querySelector("li")?.setAttribute("aria-current", "true");
  return shown;
}

/** @param {string} address */
async function remembered(address) {
  const page = await ask("GET", address);
  next = page.next;
  found("more").hidden = !next;
  return page.data.map(happened);
}

async function looked() {
  await Promise.all([read(), accessed()]);
  shared();
  const events = found("events");
  replace(events, await remembered(`${own}/history?backwards=true&limit=20`));
  written(events);
}

found("more").addEventListener("click", async () => {
  try {
    const events = found("events");
    if (next) events.append(...(await remembered(next)));
    written(events);
  } catch (error) {
    show(error);
  }
});

document.addEventListener("answered", (event) => {
  const { then: what } = /** @type {CustomEvent} */ (event).detail;
  if (what !== "shared") return;
  const form = /** @type {HTMLFormElement} */ (event.target);
  form.reset();
  // What was pressed may be gone.
  const settled = () => {
    announce("saved");
    if (!form.isConnected) found("sharing-title").focus();
  };
  looked().then(settled).catch(show);
});

/** @param {import("./live.js").Change[]} changes */
function heard(changes) {
  const latest = changes.filter((change) => concerns(change, kind, id)).at(-1);
  if (!latest) return;
  reach(String(latest.position));
  // What one does not see any more is not there any more: the page says so.
  looked().catch((error) => (isGone(error) ? location.reload() : show(error)));
}

reach(position);
introduced().then(looked).catch(show);
// What was stays as it was.
if (moment === null) follow(position, heard);
