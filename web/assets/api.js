// Calls the API of this server, as whoever is signed in.

/**
 * What the API refuses with (RFC 9457).
 * @typedef {{ code: string, detail: string, status: number, errors?: { pointer: string, code: string, detail: string }[] }} Problem
 */

/** A refusal. */
export class Refused extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/**
 * Whether something was refused because there is no such thing, or one does not see it.
 * @param {unknown} error
 */
export const isGone = (error) => error instanceof Refused && error.problem.status === 404;

/** Where the position of the last change is kept: lists are read as they are after it. */
const POSITION = "deskfold-position";

/**
 * Sees to it that nothing is answered that is older than this position.
 * @param {string | undefined} position
 */
export function reach(position) {
  if (Number(position) > Number(sessionStorage.getItem(POSITION))) sessionStorage.setItem(POSITION, String(position));
}

/** The position that lists are read at, or later. */
export const least = () => sessionStorage.getItem(POSITION);

/**
 * Asks the API; what it answers, or null where it says nothing. A file goes as it is, everything else as JSON.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {string} [key] what is asked under the same key is done once
 * @returns {Promise<any>}
 * @throws {Refused}
 */
export async function ask(method, path, body, key) {
  /** @type {Record<string, string>} */
  const headers = { accept: "application/json" };
  const position = sessionStorage.getItem(POSITION);
  if (method === "GET" && position) headers["deskfold-min-position"] = position;
  const file = body instanceof Blob || body instanceof FormData ? body : undefined;
  if (key) headers["idempotency-key"] = key;
  // A form of several parts says by itself what it is.
  if (body !== undefined && !(body instanceof FormData)) headers["content-type"] = file ? "application/octet-stream" : "application/json";
  const sent = file ?? (body === undefined ? undefined : JSON.stringify(body));
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, { method, headers, body: sent });
  } catch {
    throw new Refused({ code: "unreachable", detail: "The server cannot be reached.", status: 0 });
  }
  const text = await response.text();
  /** @type {any} */
  let said = null;
  try {
    said = text ? JSON.parse(text) : null;
  } catch {
    said = { code: "unreachable", detail: response.statusText, status: response.status };
  }
  if (!response.ok) {
    if (said?.code === "position_ahead") {
      sessionStorage.removeItem(POSITION);
      return ask(method, path, body, key);
    }
    if (["session_ended", "key_missing"].includes(said?.code)) {
      location.assign(`/sign_in?next=${encodeURIComponent(location.pathname + location.search)}`);
    }
    throw new Refused(said ?? { code: "unreachable", detail: response.statusText, status: response.status });
  }
  if (method !== "GET") reach(response.headers.get(POSITION) ?? undefined);
  return said;
}

/**
 * Everything of a list, page by page.
 * @param {string} path
 * @returns {Promise<any[]>}
 */
export async function all(path) {
  const found = [];
  for (let next = path; next; ) {
    const page = await ask("GET", next);
    found.push(...page.data);
    next = page.next;
  }
  return found;
}

/**
 * A text of the page, in its language.
 * @param {string} name
 * @returns {string | undefined}
 */
export function text(name) {
  for (const texts of ["texts", "words", "page-texts"]) {
    const place = document.getElementById(texts);
    const found = place instanceof HTMLTemplateElement && place.content.querySelector(`[data-text="${CSS.escape(name)}"]`);
    if (found) return found.textContent ?? undefined;
  }
  return undefined;
}

/** @param {string} name */
const plain = (name) => name.replaceAll("_", " ");

/**
 * What people call a word of the API's.
 * @param {"state" | "command" | "field" | "event"} family
 * @param {string} name
 */
export const word = (family, name) => text(`${family}-${name}`) ?? plain(name);

/**
 * What is wrong, in the language of the page where it has a text of it.
 * @param {{ code: string, detail: string }} fault
 */
export function told(fault) {
  return text(`problem-${fault.code}`) ?? fault.detail;
}

/**
 * Shows what is wrong with the whole page.
 * @param {unknown} error
 */
export function show(error) {
  if (!(error instanceof Refused)) throw error;
  const place = document.getElementById("fault");
  if (place) place.textContent = told(error.problem);
}

/**
 * Says that something is done.
 * @param {string} name
 */
export function announce(name) {
  const toast = document.getElementById("toast");
  if (!toast) return;
  toast.textContent = text(`text-${name}`) ?? name;
  toast.classList.add("shown");
  setTimeout(() => toast.classList.remove("shown"), 2500);
}
