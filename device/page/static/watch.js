// What happens at the bin, as it happens; nothing is asked for unless the stream has no place left.
const ASKS_EVERY_MS = 3000;
const RETURNS_AFTER_MS = 30000;
const SILENT_AT_MOST_MS = 25000; // the bin says something every ten seconds; a network that is gone says nothing at all

/** Tells `hear` each event, and `found` and `lost` of the connection; `events` and `snapshot` are addresses. */
export function watch({ events, snapshot }, hear, { found = () => {}, lost = () => {} } = {}) {
  let source = null;
  let asking = null;
  let returning = null;
  let silent = null;

  async function ask() {
    try {
      hear({ event: "snapshot", events: await (await fetch(snapshot)).json(), isAsked: true });
    } catch {
      lost();
    }
  }

  function expectNews() {
    clearTimeout(silent);
    silent = setTimeout(() => { source.close(); lost(); listen(); }, SILENT_AT_MOST_MS);
  }

  function listen() {
    clearInterval(asking);
    expectNews();
    source = new EventSource(events);
    source.addEventListener("message", (message) => { expectNews(); hear(JSON.parse(message.data)); });
    source.addEventListener("open", found);
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return lost(); // it comes back by itself
      clearTimeout(silent);
      asking = setInterval(ask, ASKS_EVERY_MS);
      returning = setTimeout(listen, RETURNS_AFTER_MS);
      return ask();
    });
  }

  addEventListener("pagehide", () => source.close());
  /** Who does not look needs no news, and leaves the place to another. */
  document.addEventListener("visibilitychange", () => {
    source.close();
    clearInterval(asking);
    clearTimeout(returning);
    clearTimeout(silent);
    if (!document.hidden) listen();
  });
  listen();
}
