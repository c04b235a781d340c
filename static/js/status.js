// The public page stays current: while it is seen, it asks for itself and takes over what changed. Times in the visitor's zone.
import { startBars } from "./bars.js";
import { showTimes } from "./times.js";

const EVERY_MS = 20_000;

async function refresh() {
  if (!document.hidden && document.getElementById("tip")?.hidden) {
    try {
      const answer = await fetch(location.href);
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.title = fresh.title;
        document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
        const open = [...document.querySelectorAll("details")].map((fold) => fold.open);
        for (const part of ["main", "footer"]) document.querySelector(part).replaceWith(document.adoptNode(fresh.querySelector(part)));
        document.querySelectorAll("details").forEach((fold, at) => { fold.open = open[at] ?? false; });
        showTimes(document);
      }
    } catch {
      // The page says of when it is; the next turn tries again.
    }
  }
  setTimeout(refresh, EVERY_MS);
}

startBars();
showTimes(document);
setTimeout(refresh, EVERY_MS);
