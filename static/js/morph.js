// htmx swaps by morphing: what did not change stays, with its focus, its scroll and its ticks.
import { Idiomorph } from "idiomorph";

const slid = new WeakSet();
/** The moment at which a bar begins: another one means that a cell came in at its end. */
const startOf = (node) => node.dataset?.bar && JSON.parse(node.dataset.bar).from;
const isStill = matchMedia("(prefers-reduced-motion: reduce)");

htmx.defineExtension("morph", {
  isInlineSwap: (style) => style === "morph",
  handleSwap: (style, target, fragment) => {
    if (style !== "morph") return false;
    return Idiomorph.morph(target, fragment.children, {
      morphStyle: "outerHTML",
      callbacks: {
        // What the reader set is the reader's: ticks, open folds, half-typed texts.
        beforeNodeMorphed: (before, after) => {
          // A chart is drawn by its script: as long as it is of the same figures, it stays.
          if (before.dataset?.src && before.id === after.id) return false;
          const isText = before.matches?.("textarea, input:not([type=checkbox], [type=hidden])");
          if (isText && (before === document.activeElement || before.value !== before.defaultValue)) return false;
          if (before.nodeName === "INPUT" && before.type === "checkbox") after.checked = before.checked;
          if (before.nodeName === "DETAILS" && before.open) after.open = true;
          // What Alpine shows or hides is not the server's to say.
          if (before.matches?.("[x-show]") && !before.hasAttribute("x-cloak")) {
            after.removeAttribute("x-cloak");
            after.style.display = before.style.display;
          }
          if (before.nodeName === "TR" && before.ariaSelected) after.ariaSelected = before.ariaSelected;
          if (startOf(before) !== startOf(after)) slid.add(before);
          return true;
        },
        // A beat that came in slides.
        afterNodeMorphed: (before) => {
          if (!slid.delete(before) || isStill.matches) return;
          before.querySelector("svg")?.animate([{ transform: "translateX(8px)" }, {}], { duration: 160, easing: "ease-out" });
        },
      },
    });
  },
});
