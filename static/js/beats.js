// A tooltip for each pill of a beat bar, by pointer and by arrow keys.
import { exactTime } from "./times.js";

const STEP = 8;
const WORDS = { u: "Up", w: "Degraded", d: "Down", x: "Unknown", p: "Paused", m: "Maintenance", n: "Nothing seen" };
const SVG = "http://www.w3.org/2000/svg";
let tip;

export function startBeats() {
  tip = document.createElement("div");
  tip.className = "tip";
  tip.id = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const bar = event.target.closest?.(".beats");
    if (!bar) return hide();
    const { right } = bar.getBoundingClientRect();
    show(bar, beatsOf(bar).length - 1 - Math.floor((right - event.clientX) / STEP));
  });
  document.addEventListener("keydown", (event) => {
    const bar = event.target.closest?.(".beats");
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!bar || !step) return;
    event.preventDefault();
    const last = beatsOf(bar).length - 1;
    const at = bar.dataset.at === undefined ? last : Number(bar.dataset.at) + step;
    show(bar, Math.min(last, Math.max(0, at)), true);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { passive: true });
  document.body.addEventListener("htmx:beforeSwap", (event) => event.detail.shouldSwap && hide());
}

// Runs one by one, or equal stretches of time in short.
function beatsOf(bar) {
  const beats = JSON.parse(bar.dataset.beats);
  if (Array.isArray(beats)) return beats;
  return [...beats.states].map((state, at) => [beats.from + at * beats.width, state, null, null, null, beats.from + (at + 1) * beats.width]);
}

function hide() {
  if (tip.hidden) return;
  tip.hidden = true;
  for (const bar of document.querySelectorAll(".beats[data-at]")) {
    delete bar.dataset.at;
    bar.querySelector(".cursor")?.remove();
  }
}

function show(bar, at, isKey = false) {
  const beat = beatsOf(bar)[at];
  if (!beat) return hide();
  if (!tip.hidden && bar.dataset.at === String(at)) return;
  hide();
  bar.dataset.at = at;
  const [from, verdict, milliseconds, message, regions, until] = beat;
  if (!tip.isConnected) document.body.append(tip);
  const parts = [element("b", WORDS[verdict])];
  if (milliseconds !== null && milliseconds !== undefined) parts.push(element("span", ` · ${milliseconds} ms`));
  if (from) parts.push(element("div", until ? `${exactTime(from)} – ${exactTime(until)}` : exactTime(from), "sub"));
  if (message) parts.push(element("div", message));
  for (const [region, ms, side] of regions ?? []) parts.push(element("div", `${region}: ${side === "u" ? "" : `${WORDS[side].toLowerCase()}, `}${ms} ms`, "sub"));
  tip.replaceChildren(...parts);
  tip.hidden = false;
  const box = bar.getBoundingClientRect();
  const centre = box.right - (beatsOf(bar).length - 1 - at) * STEP - STEP / 2;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(innerWidth - width - 8, Math.max(8, centre - width / 2))}px`;
  tip.style.top = `${box.top - height - 8 < 8 ? box.bottom + 8 : box.top - height - 8}px`;
  if (isKey) mark(bar, at);
}

function mark(bar, at) {
  const svg = bar.querySelector("svg");
  const cursor = document.createElementNS(SVG, "rect");
  cursor.setAttribute("class", "cursor");
  for (const [name, value] of Object.entries({ x: at * STEP + 0.5, y: 0.5, width: 7, height: svg.height.baseVal.value - 1, rx: 3 })) cursor.setAttribute(name, value);
  svg.append(cursor);
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}
