// Asks the server for news while the tab is seen. Pages name what is live: an element that listens to `live` on the body and
// carries the version it shows; the server answers 204 when there is nothing newer.
import { toast } from "./toasts.js";

const EVERY_MS = 1_200;
const AFTER_FAILURE_MS = 5_000;

export function startLive() {
  let failures = 0;
  const beat = () => {
    if (!document.hidden && document.querySelector("[data-live]")) htmx.trigger(document.body, "live");
    setTimeout(beat, failures ? AFTER_FAILURE_MS : EVERY_MS);
  };
  setTimeout(beat, EVERY_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) htmx.trigger(document.body, "live");
  });
  const failed = (event) => {
    if (!event.detail.elt.matches("[data-live]")) return;
    failures += 1;
    if (failures === 2) toast("The server does not answer. This page shows what was known before.");
  };
  document.body.addEventListener("htmx:sendError", failed);
  document.body.addEventListener("htmx:responseError", failed);
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful || !event.detail.elt.matches("[data-live]")) return;
    if (failures > 1) toast("The server answers again.");
    failures = 0;
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
