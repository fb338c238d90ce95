import { follow } from "/assets/feed.js";

const QUIET = 5 * 60 * 1000;  // ms without a unit after which a line is not said to be making any
const $ = (id) => document.getElementById(id);
let beat = 0;

const two = (n) => String(n).padStart(2, "0");
function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)}`;
  return `${Math.floor(s / 86400)} d`;
}
const clock = (ms) => { const t = new Date(ms); return `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`; };

function tile(line) {
  let section = $(`line-${line.id}`);
  if (!section) {
    section = $("line").content.firstElementChild.cloneNode(true);
    section.id = `line-${line.id}`;
    $("lines").append(section);
  }
  return section;
}

function put(section, selector, text) {
  const element = section.querySelector(selector);
  if (element.textContent !== text) element.textContent = text;
}

function show(state, now) {
  for (const line of state.lines) {
    const section = tile(line);
    const since = line.last_at ? now - Date.parse(line.last_at) : null;
    const busy = since !== null && since < QUIET;
    section.dataset.live = "true";
    if (line.last_at) section.dataset.at = String(Date.parse(line.last_at));
    section.classList.toggle("free", !line.target);
    put(section, "h2", line.name);
    put(section, ".shape", busy ? "●" : "○");
    put(section, ".word", busy ? "ISSUING" : "QUIET");
    put(section, ".today", String(line.today));
    put(section, ".of", line.target ? ` / ${line.target}` : " today");
    put(section, ".last", since === null ? "no unit yet" : `last ${age(since)}`);
    section.querySelector("progress").value = line.target ? Math.min(1, line.today / line.target) : 0;
  }
  cloud(state.cloud, now);
  $("clock").textContent = clock(now).slice(0, 5);
}

function cloud(cloud, now) {
  const footer = $("cloud");
  const { waiting, held } = cloud.books;
  const safe = waiting ? `${waiting} ${waiting === 1 ? "job" : "jobs"} safe on disk` : "nothing waits";
  const words = {
    off: "not configured", unknown: "not tried yet", up: "connected",
    paused: `paused since ${cloud.since ? clock(Date.parse(cloud.since)).slice(0, 5) : "?"}`,
    down: `offline since ${cloud.since ? clock(Date.parse(cloud.since)).slice(0, 5) : "?"}`,
  };
  put(footer, ".shape", { up: "●", down: "○", paused: "‖" }[cloud.link] ?? "–");
  put(footer, "#cloud-state", words[cloud.link] ?? cloud.link);
  put(footer, "#cloud-waiting", safe);
  put(footer, "#cloud-held", held ? `◆ ${held} need a person` : "");
}

function live(word) {
  document.body.classList.remove("silent");
  $("help").hidden = true;
  $("word").textContent = word;
}

const serverTime = follow({
  live(state, kind) {
    live("LIVE");
    if (kind === "heartbeat") $("beat").dataset.at = String((beat = (beat + 1) % 3));
    show(state, serverTime());
  },
  silent(state, heardTime, silence) {
    document.body.classList.add("silent");
    $("word").textContent = heardTime === null ? "NOT LIVE" : `NOT LIVE – ${clock(heardTime)} (${age(silence)})`;
    $("help").hidden = false;
    for (const line of state?.lines ?? []) {
      const section = tile(line);
      section.dataset.live = "false";
      put(section, ".shape", "?");
      put(section, ".word", `NO DATA ${age(silence)}`);
      put(section, ".last", heardTime === null ? "" : `at ${clock(heardTime).slice(0, 5)}`);
    }
    put($("cloud"), ".shape", "?");
  },
  unpaired() {
    $("help").hidden = false;
    $("help-what").textContent = "This screen is not paired with the floor server, or was shut out.";
    $("help-do").textContent = "An administrator makes a token with role display; open /pair#TOKEN on this screen once.";
  },
});

// Ages grow without any message; only a message may say that the data is live.
setInterval(() => {
  if (document.body.classList.contains("silent")) return;
  const now = serverTime();
  if (now !== null) $("clock").textContent = clock(now).slice(0, 5);
  for (const section of document.querySelectorAll(".line")) {
    if (section.dataset.at) put(section, ".last", `last ${age(now - Number(section.dataset.at))}`);
  }
}, 1000);
