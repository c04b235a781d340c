// The latency chart: p50 as a line, p50–p95 as a band, p99 dashed; outages as bands behind, unknown as gaps.
import uPlot from "uplot";
import { exactTime, timeZone } from "./times.js";
import { say } from "./words.js";

const REFRESH_MS = 15_000;
const probe = document.createElement("i");
probe.hidden = true;

// A canvas needs a colour, not an expression: let the browser work it out.
function colour(name, alpha = 1) {
  document.body.append(probe);
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return alpha === 1 ? found : found.replace(/\)$/, ` / ${alpha})`);
}

const BANDS = { down: ["--down", 0.12], degraded: ["--warn", 0.14], maintenance: ["--maint", 0.12] };

function behind(bands) {
  return (chart) => {
    const { ctx, bbox } = chart;
    for (const { from, to, state } of bands) {
      const [name, alpha] = BANDS[state] ?? [];
      if (!name) continue;
      const left = Math.max(bbox.left, chart.valToPos(from / 1000, "x", true));
      const right = Math.min(bbox.left + bbox.width, chart.valToPos(to / 1000, "x", true));
      if (right <= bbox.left || left >= bbox.left + bbox.width) continue;
      ctx.fillStyle = colour(name, alpha);
      ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
    }
  };
}

function words(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`;
}

function tooltip(data) {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  return {
    hooks: {
      init: (chart) => { chart.over.append(tip); chart.over.addEventListener("mouseleave", () => { tip.hidden = true; }); },
      setCursor: (chart) => {
        const { idx, left } = chart.cursor;
        if (idx === null || idx === undefined || left < 0) { tip.hidden = true; return; }
        const at = data.t[idx] * 1000;
        const state = data.bands.find((band) => band.from <= at && at < band.to)?.state;
        const percentiles = ["p50", "p95", "p99"].map((name) => `${name} ${words(data[name][idx])}`);
        const rows = [exactTime(at), ...percentiles, `${data.runs[idx]} ${say("runs")}`];
        if (state) rows.push(say(state === "down" ? "Down" : state === "degraded" ? "Degraded" : "Maintenance"));
        tip.replaceChildren(...rows.map((row, place) => {
          const line = { textContent: row, className: place ? "" : "sub" };
          return Object.assign(document.createElement("div"), line);
        }));
        tip.hidden = false;
        tip.style.position = "absolute";
        const wide = chart.over.clientWidth;
        tip.style.left = `${left > wide / 2 ? left - tip.offsetWidth - 12 : left + 12}px`;
        tip.style.top = "8px";
      },
    },
  };
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone });

// Whole minutes at least: the labels have no seconds.
const STEPS_S = [60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 432_000, 864_000, 1_728_000];

// A day's name where it begins, the time within it; over weeks, days alone.
function moments(chart, ticks) {
  const isLong = chart.scales.x.max - chart.scales.x.min > 3 * 86_400;
  return ticks.map((tick) => {
    const at = tick * 1000;
    return isLong || clock.format(at) === "00:00" ? day.format(at) : clock.format(at);
  });
}

// From the first point of the span to the last; a lone one has a minute around it.
function ends(data) {
  const first = Math.max(data.t[0], data.from / 1000), last = data.t.at(-1);
  return last - first < 60 ? [first - 30, last + 30] : [first, last];
}

function options(box, data) {
  const ink = colour("--ink"), hint = colour("--ink-3"), line = colour("--line");
  const grid = { stroke: line, width: 1 };
  const axis = { stroke: hint, grid, ticks: { ...grid, size: 4 }, font: "12px Inter, system-ui, sans-serif" };
  return {
    width: box.clientWidth,
    height: 220,
    ...(timeZone && { tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), timeZone) }),
    padding: [8, 20, 0, 0],
    cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6, fill: ink, stroke: ink } },
    scales: { x: { range: () => box.zoom ?? ends(data), time: true }, y: { range: (_, __, high) => [0, Math.max(10, high * 1.1)] } },
    axes: [
      { ...axis, size: 32, space: 70, incrs: STEPS_S, values: moments },
      { ...axis, size: 72, space: 44, values: (_, ticks) => ticks.map(words) },
    ],
    series: [
      {},
      { label: "p50", stroke: ink, width: 2, points: { show: data.t.length < 3, size: 5 }, spanGaps: false },
      { label: "p95", stroke: "transparent", width: 0, points: { show: false }, spanGaps: false },
      { label: "p99", stroke: hint, width: 1, dash: [4, 4], points: { show: false }, spanGaps: false },
    ],
    bands: [{ series: [2, 1], fill: colour("--ink", 0.1) }],
    legend: { show: false },
    plugins: [tooltip(data), { hooks: { drawClear: behind(data.bands), setSelect: (chart) => zoom(box, chart) } }],
  };
}

// The range that was dragged over stays when newer figures are drawn.
function zoom(box, chart) {
  const { left, width } = chart.select;
  if (width < 4) return;
  box.zoom = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")];
  setTimeout(() => chart.setScale("x", { min: box.zoom[0], max: box.zoom[1] }));
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

class Chart {
  constructor(box) {
    this.box = box;
    this.readAt = 0;
    this.read();
    this.watcher = new ResizeObserver(() => {
      const { chart } = this;
      if (chart && chart.width !== box.clientWidth) chart.setSize({ width: box.clientWidth, height: chart.height });
    });
    this.watcher.observe(box);
  }

  async read() {
    this.readAt = Date.now();
    try {
      const answer = await fetch(this.box.dataset.src, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const data = await answer.json();
      setTimeout(() => this.draw(data));
    } catch (error) {
      if (!this.chart) this.box.textContent = `${say("The data could not be loaded.")} (${error.message})`;
    }
  }

  draw(data) {
    this.data = data;
    this.chart?.destroy();
    this.box.replaceChildren();
    this.box.removeAttribute("aria-busy");
    if (!data.t.length) {
      this.box.append(Object.assign(document.createElement("p"), { className: "empty", textContent: say("No runs in this range.") }));
      return;
    }
    this.chart = new uPlot(options(this.box, data), [data.t, data.p50, data.p95, data.p99], this.box);
    this.box.title = say("Drag to zoom, double-click to reset.");
    this.chart.over.addEventListener("dblclick", () => { this.box.zoom = null; this.draw(this.data); });
  }

  refresh(isDue) {
    if (!this.box.isConnected) { this.watcher.disconnect(); return false; }
    if (isDue && Date.now() - this.readAt > REFRESH_MS) this.read();
    return true;
  }
}

let charts = [];
function start() {
  charts = charts.filter((chart) => chart.refresh(false));
  for (const box of document.querySelectorAll(".chart[data-src]")) {
    if (!charts.some((chart) => chart.box === box)) charts.push(new Chart(box));
  }
}

setTimeout(start);
document.body.addEventListener("htmx:afterSwap", () => { start(); for (const chart of charts) chart.refresh(true); });
document.addEventListener("theme", () => { for (const chart of charts) chart.data && chart.draw(chart.data); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of charts) chart.data && chart.draw(chart.data);
});
