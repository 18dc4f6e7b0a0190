// What a script shows of something that goes through many: how far it is, and what became of them.

import { label } from "./values.js";
import { text } from "./api.js";

/** @typedef {Record<string, any>} Progress */

/**
 * Shows how far it is.
 * @param {Progress} progress
 * @param {number | null} total
 * @param {number} done
 * @param {[string, number][]} counts
 */
export function counted(progress, total, done, counts) {
  const bar = /** @type {HTMLProgressElement} */ (document.getElementById("progress"));
  bar.hidden = !isAtWork(progress);
  if (total === null) bar.removeAttribute("value");
  else {
    bar.max = Math.max(total, 1);
    bar.value = done;
  }
  const of = total === null ? String(done) : `${done} / ${total}`;
  const told = counts.filter(([, count]) => count).map(([name, count]) => `${label(text(name) ?? name)}: ${count}`);
  const state = label(text(`job-${progress.status}`) ?? progress.status);
  const place = /** @type {HTMLElement} */ (document.getElementById("counts"));
  place.textContent = [`${state}, ${of}`, ...told].join(" · ");
}

/** @param {Progress} progress */
export const isAtWork = ({ status }) => status === "running";

/**
 * Shows these buttons, and no others.
 * @param {ParentNode} place
 * @param {string[]} names
 */
export function offer(place, names) {
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (place.querySelectorAll("button[data-does]"))) {
    button.hidden = !names.includes(button.dataset.does ?? "");
  }
}
