// Times in the reader's own zone: relative ones age by themselves, exact ones stand in the tooltip.
import { say } from "./words.js";

const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
const language = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;

export function spanWords(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [size, unit] = UNITS.find(([size]) => whole >= size) ?? [1, "s"];
  return `${Math.floor(whole / size)} ${say(unit)}`;
}

// Its two largest units: `4 min 10 s`.
export function exactSpan(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 86_400), "d"], [Math.floor(whole / 3_600) % 24, "h"], [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count);
  return parts.slice(first, first + 2).filter(([count]) => count).map(([count, unit]) => `${count} ${say(unit)}`).join(" ");
}

// The zone of the reader's profile, else the browser's own.
export const timeZone = known(document.documentElement.dataset.zone);

function known(zone) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone;
  } catch {
    return undefined; // a zone that this browser does not know yet
  }
}

const exact = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium", timeZone });
const short = new Intl.DateTimeFormat(language, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone,
});
const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium", timeZone });
const day = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" });

export const exactTime = (milliseconds) => exact.format(milliseconds);
export const clockTime = (milliseconds) => clock.format(milliseconds);
export const utcDay = (milliseconds) => day.format(milliseconds);

export function showTimes(root) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[data-as]")) {
    const moment = Date.parse(time.dateTime);
    if (!time.title) time.title = exact.format(moment);
    const words = {
      ago: () => `${spanWords((now - moment) / 1000)} ${say("ago")}`, for: () => spanWords((now - moment) / 1000),
      clock: () => clock.format(moment), short: () => short.format(moment), exact: () => exact.format(moment),
    }[time.dataset.as]();
    if (time.textContent !== words) time.textContent = words;
  }
}

export function startTimes() {
  showTimes(document);
  setInterval(() => document.hidden || showTimes(document), 1_000);
  document.body.addEventListener("htmx:afterSwap", () => showTimes(document));
}
