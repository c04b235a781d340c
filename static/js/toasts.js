// Short notes of what was done; they leave by themselves, and are read out.
const STAYS_MS = 4_000;

export function toast(text) {
  const note = document.createElement("div");
  note.className = "toast";
  note.textContent = text;
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), STAYS_MS);
}

export function startToasts() {
  for (const note of document.querySelectorAll("#toasts .toast")) {
    setTimeout(() => note.remove(), "stays" in note.dataset ? 3 * STAYS_MS : STAYS_MS);
  }
  document.body.addEventListener("toast", (event) => toast(event.detail.value));
}
