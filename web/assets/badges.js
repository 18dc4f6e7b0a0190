// Shows by its colour and icon which product is meant, wherever one is named.

import { all } from "./api.js";

/** @typedef {{ color?: string | null, icon?: string | null, name?: string }} Badge */

/** @type {Map<string, Badge>} */
const known = new Map();

/**
 * The picture of a badge; none where a product has neither colour nor icon.
 * @param {Badge | undefined} badge
 * @returns {Element | null}
 */
export function drawn(badge) {
  if (!badge?.color && !badge?.icon) return null;
  const icons = /** @type {HTMLTemplateElement | null} */ (document.getElementById("icons"));
  const find = (/** @type {string} */ name) => icons?.content.querySelector(`[data-icon="${CSS.escape(name)}"] > svg`);
  const picture = /** @type {Element | undefined} */ ((find(badge.icon ?? "box") ?? find("box"))?.cloneNode(true));
  if (!picture) return null;
  if (badge.color) {
    picture.querySelector("rect")?.setAttribute("fill", badge.color);
    const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => parseInt(badge.color?.slice(at, at + 2) ?? "", 16));
    // What is light has dark lines upon it.
    picture.querySelector("path")?.setAttribute("stroke", 0.299 * red + 0.587 * green + 0.114 * blue > 150 ? "#1b1e20" : "#ffffff");
  }
  // Without an icon the colour says it.
  if (!badge.icon) picture.querySelector("path")?.remove();
  return picture;
}

/**
 * Learns the badges of products.
 * @param {(string | null | undefined)[]} ids
 */
export async function learn(ids) {
  const strange = [...new Set(ids)].filter((id) => typeof id === "string" && !known.has(id));
  if (!strange.length) return;
  const filter = { all: [{ field: "id", op: "in", value: strange }, { field: "archived", op: "in", value: [true, false] }] };
  // Whoever does not see products sees their names alone.
  const found = await all(`/v1/products?limit=200&filter=${encodeURIComponent(JSON.stringify(filter))}`).catch(() => []);
  for (const id of strange) known.set(/** @type {string} */ (id), found.find((product) => product.id === id) ?? {});
}

/** @param {string | null | undefined} id */
export const badge = (id) => known.get(id ?? "");

/**
 * Puts the badge of a product before each way to it.
 * @param {ParentNode} root
 */
export async function badges(root) {
  const path = "/records/products/";
  const ways = [.../** @type {NodeListOf<HTMLAnchorElement>} */ (root.querySelectorAll(`a[href^="${path}"]`))];
  const id = (/** @type {HTMLAnchorElement} */ way) => way.pathname.slice(path.length);
  await learn(ways.map(id));
  for (const way of ways) {
    const picture = drawn(badge(id(way)));
    if (picture && !way.querySelector(".mark-of")) way.prepend(picture);
  }
}
