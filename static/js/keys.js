// Keys: `/` search, `n` new, in lists ↑ ↓ (or k j) between rows, x to choose, b to what is done
// to the chosen, Enter to open; in an open menu ↑ ↓; ? shows them.
export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const isTyping = event.target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (isTyping && event.target.type === "search" && event.key === "ArrowDown") {
      event.target.blur();
    } else if (isTyping) {
      if (event.key !== "Escape") return;
      event.preventDefault(); // a search field would be emptied, and the list with it unfiltered
      return event.target.blur();
    }
    const act = ACTS[event.key];
    if (act?.(event)) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (row && !event.target.closest("a, button, input, label, summary, .beats")) row.querySelector("a[data-open]")?.click();
  });
}

const ACTS = {
  "/": () => focus("input[type=search]"),
  n: () => click("a[data-new]"),
  "?": () => document.getElementById("keys")?.showModal() ?? true,
  ArrowDown: (event) => move(event, 1),
  j: (event) => move(event, 1),
  ArrowUp: (event) => move(event, -1),
  k: (event) => move(event, -1),
  x: () => choose(),
  b: () => focus(".bulk button"),
};

function focus(selector) {
  const found = document.querySelector(selector);
  found?.focus();
  found?.select?.();
  return Boolean(found);
}

function click(selector) {
  const found = document.querySelector(selector);
  found?.click();
  return Boolean(found);
}

function move(event, step) {
  if (event.target.closest(".beats, [role=tablist]")) return false;
  const menu = document.querySelector("details.menu[open]");
  const rows = [...(menu ?? document).querySelectorAll(menu ? ".sheet a, .sheet button" : "tr[data-row]")];
  if (!rows.length) return false;
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[here < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, here + step))];
  (menu ? next : next.querySelector("a[data-open]")).focus();
  return true;
}

function choose() {
  const box = document.activeElement.closest("tr[data-row]")?.querySelector("input[name=id]");
  box?.click();
  return Boolean(box);
}
