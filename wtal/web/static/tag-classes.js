/**
 * The list of classes beside the grid of videos: the first ones have number keys, and each shows whether the selected
 * videos have it. It has only the classes that contain what is typed into the field above.
 * @import { ProjectInfo } from "./api-types"
 */
import { CLASS_KEYS } from "./class-keys.js";
import { createElement, getElement } from "./dom.js";
import { formatCount } from "./format.js";

/**
 * @param {object} options
 * @param {HTMLInputElement} options.field
 * @param {(name: string) => void} options.onToggle
 * @param {(old: string, name: string) => void} options.onRename With "" as the new name: remove the class.
 */
export function createTagClasses({ field: search, onToggle, onRename }) {
  const list = getElement("tag-classes", HTMLElement);
  /** What is shown. */
  let shown = "";
  /** The class whose name is being changed. @type {string | null} */
  let renamed = null;

  /**
   * A form that replaces the button of a class while its name is changed.
   * @param {string} name
   */
  function createRenameForm(name) {
    const field = createElement("input", {
      type: "text",
      value: name,
      maxLength: 200,
      ariaLabel: `New name of ${name}`,
    });
    const remove = createElement("button", { type: "button", textContent: "Remove", className: "remove" });
    const form = createElement("form", {}, field, createElement("button", { textContent: "Rename" }), remove);
    /** @param {string | null} newName */
    function close(newName) {
      renamed = null;
      if (newName !== null && newName !== name) onRename(name, newName);
      draw();
      /** @type {HTMLElement | null} */ (list.querySelector(`[data-name="${CSS.escape(name)}"]`))?.focus();
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      close(field.value.trim() || name);
    });
    remove.addEventListener("click", () => close(""));
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close(null);
      event.stopPropagation(); // letters and digits are no shortcuts here
    });
    form.dataset.name = name;
    return form;
  }

  /** @type {{ classes: ProjectInfo["classes"], shareOf: (name: string) => number }} */
  let latest = { classes: [], shareOf: () => 0 };

  /** A class can be removed while no video has it. */
  function drawRemove() {
    /** @type {HTMLButtonElement | null} */
    const button = list.querySelector(".remove");
    const count = latest.classes.find(({ name }) => name === renamed)?.count ?? 0;
    if (!button) return;
    button.disabled = count > 0;
    button.title = count ? "Videos have this class; remove it from them first" : `Remove ${renamed}`;
  }

  function draw() {
    const { classes, shareOf } = latest;
    const text = search.value.trim().toLowerCase();
    const states = classes
      .map(({ name, count }, index) => ({ name, count, key: CLASS_KEYS[index] || "", share: shareOf(name) }))
      .filter(({ name }) => name === renamed || name.toLowerCase().includes(text));
    // What is typed is kept.
    if (renamed !== null && list.querySelector("form")?.dataset.name === renamed) return drawRemove();
    const latestState = JSON.stringify([states, renamed]);
    if (latestState === shown) return; // keeps the focus
    const hadFocus = list.contains(document.activeElement) && document.activeElement?.getAttribute("data-name");
    shown = latestState;
    list.replaceChildren(
      ...states.map(({ name, count, key, share }) => {
        if (name === renamed) {
          return createElement("li", {}, createRenameForm(name));
        }
        const label = createElement("span", { className: "name", textContent: name });
        const number = createElement("span", { className: "count", textContent: String(count) });
        const button = createElement("button", { className: "class" }, label, number);
        if (key) button.prepend(createElement("kbd", { textContent: key }));
        button.dataset.name = name;
        button.ariaPressed = share === 1 ? "true" : share > 0 ? "mixed" : "false";
        button.title = `${name}: ${formatCount(count, "video")}${key ? ` (${key})` : ""}`;
        button.addEventListener("click", () => onToggle(name));
        const edit = createElement("button", { className: "quiet", textContent: "Edit", ariaLabel: `Rename ${name}` });
        edit.addEventListener("click", () => {
          renamed = name;
          draw();
        });
        return createElement("li", {}, button, edit);
      }),
    );
    drawRemove();
    list.querySelector("input")?.select();
    if (hadFocus)
      /** @type {HTMLElement | null} */ (list.querySelector(`[data-name="${CSS.escape(hadFocus)}"]`))?.focus();
  }

  search.addEventListener("input", draw);

  return {
    /** Show all classes again. */
    clearSearch() {
      search.value = "";
      draw();
    },
    /** Go to the first class that is shown. */
    focus() {
      /** @type {HTMLElement | null} */ (list.querySelector(".class"))?.focus();
    },
    /**
     * @param {ProjectInfo["classes"]} classes
     * @param {(name: string) => number} shareOf The share of the selected videos that have a class.
     */
    show(classes, shareOf) {
      latest = { classes, shareOf };
      draw();
    },
    /**
     * The class of a number key.
     * @param {string} key
     */
    classOfKey: (key) => latest.classes[CLASS_KEYS.indexOf(key)]?.name,
  };
}
