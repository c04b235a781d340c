// A tooltip for each cell of a bar of history: by pointer, by touch and by arrow keys.
import { exactSpan, exactTime, utcDay } from "./times.js";
import { say } from "./words.js";

const DAY_MS = 86_400_000;
const WORDS = { u: "Up", w: "Degraded", d: "Down", x: "Unknown", p: "Paused", m: "Maintenance" };
const SMALL = { u: "up", w: "degraded", d: "down", x: "unknown", p: "paused", m: "maintenance" };
let tip, marker;

export function startBars() {
  tip = Object.assign(document.createElement("div"), { className: "tip", id: "tip", hidden: true });
  tip.setAttribute("role", "status");
  marker = Object.assign(document.createElement("i"), { className: "bar-cursor" });
  document.body.append(tip);
  for (const kind of ["pointermove", "pointerdown"]) {
    document.addEventListener(kind, (event) => {
      const bar = event.target.closest?.("[data-bar]");
      if (!bar) return hide();
      const box = drawing(bar);
      show(bar, Math.floor(((event.clientX - box.left) / box.width) * factsOf(bar).cells.length));
    }, { passive: true });
  }
  document.addEventListener("keydown", (event) => {
    const bar = event.target.closest?.("[data-bar]");
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (!bar || !step) return;
    event.preventDefault();
    const last = factsOf(bar).cells.length - 1;
    const at = bar.dataset.at === undefined ? last : Number(bar.dataset.at) + step;
    show(bar, Math.min(last, Math.max(0, at)));
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { passive: true });
  document.body.addEventListener("htmx:beforeSwap", (event) => event.detail.shouldSwap && hide());
}

const factsOf = (bar) => JSON.parse(bar.dataset.bar);
const drawing = (bar) => bar.querySelector("svg").getBoundingClientRect();

function hide() {
  if (tip.hidden) return;
  tip.hidden = true;
  marker.remove();
  for (const bar of document.querySelectorAll("[data-bar][data-at]")) delete bar.dataset.at;
}

function show(bar, at) {
  const facts = factsOf(bar);
  if (facts.cells[at] === undefined) return hide();
  if (!tip.hidden && bar.dataset.at === String(at)) return;
  hide();
  bar.dataset.at = at;
  if (!tip.isConnected) document.body.append(tip);
  const run = facts.runs?.[at];
  tip.replaceChildren(...(run ? runWords(run) : cellWords(facts, at)));
  tip.hidden = false;
  place(bar, at, facts.cells.length);
}

function place(bar, at, count) {
  const box = drawing(bar);
  const width = box.width / count;
  const centre = box.left + (at + 0.5) * width;
  const { width: wide, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(innerWidth - wide - 8, Math.max(8, centre - wide / 2))}px`;
  tip.style.top = `${box.top - height - 8 < 8 ? box.bottom + 8 : box.top - height - 8}px`;
  const outer = bar.getBoundingClientRect();
  Object.assign(marker.style, { left: `${box.left - outer.left + at * width}px`, width: `${width}px` });
  bar.append(marker);
}

function runWords([moment, verdict, milliseconds, message, regions]) {
  const parts = [element("b", say(WORDS[verdict]))];
  if (milliseconds !== null && milliseconds !== undefined) parts.push(element("span", ` · ${milliseconds} ms`));
  parts.push(element("div", exactTime(moment), "sub"));
  if (message) parts.push(element("div", message));
  for (const [region, ms, side] of regions ?? []) {
    parts.push(element("div", `${region}: ${side === "u" ? "" : `${say(SMALL[side])}, `}${ms} ms`, "sub"));
  }
  return parts;
}

// 0: nothing known; 1: up throughout; else letters and their seconds.
function cellWords({ from, width, cells }, at) {
  const start = from + at * width;
  const when = width === DAY_MS ? `${utcDay(start)} (UTC)` : `${exactTime(start)} – ${exactTime(start + width)}`;
  if (!cells[at]) return [element("b", say("Nothing known")), element("div", when, "sub")];
  const lengths = cells[at] === 1 ? { u: width / 1000 } : Object.fromEntries(pairs(cells[at]));
  const good = (lengths.u ?? 0) + (lengths.w ?? 0);
  const seen = good + (lengths.d ?? 0);
  const head = seen ? `${(Math.floor((good / seen) * 10_000) / 100).toString()} %` : say("Nothing known");
  const rest = Object.entries(lengths).filter(([letter, seconds]) => letter !== "u" && seconds);
  return [
    element("b", head), element("div", when, "sub"),
    ...rest.map(([letter, seconds]) => element("div", `${say(WORDS[letter])} ${exactSpan(seconds)}`)),
  ];
}

function pairs(flat) {
  return flat.filter((_, at) => at % 2 === 0).map((letter, at) => [letter, flat[2 * at + 1]]);
}

function element(name, text, className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className });
}
