// The feed, seen from a screen: hello, a snapshot, deltas, and a heartbeat every two seconds.
// Silence is the one thing that a screen must never hide, so the watchdog here trusts nothing but messages.

const SILENCE = 6000;   // ms without a message until what is shown is not live
const RETRY = 10000;    // ms, the longest wait between two tries; tried for ever

/**
 * Keeps a feed open for as long as the page lives.
 * on.live(state, serverTime) after every message, on.silent(since) while nothing is heard, on.unpaired() when refused.
 */
export function follow(on) {
  let state = null, socket = null, tries = 0, heardAt = performance.now(), heardTime = null, boot = null;

  function heard(message) {
    heardAt = performance.now();
    if (message.server_time) heardTime = Date.parse(message.server_time);
    if (message.type === "hello") {
      // Another build of the server: its pages may differ from ours. It has just answered, so reloading is safe.
      if (boot && boot !== message.build) location.reload();
      boot = message.build;
      return;
    }
    if (message.type === "snapshot") state = { seq: message.seq, lines: message.lines, cloud: message.cloud };
    if (message.type === "delta" && state) {
      state.seq = message.seq;
      for (const line of message.lines) {
        const at = state.lines.findIndex((known) => known.id === line.id);
        if (at >= 0) state.lines[at] = line;
      }
      if (message.cloud) state.cloud = message.cloud;
    }
    tries = 0;
    if (state) on.live(state, message.type);
  }

  function open() {
    socket = new WebSocket(`wss://${location.host}/v1/feed`);
    const mine = socket;
    mine.onmessage = (event) => { if (mine === socket) heard(JSON.parse(event.data)); };
    mine.onclose = () => { if (mine === socket) again(); };
  }

  async function again() {
    socket = null;
    tries += 1;
    try {
      const answer = await fetch("/v1/status", { cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) on.unpaired();
    } catch { /* not reachable: the watchdog says so */ }
    const wait = Math.min(RETRY, 500 * 2 ** Math.min(tries, 6)) * (0.5 + Math.random() / 2);
    setTimeout(open, wait);
  }

  setInterval(() => {
    const silence = performance.now() - heardAt;
    if (silence < SILENCE) return;
    on.silent(state, heardTime, silence);
    // A connection that says nothing is as dead as none; closing it starts the next try.
    if (socket && socket.readyState === WebSocket.OPEN) { const dead = socket; again(); dead.close(); }
  }, 500);

  open();
  /** The server's time now, by our own steady clock. */
  return () => (heardTime === null ? null : heardTime + performance.now() - heardAt);
}
