// Sends forms to the API, shows what is wrong beside each field, and goes where they lead.

import { Refused, announce, ask, told } from "./api.js";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */

/**
 * What a form says, as the API takes it: empty fields say nothing, unless they clear something.
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} submitter
 */
function said(form, submitter) {
  /** @type {Record<string, unknown>} */
  const body = {};
  const cleared = (form.dataset.cleared ?? "").split(" ");
  for (const [name, value] of new FormData(form, submitter)) {
    const control = /** @type {Control | RadioNodeList | null} */ (form.elements.namedItem(name));
    const type = control instanceof HTMLElement ? control.dataset.type : undefined;
    const typed = String(value);
    if (type === "lines") body[name] = typed.split("\n").map((line) => line.trim()).filter(Boolean);
    else if (type === "bool") body[name] = typed === "true";
    else if (type === "number" && typed.trim()) body[name] = Number(typed);
    else if (typed.trim()) body[name] = typed;
    else if (type === "null" || type === "number" || cleared.includes(name)) body[name] = null;
  }
  return body;
}

/**
 * Forgets what was wrong.
 * @param {HTMLFormElement} form
 */
function clear(form) {
  for (const fault of form.querySelectorAll(".fault")) fault.textContent = "";
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const fault of form.querySelectorAll(".field > .wrong")) {
    const described = form.querySelector(`[aria-describedby~="${CSS.escape(fault.id)}"]`);
    const left = described?.getAttribute("aria-describedby")?.split(" ").filter((id) => id !== fault.id).join(" ");
    if (left) described?.setAttribute("aria-describedby", left);
    else described?.removeAttribute("aria-describedby");
    fault.remove();
  }
}

/**
 * Shows what is wrong: beside the field that a pointer names, else for all of the form.
 * @param {HTMLFormElement} form
 * @param {import("./api.js").Problem} problem
 */
export function refuse(form, problem) {
  const rest = [];
  let first = true;
  for (const error of problem.errors ?? []) {
    const name = error.pointer.split("/")[1] ?? "";
    const control = form.querySelector(`.field [name="${CSS.escape(name)}"]`);
    const field = control?.closest(".field");
    if (!control || !field) {
      rest.push(told(error));
      continue;
    }
    const wrong = document.createElement("p");
    wrong.className = "wrong";
    wrong.id = `${control.id}-wrong`;
    wrong.textContent = told(error);
    field.append(wrong);
    control.setAttribute("aria-invalid", "true");
    const described = control.getAttribute("aria-describedby");
    control.setAttribute("aria-describedby", [described, wrong.id].filter(Boolean).join(" "));
    if (first) /** @type {HTMLElement} */ (control).focus();
    first = false;
  }
  if (!problem.errors?.length) rest.push(told(problem));
  const place = form.querySelector(".fault");
  if (place) place.textContent = [...new Set(rest)].join(" ");
}

/**
 * Where a form leads once it is done.
 * @param {HTMLFormElement} form
 * @param {any} answer
 */
function lead(form, answer) {
  const next = new FormData(form).get("next");
  if (answer?.state === "tenant_needed" || answer?.state === "code_needed") {
    location.assign(`/sign_in/continue?next=${encodeURIComponent(String(next ?? "/"))}`);
  } else if (next) {
    // To the same page is to see it anew.
    if (next === location.pathname) location.reload();
    else location.assign(String(next));
  }
}

/** @param {SubmitEvent} event */
async function submitted(event) {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !("api" in form.dataset)) return;
  event.preventDefault();
  if (form.ariaBusy === "true") return;
  clear(form);
  const body = said(form, event.submitter);
  const next = body.next;
  delete body.next;
  form.ariaBusy = "true";
  try {
    const answer = await ask("POST", /** @type {string} */ (form.getAttribute("action")), body);
    const done = new CustomEvent("answered", { bubbles: true, detail: { answer, body, then: form.dataset.then } });
    form.dispatchEvent(done);
    if (form.dataset.then === "saved") announce("saved");
    if (next) lead(form, answer);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refuse(form, error.problem);
  } finally {
    form.ariaBusy = null;
  }
}

document.addEventListener("submit", submitted);
