/** A looping preview of a video over its thumbnail: one at a time, without sound. */
import { createElement } from "./dom.js";

const DELAY = 250; // ms that the pointer or the focus rests on a video

/**
 * @returns An object that shows the preview of one video at a time.
 */
export function createPreview() {
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {HTMLVideoElement | null} */
  let player = null;
  /** The key of the video. */
  let current = "";
  let timer = 0;

  function stop() {
    clearTimeout(timer);
    current = "";
    if (!player) return;
    player.remove();
    player.removeAttribute("src"); // ends the request of its file
    player.load();
    player = null;
  }

  /**
   * @param {string} key
   * @param {HTMLElement} box
   */
  function play(key, box) {
    stop();
    current = key;
    const video = createElement("video", { muted: true, loop: true, playsInline: true, tabIndex: -1 });
    player = video;
    // Until it plays, and if the browser cannot play it, the thumbnail stays visible.
    video.addEventListener("playing", () => video.classList.add("playing"));
    video.src = `/api/videos/${key}/file`;
    box.append(video);
    video.play().catch(() => {});
  }

  return {
    stop,
    /**
     * Play a video soon, unless the reader prefers less motion.
     * @param {string} key
     * @param {HTMLElement} box The thumbnail.
     */
    playSoon(key, box) {
      if (key === current) return;
      stop();
      if (reducedMotion.matches) return;
      current = key;
      timer = setTimeout(play, DELAY, key, box);
    },
    /**
     * Play a video, or stop it.
     * @param {string} key
     * @param {HTMLElement} box
     */
    toggle(key, box) {
      if (key === current && player) stop();
      else play(key, box);
    },
  };
}
