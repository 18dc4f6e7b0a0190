// Hears what changes of what one may see, while somebody looks at the page.

/** @typedef {{ kind: string, id: string, position: number }} Change a record, or with `*` for kind and id everything that is shown */

/** How long a burst of changes may take to be one: in milliseconds. */
const BURST = 150;
/** How long one waits before one listens again where the server refused, in milliseconds: at first, and at most. */
const AGAIN = 2000;
const LONGEST = 30000;

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
 * @param {(lost: boolean) => void} [connected] called when the connection is lost, and when it is there again; whoever asks to know
 *   listens in the background too
 */
export function listen(path, position, hear, tell, burst = BURST, connected) {
  let last = position;
  /** @type {EventSource | undefined} */
  let source;
  /** @type {number | undefined} */
  let waiting;
  let pause = AGAIN;
  const isSeen = () => Boolean(connected) || document.visibilityState === "visible";
  const told = () => {
    waiting = undefined;
    tell();
  };
  const begin = () => {
    if (source && source.readyState !== EventSource.CLOSED) return;
    const mine = new EventSource(last ? `${path}?after=${encodeURIComponent(last)}` : path);
    source = mine;
    mine.addEventListener("open", () => {
      pause = AGAIN;
      connected?.(false);
    });
    mine.addEventListener("error", () => {
      if (source !== mine) return;
      connected?.(true);
      // A connection that breaks is made again by the browser; one that was refused is not.
      if (mine.readyState !== EventSource.CLOSED) return;
      setTimeout(() => isSeen() && begin(), pause);
      pause = Math.min(pause * 2, LONGEST);
    });
    for (const [name, take] of Object.entries(hear)) {
      source.addEventListener(name, ({ data, lastEventId }) => {
        // What is stored nowhere has no position.
        if (lastEventId) last = lastEventId;
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
  document.addEventListener("visibilitychange", () => (isSeen() ? begin() : leave()));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", begin);
  if (isSeen()) begin();
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
