// Shows an import: how far it is, which rows were refused and why, what may be there twice, and taking it back.

import { ask, show } from "./api.js";
import { fill, template } from "./fill.js";
import { counted, isAtWork, offer } from "./jobs.js";

/** Rows that are shown of those that were refused. */
const SHOWN = 20;

/** @param {string} name */
const found = (name) => /** @type {HTMLElement} */ (document.getElementById(name));

/**
 * The records of a CSV file.
 * @param {string} file
 */
export function rows(file) {
  /** @type {string[][]} */
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < file.length; at++) {
    const letter = file[at];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (file[at + 1] === '"') cell += file[++at];
      else quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === ",") {
      row.push(cell);
      cell = "";
    } else if (letter === "\n") {
      row.push(cell.replace(/\r$/, ""));
      rows.push(row);
      row = [];
      cell = "";
    } else cell += letter;
  }
  if (cell || row.length) rows.push([...row, cell]);
  return rows;
}

/**
 * Shows an import until it has ended.
 * @param {string} id
 */
export async function watch(id) {
  const place = found("job-of");
  const own = `/v1/imports/${id}`;
  const read = async () => {
    const progress = await ask("GET", `${own}/progress?wait=1`);
    const { counts, dry_run: tried, status } = progress;
    const outcomes = /** @type {[string, number][]} */ (["applied", "unchanged", "rejected"].map((name) => [`row-${name}`, counts[name]]));
    counted(progress, progress.rows_total, counts.rows, outcomes);
    found("tried").hidden = !tried;
    found("job-about").textContent = progress.reason ?? "";
    offer(place, [
      ...(isAtWork(progress) ? ["cancel"] : []),
      ...(["failed", "cancelled"].includes(status) ? ["resume"] : []),
      ...(!tried && !isAtWork(progress) && counts.applied ? ["undo"] : []),
    ]);
    return progress;
  };
  const refused = async () => {
    const report = `${own}/report`;
    const answer = await fetch(report);
    if (!answer.ok) return;
    const [, ...lines] = rows(await answer.text());
    found("rejected").hidden = !lines.length;
    /** @type {HTMLAnchorElement} */ (found("report")).href = report;
    const shown = lines.slice(0, SHOWN).map(([row, , code, reason]) => fill(template("rejected-row"), { row, code, reason }));
    found("rejected-rows").replaceChildren(...shown);
  };
  const twice = async () => {
    const { data } = await ask("GET", `${own}/duplicates?limit=50`);
    const pairs = data.flatMap((/** @type {any} */ row) => row.candidates.map((/** @type {any} */ candidate) => ({ row, candidate })));
    found("twice").hidden = !pairs.length;
    const shown = pairs.map((/** @type {any} */ { row, candidate }) =>
      fill(template("duplicate"), {
        record: row.record.name ?? row.record.id,
        candidate: candidate.name ?? candidate.id,
        merge: row.record.links.merge ?? "",
        into: candidate.id,
      }),
    );
    found("duplicates").replaceChildren(...shown);
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (found("duplicates").querySelectorAll("button"))) {
      button.hidden = !button.dataset.merge;
    }
  };
  place.onclick = async ({ target }) => {
    const button = target instanceof Element ? target.closest("button") : null;
    if (!button) return;
    try {
      if (button.dataset.merge) {
        await ask("POST", button.dataset.merge, { into: button.dataset.into });
        await twice();
        return;
      }
      const does = button.dataset.does;
      if (does === "undo") {
        const begun = await ask("POST", `${own}/undo`, { dry_run: true });
        location.assign(`/bulk/${begun.id}`);
      } else if (does) {
        await ask("POST", `${own}/${does}`, {});
        await watch(id);
      }
    } catch (error) {
      show(error);
    }
  };
  for (;;) {
    const progress = await read();
    if (isAtWork(progress)) continue;
    await Promise.all([refused(), progress.dry_run ? undefined : twice()]);
    place.removeAttribute("aria-busy");
    return progress;
  }
}
