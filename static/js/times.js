// Times in the reader's own zone: relative ones age by themselves, exact ones stand in the tooltip.
const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];

export function spanWords(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [size, unit] = UNITS.find(([size]) => whole >= size) ?? [1, "s"];
  return `${Math.floor(whole / size)} ${unit}`;
}

const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export const exactTime = (milliseconds) => exact.format(milliseconds);

function show(root) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[data-as]")) {
    const moment = Date.parse(time.dateTime);
    if (!time.title) time.title = exact.format(moment);
    const words = { ago: () => `${spanWords((now - moment) / 1000)} ago`, for: () => spanWords((now - moment) / 1000), clock: () => clock.format(moment), short: () => short.format(moment), exact: () => exact.format(moment) }[time.dataset.as]();
    if (time.textContent !== words) time.textContent = words;
  }
}

export function startTimes() {
  show(document);
  setInterval(() => document.hidden || show(document), 1_000);
  document.body.addEventListener("htmx:afterSwap", () => show(document));
}
