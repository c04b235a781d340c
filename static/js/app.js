// What every page of the dashboard does by script. Without it all pages still work: links load and forms post.
import Alpine from "@alpinejs/csp";
import "./morph.js";
import { startBars } from "./bars.js";
import { bulk, copy, theme } from "./components.js";
import { startDialogs } from "./dialogs.js";
import { startFocus } from "./focus.js";
import { startForms } from "./forms.js";
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startTimes } from "./times.js";
import { startToasts } from "./toasts.js";

Alpine.data("bulk", bulk);
Alpine.data("copy", copy);
Alpine.data("theme", theme);
// Each in a turn of its own: on a slow phone the page answers in between.
const ready = () => { document.documentElement.dataset.ready = "true"; };
const starts = [
  () => Alpine.start(), startTimes, startBars, startDialogs, startForms, startKeys, startToasts, startLive, startFocus, ready,
];
for (const start of starts) setTimeout(start);
