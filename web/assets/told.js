// The sign on every page of how much one was told and has not read, as it is on all of one's screens.

import { ask } from "./api.js";
import { listen } from "./live.js";

/** After how long it is asked again what could not be told, in milliseconds. */
const AGAIN = 3000;

const sign = document.getElementById("told");
const number = sign?.querySelector(".number");

/** @type {Set<() => void>} */
const others = new Set();

/** Calls this whenever something is new or has been read, on whatever screen. @param {() => void} changed */
export const whenTold = (changed) => others.add(changed);

/** @param {number} [position] what must be known at least */
export async function count(position) {
  if (!sign || !number) return;
  const least = position ? `?min_position=${position}` : "";
  // A sign that cannot be told is no fault of the page: it is told a moment later.
  const told = await ask("GET", `/v1/me/notifications/unread${least}`).catch(() => null);
  if (!told) {
    setTimeout(() => count(position), AGAIN);
    return;
  }
  sign.hidden = !told.count;
  number.textContent = told.count > 999 ? "999+" : String(told.count);
  return told.position;
}

let newest = 0;
const heard = (/** @type {{ position: number }} */ told) => {
  newest = Math.max(newest, told.position);
};

/** Begins to listen after what the sign shows. */
async function begin() {
  const position = await count();
  listen("/v1/me/notifications/stream", position && String(position), { notification: heard, access: heard }, async () => {
    await count(newest);
    for (const changed of others) changed();
  });
}

if (sign) begin();
