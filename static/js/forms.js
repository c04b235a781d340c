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
}
