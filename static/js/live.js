// Asks the server for news: every second while the tab is seen, every quarter of a minute while it is hidden, so that its title
// and icon turn. Pages name what is live: an element that listens to `live` on the body and carries the version it shows; the
// server answers 204 when there is nothing newer. A page that heard nothing for some seconds says so, and turns grey.
import { clockTime } from "./times.js";
import { say } from "./words.js";

const EVERY_MS = 1_200;
const HIDDEN_MS = 15_000;
const STALE_MS = 5_000;
let heardAt = Date.now();

export function startLive() {
  let askedAt = Date.now();
  setInterval(() => {
    const due = document.hidden ? HIDDEN_MS : EVERY_MS;
    if (Date.now() - askedAt >= due - 50 && document.querySelector("[data-live]")) {
      askedAt = Date.now();
      htmx.trigger(document.body, "live");
    }
    showAge();
  }, EVERY_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) { askedAt = Date.now(); htmx.trigger(document.body, "live"); }
  });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.elt.matches("[data-live]") || !event.detail.successful) return;
    heardAt = Date.now();
    showAge();
  });
  // A form's errors come back as 422 with the form in it.
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === 422) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });
  document.body.addEventListener("htmx:afterSwap", showWorst);
  showWorst();
}

// A hidden tab is asked seldom: there, silence counts from the next question on.
function showAge() {
  const note = document.getElementById("stale");
  if (!note || !document.querySelector("[data-live]")) return;
  const isStale = Date.now() - heardAt > (document.hidden ? HIDDEN_MS : 0) + STALE_MS;
  if (isStale && note.hidden) {
    const words = say("No connection to the server. This page shows the state of");
    note.querySelector("p").textContent = `${words} ${clockTime(heardAt)}.`;
  }
  note.hidden = !isStale;
  document.documentElement.classList.toggle("is-stale", isStale);
}

// The page's title and icon carry the worst status of the project.
function showWorst() {
  const source = document.querySelector("[data-worst]");
  if (!source) return;
  document.title = source.dataset.title;
  const icon = document.querySelector("link[rel=icon]");
  if (icon.getAttribute("href") !== source.dataset.icon) icon.setAttribute("href", source.dataset.icon);
  for (const count of document.querySelectorAll("[data-open-count]")) {
    count.textContent = source.dataset.open;
    count.hidden = source.dataset.open === "0";
  }
}
