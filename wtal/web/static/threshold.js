/**
 * The confidence threshold of the model output: the default thresholds of the model, or the one that the user set. This
 * browser remembers it for each video.
 * @import { Segment } from "./types"
 */
import { getElement } from "./dom.js";
import { readStored, store } from "./storage.js";

/**
 * @param {object} options
 * @param {() => string} options.getModel The fingerprint of the model.
 * @param {(name: string) => number} options.labelOf The index of a class.
 * @param {() => void} options.onChange
 */
export function createThreshold({ getModel, labelOf, onChange }) {
  const slider = getElement("threshold", HTMLInputElement);
  const output = getElement("threshold-value", HTMLOutputElement);
  const reset = getElement("reset-threshold", HTMLButtonElement);
  let key = "";
  /** All candidates of the video. @type {Segment[]} */
  let candidates = [];
  /** By label. @type {number[]} */
  let defaults = [];
  /** What the user set, null for the defaults. @type {number | null} */
  let value = null;

  const storageKey = () => `threshold of ${key}, model ${getModel()}`;
  function load() {
    const stored = readStored(storageKey());
    const number = stored === null ? NaN : Number(stored);
    return candidates.length && Number.isFinite(number) ? number : null;
  }

  /**
   * @param {string} videoKey
   * @param {Segment[]} segments
   * @param {Record<string, number | null>} thresholds by class; null if the class is never shown
   */
  function open(videoKey, segments, thresholds) {
    key = videoKey;
    candidates = segments;
    defaults = [];
    for (const [name, score] of Object.entries(thresholds)) {
      // Scores of the page are rounded to 32 bits, so thresholds must be as well.
      defaults[labelOf(name)] = score === null ? Infinity : Math.fround(score);
    }
    value = load();
    show();
  }

  function show() {
    const scores = candidates.map((segment) => segment.score || 0);
    getElement("threshold-box", HTMLElement).hidden = !scores.length;
    if (!scores.length) return;
    const maximum = scores.reduce((a, b) => Math.max(a, b));
    slider.min = String(scores.reduce((a, b) => Math.min(a, b)));
    slider.max = String(maximum);
    const labels = new Set(candidates.map((segment) => segment.label));
    const finite = defaults.filter((score, label) => Number.isFinite(score) && labels.has(label));
    slider.value = String(value === null ? Math.min(...finite, maximum) : value);
    output.textContent = value === null ? "Default" : value.toFixed(2);
    output.title = value === null ? reset.title : "";
    slider.setAttribute("aria-valuetext", output.textContent);
    reset.hidden = value === null;
  }

  /** @param {number | null} threshold */
  function set(threshold) {
    value = threshold;
    store(storageKey(), value === null ? null : String(value));
    show();
    onChange();
  }
  slider.addEventListener("input", () => set(slider.valueAsNumber));
  reset.addEventListener("click", () => {
    set(null);
    slider.focus();
  });

  return {
    open,
    /** The candidates above the threshold. */
    select: () => candidates.filter(({ label, score }) => (score || 0) >= (value === null ? defaults[label] : value)),
    get value() {
      return value;
    },
  };
}
