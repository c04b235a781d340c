import { say } from "./words.js";

// Fields that matter only for some choice of another field are hidden for the others. Without script all are shown.
export function startForms() {
  const show = () => {
    for (const field of document.querySelectorAll(".field[data-shown-for]")) {
      const [name, values] = field.dataset.shownFor.split("=");
      const source = document.querySelector(`[name="${name}"]`);
      field.hidden = Boolean(source) && !values.split("|").includes(source.value);
    }
  };
  document.addEventListener("change", show);
  document.body.addEventListener("htmx:afterSwap", show);
  show();
  for (const field of document.querySelectorAll("textarea[data-facts]")) addComposer(field);
}

const OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "contains", "not contains", "matches", "not matches", "exists", "not exists"];

function chooser(label, values) {
  const select = document.createElement("select");
  select.ariaLabel = label;
  select.append(...values.map((value) => new Option(value, value)));
  return select;
}

function input(label) {
  return Object.assign(document.createElement("input"), { type: "text", ariaLabel: label, placeholder: label, autocomplete: "off" });
}

// Below a field of assertions: a row that composes a line from a fact, an operator and a value.
function addComposer(field) {
  const row = Object.assign(document.createElement("div"), { className: "composer" });
  const fact = chooser(say("Fact"), field.dataset.facts.split(" ")), operator = chooser(say("Operator"), OPERATORS);
  const part = input(say("Name")), value = input(say("Value"));
  const add = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: say("Add assertion") });
  const show = () => {
    part.hidden = !fact.value.endsWith(".");
    value.hidden = operator.value.endsWith("exists");
  };
  const isWhole = () => (part.hidden || part.value.trim()) && (value.hidden || value.value.trim());
  const compose = () => {
    if (!isWhole()) {
      (part.hidden || part.value.trim() ? value : part).focus();
      return;
    }
    const line = [`[${fact.value}${part.hidden ? "" : part.value.trim()}]`, operator.value, value.hidden ? "" : value.value.trim()];
    field.value = [field.value.trimEnd(), line.join(" ").trim()].filter(Boolean).join("\n");
    field.dispatchEvent(new Event("change", { bubbles: true }));
    part.value = value.value = "";
    fact.focus();
  };
  row.addEventListener("change", show);
  row.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target === add) return;
    event.preventDefault();
    compose();
  });
  add.addEventListener("click", compose);
  row.append(fact, part, operator, value, add);
  field.after(row);
  show();
}
