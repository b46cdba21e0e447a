/** The field with the class of the selected and of the next segment. It offers all classes, and accepts new ones. */
import { createElement, getElement } from "./dom.js";
import { checkClassName } from "./edits.js";

/**
 * @param {object} options
 * @param {string[]} options.classes Grows with new classes.
 * @param {(label: number) => void} options.onEnter
 * @param {(message: string) => void} options.showStatus
 */
export function createClassField({ classes, onEnter, showStatus }) {
  const field = getElement("label", HTMLInputElement);
  let shownName = "";

  /** @param {string} name */
  const addOption = (name) => getElement("classes", HTMLElement).append(createElement("option", { value: name }));
  classes.forEach(addOption);

  /**
   * The index of a class; an unknown class is added.
   * @param {string} name
   */
  function labelOf(name) {
    const index = classes.indexOf(name);
    if (index >= 0) return index;
    addOption(name);
    return classes.push(name) - 1;
  }

  function draw() {
    if (document.activeElement === field) field.placeholder = shownName;
    else field.value = shownName;
  }

  /** @param {string} text */
  function enter(text) {
    const name = text.trim();
    if (!name) return;
    const problem = checkClassName(name);
    if (problem) showStatus(problem);
    else onEnter(labelOf(name));
  }

  // While the field has the focus, the class is its placeholder, so that the browser offers all classes.
  field.addEventListener("focus", () => {
    field.placeholder = field.value;
    field.value = "";
  });
  field.addEventListener("change", () => enter(field.value));
  field.addEventListener("blur", draw);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && event.key !== "Enter") return;
    if (event.key === "Escape") field.value = "";
    event.preventDefault();
    getElement("timeline", HTMLElement).focus({ preventScroll: true });
  });

  return {
    focus: () => field.focus(),
    labelOf,
    /** @param {number | null} label */
    show(label) {
      shownName = label === null ? "" : classes[label];
      draw();
    },
  };
}
