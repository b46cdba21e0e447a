/** The field with the class of the selected and of the next segment. It offers all classes, and accepts new ones. */
import { createClassMenu } from "./class-menu.js";
import { getElement } from "./dom.js";
import { checkClassName, findClass } from "./edits.js";

/**
 * @param {object} options
 * @param {string[]} options.classes Grows with new classes.
 * @param {() => Iterable<string>} options.getOtherClasses More classes to offer.
 * @param {(label: number) => void} options.onEnter
 * @param {(message: string) => void} options.showStatus
 */
export function createClassField({ classes, getOtherClasses, onEnter, showStatus }) {
  const field = getElement("label", HTMLInputElement);
  let shownName = "";

  /**
   * The index of a class; an unknown class is added.
   * @param {string} name
   */
  function labelOf(name) {
    const index = classes.indexOf(name);
    return index >= 0 ? index : classes.push(name) - 1;
  }

  function draw() {
    if (document.activeElement === field) field.placeholder = shownName;
    else field.value = shownName;
  }

  /** @param {string} text */
  function enter(text) {
    const name = findClass([...classes, ...getOtherClasses()], text.trim());
    if (!name) return;
    const problem = checkClassName(name);
    if (problem) showStatus(problem);
    else onEnter(labelOf(name));
  }

  function leave() {
    getElement("timeline", HTMLElement).focus({ preventScroll: true });
  }

  // While the field has the focus, the class is its placeholder, so that the menu offers all classes.
  field.addEventListener("focus", () => {
    field.placeholder = field.value;
    field.value = "";
  });
  createClassMenu({
    field,
    list: getElement("class-menu", HTMLElement),
    classes,
    getOtherClasses,
    onChoose(name) {
      enter(name);
      field.value = "";
      leave();
    },
  });
  field.addEventListener("change", () => enter(field.value));
  field.addEventListener("blur", draw);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && event.key !== "Enter") return;
    if (event.key === "Escape") field.value = "";
    event.preventDefault();
    leave();
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
