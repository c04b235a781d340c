// The public page stays current: while it is seen, it asks for itself and takes over what changed. Times in the visitor's zone.
import { startBars } from "./bars.js";
import { showTimes } from "./times.js";

const EVERY_MS = 20_000;

let before = "";

async function refresh() {
  if (!document.hidden && document.getElementById("tip")?.hidden) {
    try {
      const answer = await fetch(location.href);
      if (answer.ok) takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
      document.getElementById("stale").hidden = answer.ok;
    } catch {
      document.getElementById("stale").hidden = false; // the next turn tries again
    }
  }
  setTimeout(refresh, EVERY_MS);
}

function takeOver(fresh) {
  document.querySelector("footer").replaceWith(document.adoptNode(fresh.querySelector("footer")));
  const main = fresh.querySelector("main");
  if (main.innerHTML !== before) {
    before = main.innerHTML;
    document.title = fresh.title;
    document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
    const open = new Set([...document.querySelectorAll("details[open]")].map((fold) => fold.id));
    document.querySelector("main").replaceWith(document.adoptNode(main));
    for (const fold of document.querySelectorAll("details")) fold.open = open.has(fold.id);
  }
  showTimes(document);
}

startBars();
showTimes(document);
setTimeout(refresh, EVERY_MS);
