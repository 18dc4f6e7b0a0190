// Hears what changes of what one may see, while somebody looks at the page.

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
 * Listens to a stream of messages while somebody looks at the page, and goes on after the last that it heard.
 * @param {string} path
 * @param {string | undefined} position what the page has been told already
 * @param {Record<string, (data: any) => void>} hear by the name of a message, what takes it in
 * @param {() => void} tell called once after each burst of messages
 * @param {number} [burst] how long one may take: in milliseconds
 */
export function listen(path, position, hear, tell, burst = BURST) {
  let last = position;
  /** @type {EventSource | undefined} */
  let source;
  /** @type {number | undefined} */
  let waiting;
  const told = () => {
    waiting = undefined;
    tell();
  };
  const begin = () => {
    if (source && source.readyState !== EventSource.CLOSED) return;
    source = new EventSource(last ? `${path}?after=${encodeURIComponent(last)}` : path);
    for (const [name, take] of Object.entries(hear)) {
      source.addEventListener(name, ({ data, lastEventId }) => {
        last = lastEventId;
        take(JSON.parse(data));
        waiting ??= setTimeout(told, burst);
      });
    }
  };
  const leave = () => {
    source?.close();
    source = undefined;
  };
  // Nobody looks at a page in the background: it hears the rest when somebody comes back to it.
  document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? begin() : leave()));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", begin);
  if (document.visibilityState === "visible") begin();
}

/**
 * Calls this after records have changed, with all that did since the last time.
 * @param {string | undefined} position what the page has been told already
 * @param {(changes: Change[]) => void} changed
 */
export function follow(position, changed) {
  /** @type {Change[]} */
  let heard = [];
  const hear = {
    changed: (/** @type {Change} */ change) => heard.push(change),
    // By a role or a team one sees more or less than before.
    access: (/** @type {{ position: number }} */ told) => heard.push({ kind: "*", id: "*", ...told }),
  };
  listen("/v1/changes/stream", position, hear, () => {
    const changes = heard;
    heard = [];
    changed(changes);
  });
}
