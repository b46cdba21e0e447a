/**
 * The list of videos, requested from the server at regular intervals.
 * @import { ModelConfig, VideoInfo, VideoListing } from "./api-types"
 */
import { ApiError, requestIfChanged } from "./api.js";
import { createElement, setAttribute, setText } from "./dom.js";
import { formatCount, formatTime } from "./format.js";
import { createThumbnail } from "./thumbnails.js";

// ms between requests
const BUSY_INTERVAL = 1000; // while videos are processed
const IDLE_INTERVAL = 5000;
const RETRY_INTERVAL = 2000; // while the server does not answer

/**
 * The state of detection, or the classes of a video.
 * @param {VideoInfo} video
 */
export function describeState({ state, labels, duration, position, queue_position: place, reason, edited, status }) {
  if (state === "queued") return place > 1 ? `Queued, ${formatCount(place - 1, "video")} before it` : "Queued, next";
  if (state === "running") {
    return duration
      ? `Running: ${formatTime(position, 1)} of ${formatTime(duration, 1)}`
      : "Running: opening the video";
  }
  if (state === "failed") return reason; // the status says that it failed
  const names = labels.join(", ");
  if (edited) return names || "No segments";
  if (state === "cancelled") return `Cancelled: ${reason}`;
  return status === "predicted" ? names || "No segments above the threshold" : "";
}

/** @param {string} word */
const capitalize = (word) => word[0].toUpperCase() + word.slice(1);

/**
 * @param {object} options
 * @param {HTMLElement} options.list
 * @param {HTMLInputElement} options.search
 * @param {HTMLElement} options.count
 * @param {(videos: VideoInfo[]) => VideoInfo[]} options.sort
 * @param {(key: string) => void} options.onOpen
 * @param {() => Promise<unknown> | void} options.onUpdate Called after each request.
 */
export function createVideoList({ list, search, count, sort, onOpen, onUpdate }) {
  /** @typedef {ReturnType<typeof createRow>} Row */
  /** @type {Map<string, Row>} */
  const rows = new Map();
  /** @type {VideoInfo[]} */
  let videos = [];
  /** In the order of the list. @type {VideoInfo[]} */
  let sorted = [];
  /** @type {Record<string, string>} */
  let moved = {};
  /** The model that processes videos. @type {ModelConfig | null} */
  let model = null;
  let etag = "";
  let timer = 0;
  let requestNumber = 0;
  /** @type {string | null} */
  let currentKey = null;

  /** @param {string} key */
  function createRow(key) {
    const names = ["id", "time", "labels", "status"];
    const [name, time, state, status] = names.map((className) => createElement("span", { className }));
    const thumbnail = createThumbnail();
    const button = createElement("button", {}, thumbnail.element, name, time, state, status);
    button.addEventListener("click", () => onOpen(key));
    return { item: createElement("li", {}, button), button, thumbnail, name, time, state, status, text: "" };
  }

  function draw() {
    const keys = new Set(videos.map((video) => video.key));
    for (const [key, row] of rows) {
      if (keys.has(key)) continue;
      row.item.remove();
      rows.delete(key);
    }
    sorted = sort(videos);
    sorted.forEach((video, index) => {
      const row = rows.get(video.key) || createRow(video.key);
      rows.set(video.key, row);
      const state = describeState(video);
      row.thumbnail.show(video);
      setText(row.name, video.name);
      setText(row.time, video.duration ? formatTime(video.duration, 1) : "");
      setText(row.state, state);
      setText(row.status, capitalize(video.status));
      row.status.dataset.status = video.status;
      row.button.title = [video.name, capitalize(video.status), state].filter(Boolean).join("\n");
      row.text = row.button.title.toLowerCase();
      if (list.children[index] !== row.item) list.insertBefore(row.item, list.children[index] || null);
    });
    markCurrent(currentKey);
    filter();
  }

  function filter() {
    const text = search.value.trim().toLowerCase();
    let visible = 0;
    for (const row of rows.values()) {
      row.item.hidden = !row.text.includes(text);
      if (!row.item.hidden) visible += 1;
    }
    const all = formatCount(videos.length, "video");
    if (visible === videos.length) setText(count, all);
    else setText(count, visible ? `${visible} of ${all}` : "No video has this name or class.");
  }
  search.addEventListener("input", filter);

  /** @param {string | null} key */
  function markCurrent(key) {
    currentKey = key;
    for (const [rowKey, row] of rows) setAttribute(row.button, "aria-current", rowKey === key ? "true" : null);
  }

  /** Scroll to the current video. */
  function revealCurrent() {
    const item = currentKey === null ? undefined : rows.get(currentKey)?.item;
    if (!item) return;
    const top = item.offsetTop - list.offsetTop;
    const isInView = top >= list.scrollTop && top + item.offsetHeight <= list.scrollTop + list.clientHeight;
    if (!isInView) list.scrollTop = top - list.clientHeight / 3;
  }

  /** Request the list now, and again later. */
  async function update() {
    clearTimeout(timer);
    requestNumber += 1;
    const number = requestNumber;
    let interval = RETRY_INTERVAL;
    try {
      const response = await requestIfChanged("/api/videos", etag);
      if (number !== requestNumber) return; // a later request is running
      if (response.json) {
        const { videos: listed, moved: renamed, ...active } = /** @type {VideoListing} */ (response.json);
        [videos, moved, model] = [listed, renamed, active];
        ({ etag } = response);
        draw();
      }
      const isBusy = videos.some(({ state }) => state === "queued" || state === "running");
      interval = isBusy ? BUSY_INTERVAL : IDLE_INTERVAL;
      await onUpdate();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    } finally {
      if (number === requestNumber) timer = setTimeout(update, interval);
    }
  }

  /**
   * The key of the next or previous video that the search shows; the first or last one at the ends.
   * @param {string} key
   * @param {1 | -1} direction
   */
  function neighborOf(key, direction) {
    const visible = sorted.filter((video) => !rows.get(video.key)?.item.hidden);
    const index = visible.findIndex((video) => video.key === key) + direction;
    return visible.length ? visible[Math.min(Math.max(0, index), visible.length - 1)].key : null;
  }

  return {
    draw,
    markCurrent,
    neighborOf,
    revealCurrent,
    update,
    /** @param {string | null} key */
    find: (key) => videos.find((video) => video.key === key),
    get model() {
      return model;
    },
    get moved() {
      return moved;
    },
    get videos() {
      return videos;
    },
  };
}
/** @typedef {ReturnType<typeof createVideoList>} VideoList */
