// Hears which records change among those that one may see, while somebody looks at the page.

/** @typedef {{ kind: string, id: string, position: number }} Change a record, or with `*` for kind and id everything that is shown */

/** How long a burst of changes may take to be one: in milliseconds. */
const BURST = 150;

/**
 * Whether a change is about a record, or of any of its kind where no id is said.
 * @param {Change} change
 * @param {string | undefined} kind
 * @param {string} [id]
 */
export const concerns = (change, kind, id) => change.kind === "*" || (change.kind === kind && (id === undefined || change.id === id));

/**
 * Calls this after records have changed, with all that did since the last time.
 * @param {string | undefined} position what the page has been told already
 * @param {(changes: Change[]) => void} changed
 */
export function follow(position, changed) {
  let last = position;
  /** @type {EventSource | undefined} */
  let source;
  /** @type {Change[]} */
  let heard = [];
  /** @type {number | undefined} */
  let waiting;
  const tell = () => {
    const changes = heard;
    [heard, waiting] = [[], undefined];
    changed(changes);
  };
  const listen = () => {
    if (source && source.readyState !== EventSource.CLOSED) return;
    source = new EventSource(`/v1/changes/stream${last ? `?after=${encodeURIComponent(last)}` : ""}`);
    source.addEventListener("changed", ({ data, lastEventId }) => {
      last = lastEventId;
      heard.push(JSON.parse(data));
      waiting ??= setTimeout(tell, BURST);
    });
    // By a role or a team one sees more or less than before.
    source.addEventListener("access", ({ data }) => {
      heard.push({ kind: "*", id: "*", ...JSON.parse(data) });
      waiting ??= setTimeout(tell, BURST);
    });
  };
  const leave = () => {
    source?.close();
    source = undefined;
  };
  // Nobody looks at a page in the background: it hears the rest when somebody comes back to it.
  document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? listen() : leave()));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", listen);
  if (document.visibilityState === "visible") listen();
}
