/**
 * A grid of videos to select from, as in a file manager: a click selects one video, with Ctrl it adds one, with Shift
 * it selects a range; the same with the arrow keys and Space.
 * @import { TaggedVideo } from "./api-types"
 */
import { createElement, setAttribute, setText } from "./dom.js";
import { createPreview } from "./preview.js";
import { createThumbnail } from "./thumbnails.js";

const NOTHING = "Nothing happens";
const NOT_TAGGED = "Not tagged";

/** @param {TaggedVideo} video */
const describeTags = ({ labels }) => (labels === null ? NOT_TAGGED : labels.join(", ") || NOTHING);

/**
 * @param {object} options
 * @param {HTMLElement} options.list
 * @param {() => void} options.onSelect Called when the selection has changed.
 */
export function createTagGrid({ list, onSelect }) {
  /** @typedef {ReturnType<typeof createTile>} Tile */
  /** Key to tile. @type {Map<string, Tile>} */
  const tiles = new Map();
  /** The keys that are shown, in order. @type {string[]} */
  let order = [];
  /** @type {Set<string>} */
  const selected = new Set();
  /** The video that has the focus, and that at the other end of a range. @type {string | null} */
  let focused = null;
  /** @type {string | null} */
  let anchor = null;
  const preview = createPreview();

  /** @param {string} key */
  function createTile(key) {
    const thumbnail = createThumbnail();
    const name = createElement("span", { className: "name" });
    const tags = createElement("span", { className: "tags" });
    const item = createElement("li", { tabIndex: -1, id: `video-${key}` }, thumbnail.element, name, tags);
    item.setAttribute("role", "option");
    item.dataset.key = key;
    return { item, thumbnail, name, tags };
  }

  /**
   * Show videos in the given order.
   * @param {TaggedVideo[]} videos
   */
  function show(videos) {
    order = videos.map((video) => video.key);
    const keys = new Set(order);
    for (const [key, tile] of tiles) {
      if (keys.has(key)) continue;
      tile.item.remove();
      tiles.delete(key);
    }
    videos.forEach((video, index) => {
      const tile = tiles.get(video.key) || createTile(video.key);
      tiles.set(video.key, tile);
      tile.thumbnail.show(video);
      setText(tile.name, video.name);
      tile.name.title = video.name;
      const text = describeTags(video);
      setText(tile.tags, text);
      tile.tags.title = text;
      tile.item.dataset.tagged = String(video.labels !== null);
      if (list.children[index] !== tile.item) list.insertBefore(tile.item, list.children[index] || null);
    });
    const removed = [...selected].filter((key) => !keys.has(key));
    removed.forEach((key) => selected.delete(key));
    if (focused !== null && !keys.has(focused)) focused = null;
    if (anchor !== null && !keys.has(anchor)) anchor = null;
    update();
  }

  /** Show the selection, and let one video take the focus. */
  function update() {
    for (const [key, { item }] of tiles) {
      setAttribute(item, "aria-selected", String(selected.has(key)));
      item.tabIndex = key === (focused ?? order[0]) ? 0 : -1;
    }
    onSelect();
  }

  /** @param {string[]} keys */
  function select(keys) {
    selected.clear();
    keys.forEach((key) => selected.add(key));
  }

  /**
   * The keys from the anchor to a video.
   * @param {string} key
   */
  function rangeTo(key) {
    const ends = [order.indexOf(anchor ?? key), order.indexOf(key)].sort((a, b) => a - b);
    return order.slice(ends[0], ends[1] + 1);
  }

  /**
   * @param {string} key
   * @param {{ range?: boolean, toggle?: boolean }} [how]
   */
  function choose(key, { range = false, toggle = false } = {}) {
    if (range) select(toggle ? [...selected, ...rangeTo(key)] : rangeTo(key));
    else if (toggle && selected.has(key)) selected.delete(key);
    else if (toggle) selected.add(key);
    else select([key]);
    if (!range) anchor = key;
    focused = key;
    update();
  }

  /** @param {string} key */
  function focus(key) {
    focused = key;
    const item = tiles.get(key)?.item;
    item?.focus({ preventScroll: true });
    item?.scrollIntoView({ block: "nearest" });
  }

  /** The number of videos in a row. */
  function countColumns() {
    const top = tiles.get(order[0])?.item.offsetTop;
    const next = order.findIndex((key) => tiles.get(key)?.item.offsetTop !== top);
    return next < 0 ? order.length : next;
  }

  /**
   * The index that a key moves to, null if it is not such a key.
   * @param {string} key
   * @param {number} index
   */
  function targetOf(key, index) {
    const columns = countColumns();
    const last = order.length - 1;
    switch (key) {
      case "ArrowLeft":
        return Math.max(0, index - 1);
      case "ArrowRight":
        return Math.min(last, index + 1);
      case "ArrowUp":
        return index < columns ? index : index - columns;
      case "ArrowDown":
        return index + columns > last ? Math.max(index, last) : index + columns;
      case "Home":
        return 0;
      case "End":
        return last;
      default:
        return null;
    }
  }

  /**
   * Returns whether the key was used.
   * @param {KeyboardEvent} event
   */
  function handleKey(event) {
    if (!order.length || event.altKey) return false;
    const isControl = event.ctrlKey || event.metaKey;
    if (isControl && event.key.toLowerCase() === "a") {
      select(order);
      update();
      return true;
    }
    if (event.key === "Escape") {
      selected.clear();
      preview.stop();
      update();
      return true;
    }
    const isFirst = focused === null;
    const index = Math.max(0, order.indexOf(focused ?? ""));
    if (event.key === " ") {
      choose(order[index], { range: event.shiftKey, toggle: true });
      return true;
    }
    const target = targetOf(event.key, index);
    if (target === null) return false;
    const key = order[isFirst ? 0 : target];
    if (!isControl || event.shiftKey) choose(key, { range: event.shiftKey, toggle: isControl });
    focus(key);
    update();
    return true;
  }

  /** @param {Event} event */
  function keyOf(event) {
    const item = /** @type {Element} */ (event.target).closest("li");
    return item?.dataset.key || null;
  }

  /** @param {string} key */
  const boxOf = (key) => /** @type {Tile} */ (tiles.get(key)).thumbnail.element;

  list.addEventListener("click", (event) => {
    const key = keyOf(event);
    if (!key) return;
    // A finger has no Ctrl key: each tap adds a video, or removes it.
    const isTouch = event instanceof PointerEvent && event.pointerType === "touch";
    choose(key, { range: event.shiftKey, toggle: event.ctrlKey || event.metaKey || isTouch });
    focus(key);
  });
  list.addEventListener("pointerover", (event) => {
    const key = keyOf(event);
    if (key && event.pointerType === "mouse") preview.playSoon(key, boxOf(key));
  });
  list.addEventListener("pointerleave", preview.stop);
  list.addEventListener("focusin", (event) => {
    const key = keyOf(event);
    if (!key) return;
    focused = key;
    preview.playSoon(key, boxOf(key));
  });
  list.addEventListener("focusout", preview.stop);

  return {
    handleKey,
    show,
    stopPreview: preview.stop,
    /** The selected videos in order. */
    get selection() {
      return order.filter((key) => selected.has(key));
    },
    selectAll() {
      select(order);
      update();
    },
    togglePreview() {
      const key = focused ?? order[0];
      if (key) preview.toggle(key, boxOf(key));
    },
    /**
     * Select a video and give it the focus.
     * @param {string} key
     */
    reveal(key) {
      choose(key);
      focus(key);
    },
    /**
     * The first video after the focused one for which `test` is true; after the last one, from the start.
     * @param {(key: string) => boolean} test
     */
    findNext(test) {
      const index = order.indexOf(focused ?? "") + 1;
      return [...order.slice(index), ...order.slice(0, index)].find(test);
    },
  };
}
/** @typedef {ReturnType<typeof createTagGrid>} TagGrid */
