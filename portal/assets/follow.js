// Follows one request until it is decided. Says how old the page is, and never shows old news as if they were new.

const section = document.getElementById("status");
const address = section.dataset.follow;
const SOON = 1000;
const LATE = 10000;
const PATIENCE = 5000;
let looked = Date.now();
let delay = SOON;

const show = (id, text) => {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
};

async function look() {
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch(address, { headers: { accept: "application/json" }, cache: "no-store", signal });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const told = await answer.json();
    // Who wants it taken out of service, and why, stands in the page as it is loaded.
    if (told.deactivation && !document.getElementById("end")) {
      location.reload();
      return;
    }
    looked = Date.now();
    delay = SOON;
    section.className = `status ${told.phase}`;
    show("headline", told.headline);
    show("turn", told.turn_words);
    show("detail", told.detail);
    show("ended", told.ended || "not yet");
    show("age", `As of ${told.looked}`);
    document.title = `${told.headline} · Portal`;
    document.getElementById("again").hidden = !["refused", "deactivated"].includes(told.phase);
    document.getElementById("deactivate").hidden = !["waiting", "done", "not_deactivated"].includes(told.phase);
    if (!["waiting", "deactivating"].includes(told.phase)) return;
  } catch {
    delay = Math.min(delay * 2, LATE);
    const seconds = Math.round((Date.now() - looked) / 1000);
    section.classList.add("stale");
    show("age", `The portal does not answer. This is ${seconds} seconds old.`);
  }
  setTimeout(look, delay * (0.8 + 0.4 * Math.random()));
}

look();
