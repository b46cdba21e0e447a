/**
 * The moments of the open video at which a label helps most.
 * @import { VideoDetails } from "./api-types"
 */
import { getElement } from "./dom.js";

/**
 * @param {object} options
 * @param {() => number} options.getTime
 * @param {(seconds: number) => void} options.seek
 * @param {(message: string) => void} options.showStatus
 */
export function createMoments({ getTime, seek, showStatus }) {
  const button = getElement("next-moment", HTMLButtonElement);
  /** @type {VideoDetails["moments"]} */
  let moments = [];

  /** Go to the next moment, after the last one to the first. */
  function openNext() {
    if (!moments.length) return showStatus("No moments are suggested for this video.");
    const later = moments.findIndex(({ time }) => time > getTime() + 0.01);
    const index = Math.max(0, later);
    seek(moments[index].time);
    showStatus(`Moment ${index + 1} of ${moments.length}: is it ${moments[index].label}?`);
  }

  button.addEventListener("click", openNext);
  return {
    openNext,
    get count() {
      return moments.length;
    },
    /** @param {VideoDetails["moments"]} suggested */
    show(suggested) {
      moments = suggested;
      button.hidden = !moments.length;
    },
  };
}
