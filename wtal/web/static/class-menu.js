/**
 * The menu below a field for a class: the classes whose names contain what is typed, to choose by mouse or with the
 * arrow keys.
 */
import { CLASS_KEYS } from "./class-keys.js";
import { createElement, setAttribute } from "./dom.js";

// Pixels.
const MARGIN = 8; // to the edge of the window
const MAX_HEIGHT = 360;

/**
 * @param {object} options
 * @param {HTMLInputElement} options.field
 * @param {HTMLElement} options.list
 * @param {string[]} options.classes Each has a number, the first ones also as their key.
 * @param {() => Iterable<string>} options.getOtherClasses More classes to offer, without a number.
 * @param {(name: string) => void} options.onChoose
 */
export function createClassMenu({ field, list, classes, getOtherClasses, onChoose }) {
  /** The entry that Enter chooses, null for what is typed. @type {Element | null} */
  let active = null;

  /** @param {Element | null} entry */
  function activate(entry) {
    active?.removeAttribute("aria-selected");
    active = entry;
    active?.setAttribute("aria-selected", "true");
    active?.scrollIntoView({ block: "nearest" });
    setAttribute(field, "aria-activedescendant", active && active.id);
  }

  /**
   * @param {string} name
   * @param {number} label
   */
  function createEntry(name, label) {
    const isNumbered = label < classes.length;
    const isKey = isNumbered && label < CLASS_KEYS.length;
    const number = createElement(isKey ? "kbd" : "span", { textContent: isNumbered ? String(label + 1) : "" });
    const entry = createElement("li", { id: `${list.id}-${label}` }, number, name);
    entry.setAttribute("role", "option");
    entry.addEventListener("click", () => choose(name));
    return entry;
  }

  /** @param {Element} entry */
  const nameOf = (entry) => entry.lastChild?.textContent || "";

  function open() {
    const text = field.value.trim().toLowerCase();
    activate(null);
    const entries = [...new Set([...classes, ...getOtherClasses()])].map(createEntry);
    list.replaceChildren(...entries.filter((entry) => nameOf(entry).toLowerCase().includes(text)));
    list.hidden = !list.childElementCount;
    field.ariaExpanded = String(!list.hidden);
    place();
  }

  function close() {
    list.hidden = true;
    field.ariaExpanded = "false";
    activate(null);
  }

  /** Show the menu below the field, or above it if there is more space. */
  function place() {
    if (list.hidden) return;
    const box = field.getBoundingClientRect();
    const below = innerHeight - box.bottom;
    const isBelow = below >= Math.min(box.top, MAX_HEIGHT);
    Object.assign(list.style, {
      left: `${Math.max(MARGIN, Math.min(box.left, innerWidth - list.offsetWidth - MARGIN))}px`,
      top: isBelow ? `${box.bottom + 2}px` : "auto",
      bottom: isBelow ? "auto" : `${innerHeight - box.top + 2}px`,
      maxHeight: `${Math.min(MAX_HEIGHT, (isBelow ? below : box.top) - MARGIN)}px`,
    });
  }

  /** @param {string} name */
  function choose(name) {
    close();
    onChoose(name);
  }

  field.addEventListener("focus", open);
  field.addEventListener("input", open);
  field.addEventListener("click", () => list.hidden && open());
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && active) {
      event.stopImmediatePropagation(); // the field does not enter what is typed
      event.preventDefault();
      return choose(nameOf(active));
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    if (list.hidden) open();
    const next = event.key === "ArrowDown" ? active?.nextElementSibling : active?.previousElementSibling;
    activate(next || (event.key === "ArrowDown" ? list.firstElementChild : list.lastElementChild));
  });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
  addEventListener("resize", place);
  addEventListener("scroll", (event) => event.target !== list && place(), true);
}
