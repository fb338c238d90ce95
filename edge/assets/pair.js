// A fragment is never sent, so the token is in no log; it is taken out of the address before anything else happens.
const say = (text) => { document.getElementById("say").textContent = text; };
const token = location.hash.slice(1);
history.replaceState(null, "", "/pair");
if (!token) {
  say("Open this page as /pair#TOKEN, with the token that the administrator gave you.");
} else {
  try {
    const answer = await fetch("/pair", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
    if (answer.ok) location.replace("/board");
    else say((await answer.json()).detail);
  } catch {
    say("The floor server does not answer. Try again.");
  }
}
