/** Speed and single frames of the player. */
import { createElement, getElement } from "./dom.js";

const SPEEDS = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 8];
const DEFAULT_FPS = 25; // until the frame rate is known

/**
 * @param {object} options
 * @param {HTMLVideoElement} options.player
 * @param {() => number} options.getTime
 * @param {(seconds: number) => void} options.seek
 * @param {(message: string) => void} options.showStatus
 */
export function createPlayback({ player, getTime, seek, showStatus }) {
  const select = getElement("speed", HTMLSelectElement);
  let fps = DEFAULT_FPS;
  select.append(...SPEEDS.map((speed) => createElement("option", { value: String(speed), textContent: `${speed} ×` })));
  select.value = "1";

  /** @param {number} speed */
  function setSpeed(speed) {
    select.value = String(speed);
    player.defaultPlaybackRate = player.playbackRate = speed;
    showStatus(`Playback speed ${speed} ×`);
  }
  /** @param {1 | -1} direction */
  function changeSpeed(direction) {
    const index = SPEEDS.indexOf(Number(select.value)) + direction;
    setSpeed(SPEEDS[Math.min(Math.max(0, index), SPEEDS.length - 1)]);
  }
  /** @param {1 | -1} direction */
  function stepFrame(direction) {
    player.pause();
    const frame = Math.floor(getTime() * fps + 1e-3);
    // Rounded up, so that the player does not show the frame before.
    seek(Math.ceil((frame + direction) * (1000 / fps) - 1e-6) / 1000);
  }

  select.addEventListener("change", () => setSpeed(Number(select.value)));
  getElement("previous-frame", HTMLElement).addEventListener("click", () => stepFrame(-1));
  getElement("next-frame", HTMLElement).addEventListener("click", () => stepFrame(1));

  return {
    /** @param {number | null} rate frames per second of the video; null if they are not known */
    setFrameRate: (rate) => {
      fps = rate || DEFAULT_FPS;
    },
    shortcuts: {
      ",": () => stepFrame(-1),
      ".": () => stepFrame(1),
      "<": () => changeSpeed(-1),
      ">": () => changeSpeed(1),
    },
  };
}
