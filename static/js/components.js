import { say } from "./words.js";

// Alpine components. The CSP build takes names of properties and calls, no code in attributes.

// Checkboxes of a list that bring up the bar of bulk acts; what was chosen stays chosen when rows are refreshed.
export const bulk = () => ({
  chosen: [],
  init() { document.body.addEventListener("htmx:afterSwap", () => this.count()); },
  get isAny() { return this.chosen.length > 0; },
  get words() { return `${this.chosen.length} ${say("chosen")}`; },
  boxes() { return [...this.$root.querySelectorAll("input[name=id]")]; },
  count() {
    this.chosen = this.boxes().filter((box) => box.checked).map((box) => box.value);
    for (const box of this.boxes()) box.closest("tr").setAttribute("aria-selected", box.checked);
    const all = this.$root.querySelector("input[name=all]");
    if (all && !this.chosen.length) all.checked = false;
  },
  all() {
    for (const box of this.boxes()) box.checked = this.$event.target.checked;
    this.count();
  },
  none() {
    for (const box of this.$root.querySelectorAll("input[type=checkbox]")) box.checked = false;
    this.count();
  },
});

// Pages over plain http have no clipboard: there the old command copies a selected field.
async function put(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

export const copy = () => ({
  isDone: false,
  async run() {
    await put(this.$root.dataset.text);
    this.isDone = true;
    setTimeout(() => { this.isDone = false; }, 1_500);
  },
});

// Light, dark, or as the system says. The server reads the cookie, so that no page flashes.
export const theme = () => ({
  choose() {
    const chosen = this.$el.value;
    document.documentElement.dataset.theme = chosen;
    document.cookie = `theme=${chosen};path=/;max-age=31536000;samesite=lax`;
    for (const button of document.querySelectorAll("button[name=theme]")) button.ariaPressed = String(button.value === chosen);
    document.dispatchEvent(new Event("theme"));
    this.$event.preventDefault();
  },
});
