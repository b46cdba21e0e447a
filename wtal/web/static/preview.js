/** A looping preview of a video over its thumbnail, one at a time and without sound. */
import { createElement } from "./dom.js";

// Of the image that the server makes of a video that the browser cannot play.
const FRAMES = 24; // one below the other
const FRAME_TIME = 250; // ms
const BOX_ASPECT = 16 / 9;

const DELAY = 250; // ms that the pointer or the focus rests on a video

/**
 * @returns An object that shows the preview of one video at a time.
 */
export function createPreview() {
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {HTMLElement | null} */
  let player = null;
  /** The key of the video. */
  let current = "";
  let timer = 0;

  function stop() {
    clearTimeout(timer);
    current = "";
    if (!player) return;
    player.remove();
    if (player instanceof HTMLVideoElement) {
      player.removeAttribute("src"); // ends the request of its file
      player.load();
    }
    player = null;
  }

  /**
   * Show frames of a video that the browser cannot play.
   * @param {string} key
   * @param {HTMLElement} box
   */
  async function showFrames(key, box) {
    const image = createElement("img", { src: `/api/videos/${key}/preview` });
    try {
      await image.decode();
    } catch {
      return; // it cannot be read: the placeholder stays
    }
    if (key !== current) return;
    stop();
    current = key;
    player = createElement("div", { className: "frames" });
    const aspect = (image.naturalWidth * FRAMES) / image.naturalHeight;
    Object.assign(player.style, {
      aspectRatio: String(aspect),
      width: `${100 * Math.max(1, aspect / BOX_ASPECT)}%`,
      backgroundImage: `url("${image.src}")`,
      backgroundSize: `100% ${100 * FRAMES}%`,
    });
    box.append(player);
    player.animate([{ backgroundPosition: "0 0" }, { backgroundPosition: "0 100%" }], {
      duration: FRAMES * FRAME_TIME,
      iterations: Infinity,
      easing: `steps(${FRAMES}, jump-none)`,
    });
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
    // Until it plays, the thumbnail stays visible.
    video.addEventListener("playing", () => video.classList.add("playing"));
    video.addEventListener("error", () => video === player && showFrames(key, box));
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
