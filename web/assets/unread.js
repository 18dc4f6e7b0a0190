// The sign on every page of how many messages of chats nobody has read.

import { ask } from "./api.js";

const sign = document.getElementById("unread");
const number = sign?.querySelector(".number");

async function look() {
  if (!sign || !number || document.visibilityState !== "visible") return;
  const filter = encodeURIComponent(JSON.stringify({ field: "unread", op: "eq", value: true }));
  // A sign that cannot be told is no fault of the page.
  const told = await ask("GET", `/v1/conversations?limit=1&sum=unread_count&filter=${filter}`).catch(() => null);
  const unread = told?.sums?.unread_count ?? 0;
  sign.hidden = !unread;
  number.textContent = unread > 999 ? "999+" : String(unread);
}

document.addEventListener("visibilitychange", look);
look();
