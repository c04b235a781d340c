// Where the focus is on a page that replaced this one: on the first invalid field, on the first field of a form, on what was
// pressed or took its place, else on the main part. The last two only for those who use the keyboard.
const KEY = "focus", FRESH_MS = 10_000;
const PLACES = ".page-head, .pager, .chips, .bulk, .card > header, tr, li";
const STOPS = "a[href], button, summary, input:not([type=hidden]), select, textarea";

export function startFocus() {
  document.addEventListener("click", (event) => remember(event.target.closest("a[href]")));
  document.addEventListener("submit", (event) => {
    const isWithin = document.activeElement.closest("form") === event.target;
    remember(isWithin ? document.activeElement : event.submitter);
  });
  const saved = taken();
  if (document.activeElement !== document.body) return;
  const main = document.getElementById("main");
  const field = main?.querySelector("[aria-invalid=true]") ?? (matchMedia("(pointer: fine)").matches && firstField(main));
  if (field) field.focus();
  else if (saved && main) (successor(main, saved) ?? main).focus();
}

function remember(element) {
  const main = document.getElementById("main");
  if (!main || !element?.matches(":focus-visible")) return;
  const place = main.contains(element) ? element.closest(PLACES) : null;
  sessionStorage.setItem(KEY, JSON.stringify({
    at: Date.now(),
    path: location.pathname,
    name: element.name ?? "",
    text: element.textContent.trim(),
    place: place ? [...main.querySelectorAll(PLACES)].indexOf(place) : -1,
    index: place ? [...place.querySelectorAll(STOPS)].indexOf(element) : -1,
  }));
}

function taken() {
  const saved = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  sessionStorage.removeItem(KEY);
  return saved && Date.now() - saved.at < FRESH_MS ? saved : null;
}

const FIELDS = "input:not([type=hidden], [type=checkbox]), select, textarea";
const firstField = (main) => main?.querySelector("form[data-autofocus]")?.querySelector(FIELDS);

const visible = (part) => [...(part?.querySelectorAll(STOPS) ?? [])].filter((stop) => stop.checkVisibility());

// What was pressed, by its name or words; else what stands in its place now.
function successor(main, { path, name, text, place, index }) {
  if (path !== location.pathname) return undefined;
  const stops = visible(main);
  const same = stops.find((stop) => (text ? stop.textContent.trim() === text && (stop.name ?? "") === name : name && stop.name === name));
  if (same || place < 0) return same;
  const near = visible(main.querySelectorAll(PLACES)[place]);
  const acts = near.filter((stop) => stop.matches("form button"));
  const distance = (stop) => Math.abs(near.indexOf(stop) - index);
  return (acts.length ? acts : near).sort((one, other) => distance(one) - distance(other))[0];
}
