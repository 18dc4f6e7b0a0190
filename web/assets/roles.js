// What each role lets people see and do, kind by kind, out of the patterns that it consists of.

import { all, ask, show, text, word } from "./api.js";
import { fill, replace, template } from "./fill.js";

const place = /** @type {HTMLElement} */ (document.getElementById("roles"));

/** How far a permission reaches, the farthest first. */
const SCOPES = ["all", "team", "own"];

/** @param {string} pattern */
function parted(pattern) {
  const [words = "", scope = "all"] = pattern.split(":");
  return { words, scope };
}

/**
 * Whether words such as `ticket.*` cover a permission: as the server has it, all of one kind is what one does to one's own.
 * @param {string} words
 * @param {string} permission
 */
function covers(words, permission) {
  const [kind, action] = words.split(".");
  const [of, what = ""] = permission.split(".");
  if (action === undefined) return words === "*";
  const every = action === "*" && (kind === "*" || !what.endsWith("_any"));
  return (kind === "*" || kind === of) && (every || action === what);
}

/**
 * How far a role permits something; nothing where it does not.
 * @param {string[]} patterns
 * @param {string} permission
 */
function reach(patterns, permission) {
  const fit = patterns.map(parted).filter(({ words }) => covers(words, permission));
  return SCOPES.find((scope) => fit.some((pattern) => pattern.scope === scope));
}

/** @param {string} name */
const said = (name) => text(`text-${name}`) ?? name;
/**
 * What one may do, in words; what may be done to what others did is said so.
 * @param {string} action
 */
function doing(action) {
  const own = action.replace(/_any$/, "");
  return own === action ? word("command", action) : `${word("command", own)} (${said("of_others")})`;
}

/**
 * What a role permits with one kind of record.
 * @param {string} kind
 * @param {string[]} actions
 * @param {string[]} patterns
 */
function row(kind, actions, patterns) {
  const sees = reach(patterns, `${kind}.read`);
  const others = actions.filter((action) => action !== "read");
  const does = [];
  for (const scope of SCOPES) {
    const fit = others.filter((action) => reach(patterns, `${kind}.${action}`) === scope);
    if (!fit.length) continue;
    const words = fit.length === others.length ? said("everything") : fit.map(doing).join(", ");
    does.push({ words, scope: scope === "all" ? "" : said(scope) });
  }
  if (!sees && !does.length) return null;
  return { kind: text(`kind-${kind}`) ?? kind.replaceAll("_", " "), sees: said(sees ?? "nothing"), does };
}

/**
 * Rows that say the same are one, by all their kinds: what is special stands out.
 * @param {{ kind: string, sees: string, does: { words: string, scope: string }[] }[]} rows
 */
function gathered(rows) {
  const sorted = rows.toSorted((a, b) => a.kind.localeCompare(b.kind, document.documentElement.lang));
  const same = Map.groupBy(sorted, ({ sees, does }) => JSON.stringify([sees, does]));
  return [...same.values()].map((group) => ({ ...group[0], kind: group.map(({ kind }) => kind).join(", ") }));
}

/**
 * @param {any} role
 * @param {Map<string, string[]>} kinds
 */
function section(role, kinds) {
  const patterns = /** @type {string[]} */ (role.permissions);
  const full = patterns.includes("*");
  const every = full ? [] : [...kinds].map(([kind, actions]) => row(kind, actions, patterns));
  const rows = gathered(every.filter((row) => row !== null));
  const chips = patterns.map((pattern) => ({ pattern, role: role.id }));
  const summary = full ? said("everything") : rows.length ? "" : said("nothing");
  const shown = fill(template("role"), { ...role, summary, kinds: rows.length, patterns: chips });
  shown.querySelector("tbody")?.append(...rows.map((row) => fill(template("kind"), row)));
  return shown;
}

async function listed() {
  const [roles, permissions] = await Promise.all([
    all("/v1/roles?sort=name&limit=200"),
    ask("GET", "/v1/permissions").then((answer) => /** @type {string[]} */ (answer.data)),
  ]);
  /** @type {Map<string, string[]>} */
  const kinds = new Map();
  for (const permission of permissions) {
    const [kind = "", action = ""] = permission.split(".");
    kinds.set(kind, [...(kinds.get(kind) ?? []), action]);
  }
  const open = [...place.querySelectorAll("[data-id]:has(> details[open])")].map((item) => item.getAttribute("data-id"));
  replace(place, roles.map((role) => section(role, kinds)));
  for (const item of place.querySelectorAll("[data-id]")) {
    if (open.includes(item.getAttribute("data-id"))) item.querySelector(":scope > details")?.setAttribute("open", "");
  }
  const patterns = [...kinds.keys()].flatMap((kind) => [`${kind}.*`]).concat(permissions, "*", "*.read");
  document.getElementById("permissions")?.replaceChildren(...patterns.map((pattern) => new Option(pattern, pattern)));
}

document.addEventListener("answered", (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  form.reset();
  listed().catch(show);
});

listed().catch(show);
