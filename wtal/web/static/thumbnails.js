/** Thumbnails of videos. The browser requests them when they come into view. */
import { createElement } from "./dom.js";

/**
 * @param {{ key: string, version: string }} video
 */
const urlOf = ({ key, version }) => `/api/videos/${key}/thumbnail?${new URLSearchParams({ version })}`;

/**
 * A thumbnail, with a placeholder until it is loaded, and if the video cannot be read. The name of the video is shown
 * beside it, so it has no text of its own.
 */
export function createThumbnail() {
  const image = createElement("img", { alt: "", loading: "lazy", decoding: "async", draggable: false });
  const element = createElement("span", { className: "thumbnail" }, image);
  element.ariaHidden = "true";
  let url = "";
  image.addEventListener("load", () => element.classList.add("loaded"));
  image.addEventListener("error", () => element.classList.remove("loaded"));
  return {
    element,
    /**
     * Show a video, or the current version of its file.
     * @param {{ key: string, version: string }} video
     */
    show(video) {
      if (url === urlOf(video)) return;
      url = urlOf(video);
      element.classList.remove("loaded");
      image.src = url;
    },
  };
}
/** @typedef {ReturnType<typeof createThumbnail>} Thumbnail */
