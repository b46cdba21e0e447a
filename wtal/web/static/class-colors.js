/**
 * *Colors*: a color for each class, stored by the server for everybody who opens the folder.
 * @import { Config } from "./api-types"
 * @import { CustomColor } from "./types"
 */
import { ApiError, request } from "./api.js";
import { createElement, getElement, setText } from "./dom.js";

/**
 * @param {object} options
 * @param {Config} options.config
 * @param {(label: number) => string} options.getColor The current color of a class in the light theme.
 * @param {() => void} options.onChange
 */
export function createClassColors({ config, getColor, onChange }) {
  const dialog = getElement("colors", HTMLDialogElement);
  const list = getElement("color-list", HTMLElement);
  const message = getElement("colors-message", HTMLElement);

  /** @param {number} label */
  function createRow(label) {
    const name = config.classes[label];
    const id = `color-${label}`;
    const field = createElement("input", { type: "color", id, value: getColor(label) });
    const reset = createElement("button", { className: "quiet", textContent: "Default" });
    reset.dataset.icon = "restore";
    reset.setAttribute("aria-label", `Default color of ${name}`);
    reset.disabled = !config.customColors?.has(name);
    field.addEventListener("change", () => change(label, field.value));
    reset.addEventListener("click", () => change(label, null));
    return createElement("li", {}, field, createElement("label", { htmlFor: id, textContent: name }), reset);
  }

  function draw() {
    list.replaceChildren(...config.classes.map((_, label) => createRow(label)));
  }

  /**
   * @param {number} label
   * @param {string | null} color null for the default
   */
  async function change(label, color) {
    try {
      /** @type {Record<string, CustomColor>} */
      const colors = await request("PUT", "/api/colors", { label: config.classes[label], color });
      config.customColors = new Map(Object.entries(colors));
      setText(message, "");
      onChange();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(message, `The color was not saved: ${error.message}.`);
    }
    draw();
    getElement(`color-${label}`, HTMLInputElement).focus(); // the elements are new
  }

  getElement("show-colors", HTMLElement).addEventListener("click", () => {
    setText(message, "");
    draw();
    dialog.showModal();
  });
  getElement("close-colors", HTMLElement).addEventListener("click", () => dialog.close());
}
