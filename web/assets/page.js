// What every page does: forms, times, choices that count at once, and copying.

import { announce } from "./api.js";
import "./forms.js";
import { amounts, times } from "./times.js";

times(document);
amounts(document);
document.documentElement.classList.add("scripted");

document.addEventListener("change", ({ target }) => {
  if (target instanceof HTMLSelectElement && "submits" in target.dataset) target.form?.requestSubmit();
});

document.addEventListener("click", async ({ target }) => {
  const button = target instanceof Element ? target.closest("[data-copies]") : null;
  const secrets = button?.closest(".once")?.querySelectorAll("code");
  if (!secrets) return;
  await navigator.clipboard.writeText([...secrets].map((code) => code.textContent).join("\n"));
  announce("copied");
});
