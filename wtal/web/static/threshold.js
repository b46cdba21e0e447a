/**
 * The confidence threshold of the model output: the default thresholds of the model, or the one that the user set. This
 * browser remembers it for each video.
 * @import { Segment } from "./types"
 */
import { createElement, getElement } from "./dom.js";
import { readStored, store } from "./storage.js";

/**
 * Round down to two digits, so that the left end of the slider is not above the weakest score.
 * @param {number} score
 */
const roundDown = (score) => Math.floor(score * 100) / 100;

/**
 * The same threshold for the server, whose scores have more digits: a score that is rounded up on the page must not be
 * left out.
 * @param {number} threshold
 */
export const toApiThreshold = (threshold) => threshold - 1e-7 * Math.abs(threshold);

/**
 * @param {string} key of the video
 * @param {string} model The fingerprint of the model.
 */
const storageKey = (key, model) => `threshold of ${key}, model ${model}`;

/**
 * The threshold that the user set for a video, null for the defaults.
 * @param {string} key
 * @param {string} model
 */
export function readThreshold(key, model) {
  const stored = readStored(storageKey(key, model));
  return stored !== null && Number.isFinite(Number(stored)) ? Number(stored) : null;
}

/** @param {number} threshold */
const describe = (threshold) => (Number.isFinite(threshold) ? threshold.toFixed(2) : "never shown");

/**
 * @param {object} options
 * @param {string[]} options.classes
 * @param {() => string} options.getModel The fingerprint of the model.
 * @param {(name: string) => number} options.labelOf The index of a class.
 * @param {() => void} options.onChange
 */
export function createThreshold({ classes, getModel, labelOf, onChange }) {
  const slider = getElement("threshold", HTMLInputElement);
  const output = getElement("threshold-value", HTMLOutputElement);
  const reset = getElement("reset-threshold", HTMLButtonElement);
  const ticks = getElement("threshold-ticks", HTMLElement);
  let key = "";
  /** All candidates of the video. @type {Segment[]} */
  let candidates = [];
  /** By label. @type {number[]} */
  let defaults = [];
  /** What the user set, null for the defaults. @type {number | null} */
  let value = null;

  /**
   * @param {string} videoKey
   * @param {Segment[]} segments
   * @param {Record<string, number | null>} thresholds by class; null if the class is never shown
   */
  function open(videoKey, segments, thresholds) {
    key = videoKey;
    candidates = [...segments].sort((a, b) => a.start - b.start); // once, as lists in order are sorted faster later
    defaults = [];
    for (const [name, score] of Object.entries(thresholds)) {
      // Scores of the page are rounded to 32 bits, so thresholds must be as well.
      defaults[labelOf(name)] = score === null ? Infinity : Math.fround(score);
    }
    value = candidates.length ? readThreshold(key, getModel()) : null;
    show();
  }

  function show() {
    const scores = candidates.map((segment) => segment.score || 0);
    getElement("threshold-box", HTMLElement).hidden = !scores.length;
    if (!scores.length) return;
    const minimum = roundDown(scores.reduce((a, b) => Math.min(a, b)));
    const maximum = scores.reduce((a, b) => Math.max(a, b));
    slider.min = String(minimum);
    slider.max = String(maximum);
    const labels = [...new Set(candidates.map((segment) => segment.label))].filter((label) => label in defaults);
    slider.value = String(value === null ? Math.min(...labels.map((label) => defaults[label]), maximum) : value);
    markDefaults(minimum, maximum, labels);
    output.textContent = value === null ? "Default" : value.toFixed(2);
    output.title = value === null ? reset.title : "";
    slider.setAttribute("aria-valuetext", output.textContent);
    reset.hidden = value === null;
  }

  /**
   * A tick for each default threshold; classes that are never shown have none.
   * @param {number} minimum
   * @param {number} maximum
   * @param {number[]} labels
   */
  function markDefaults(minimum, maximum, labels) {
    const finite = [...new Set(labels.map((label) => defaults[label]))].filter(Number.isFinite);
    ticks.replaceChildren(
      ...finite.map((score) => {
        const tick = createElement("span");
        const share = maximum > minimum ? (score - minimum) / (maximum - minimum) : 0;
        tick.style.setProperty("--share", String(Math.min(Math.max(0, share), 1)));
        return tick;
      }),
    );
    const isSame = labels.every((label) => defaults[label] === finite[0]);
    const byClass = labels.map((label) => `${classes[label]} ${describe(defaults[label])}`);
    slider.title = `Default: ${isSame ? describe(finite[0]) : byClass.join(", ")}`;
  }

  /** @param {number | null} threshold */
  function set(threshold) {
    value = threshold;
    store(storageKey(key, getModel()), value === null ? null : String(value));
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
