/**
 * How far the videos of the folder are: a bar with one part for each state, and the counts as text.
 * @import { VideoInfo } from "./api-types"
 */
import { createElement, getElement, setText } from "./dom.js";

/** From done to not begun. @type {VideoInfo["status"][]} */
const STATUSES = ["reviewed", "edited", "predicted", "running", "failed", "new"];

/** @param {VideoInfo[]} videos */
export function showFolderProgress(videos) {
  const counts = STATUSES.map((status) => ({ status, count: videos.filter((of) => of.status === status).length }));
  const present = counts.filter(({ count }) => count);
  getElement("folder-progress", HTMLElement).replaceChildren(
    ...present.map(({ status, count }) => {
      const part = createElement("span", { className: status });
      part.style.setProperty("--videos", String(count));
      return part;
    }),
  );
  const others = present.filter(({ status }) => status !== "reviewed");
  setText(getElement("review-text", HTMLElement), `${counts[0].count} of ${videos.length} reviewed`);
  setText(getElement("states-text", HTMLElement), others.map(({ status, count }) => `${count} ${status}`).join(", "));
}
