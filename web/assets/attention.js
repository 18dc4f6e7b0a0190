// The sign on every page of how many system notices wait for somebody.

import { ask } from "./api.js";

const sign = document.getElementById("attention");
const number = sign?.querySelector(".number");

export async function look() {
  if (!sign || !number || document.visibilityState !== "visible") return;
  // A sign that cannot be told is no fault of the page.
  const told = await ask("GET", "/v1/notices?limit=1&count=exact").catch(() => null);
  const waiting = told?.total ?? 0;
  sign.hidden = !waiting;
  number.textContent = waiting > 999 ? "999+" : String(waiting);
}

document.addEventListener("visibilitychange", look);
look();
