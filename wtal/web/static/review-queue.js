/**
 * The order of the list of videos, the progress of the review, and the way to the next video to review.
 * @import { VideoInfo } from "./api-types"
 * @import { VideoList } from "./video-list"
 */
import { getElement } from "./dom.js";
import { showFolderProgress } from "./folder-progress.js";
import { readStored, store } from "./storage.js";

const STORAGE_KEY = "order of videos";

/**
 * The videos that are not reviewed, the one whose review helps most first.
 * @param {VideoInfo[]} videos
 */
const queueOf = (videos) =>
  videos.filter((video) => video.review_position > 0).sort((a, b) => a.review_position - b.review_position);

/**
 * @param {object} options
 * @param {() => VideoList} options.getVideoList
 * @param {() => string | null} options.getOpenKey
 * @param {(key: string) => boolean | undefined} options.isReviewed What this page knows of a video that it has opened.
 * @param {(key: string) => void} options.onOpen
 * @param {(message: string) => void} options.showStatus
 */
export function createReviewQueue({ getVideoList, getOpenKey, isReviewed, onOpen, showStatus }) {
  const order = getElement("order", HTMLSelectElement);
  const nextButton = getElement("next-to-review", HTMLButtonElement);
  order.value = readStored(STORAGE_KEY) === "review" ? "review" : "name";

  /** @param {VideoInfo[]} videos */
  function sort(videos) {
    if (order.value !== "review") return videos;
    const queue = queueOf(videos);
    return [...queue, ...videos.filter((video) => !queue.includes(video))];
  }

  /** Open the video that follows the open one in the queue, or the first one. */
  function openNext() {
    const queue = queueOf(getVideoList().videos);
    const index = queue.findIndex((video) => video.key === getOpenKey());
    const others = [...queue.slice(index + 1), ...queue.slice(0, Math.max(0, index))];
    const next = others.find((video) => !isReviewed(video.key));
    if (next) onOpen(next.key);
    else showStatus(index < 0 || isReviewed(queue[index].key) ? "All videos are reviewed." : "No other video is left.");
  }

  /** Call after an update of the list. */
  function update() {
    const { videos } = getVideoList();
    showFolderProgress(videos);
    getElement("review", HTMLElement).hidden = !videos.length;
  }

  order.addEventListener("change", () => {
    store(STORAGE_KEY, order.value);
    getVideoList().draw();
  });
  nextButton.addEventListener("click", openNext);

  return { openNext, sort, update };
}
