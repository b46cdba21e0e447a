/**
 * A timeline: lanes of segments above curves, on a canvas that is operated by mouse, touch and keyboard.
 * @import { Edge, Hit, Segment, Shortcuts } from "./types"
 * @import { TimelineConfig, TimelineListeners, VideoTimeline, View } from "./types"
 */
import { emptyTimeline } from "./decode.js";
import { createElement, darkScheme } from "./dom.js";
import { formatTime } from "./format.js";
import { attachInput } from "./pointer-input.js";
import { createRenderer, isPoint, POINT_RADIUS } from "./renderer.js";
import { createLayout, ROW_HEIGHT } from "./timeline-layout.js";

// Pixels.
const EDGE_DISTANCE = 6; // within which a pointer grabs an edge
const TOUCH_EDGE_DISTANCE = 16;
const SEGMENT_SLACK = 2; // around a segment

const MIN_RANGE = 0.5; // visible seconds
const MIN_RANGE_SNIPPETS = 4;

/** @typedef {ReturnType<typeof createTimeline>} Timeline */

/**
 * A button with the color, the number and the name of a class.
 * @param {string} name
 * @param {string} color
 * @param {number} number
 * @param {boolean} isKey Whether the key with this number marks the class.
 */
function createChip(name, color, number, isKey) {
  const swatch = createElement("span", { className: "swatch" });
  swatch.style.background = color;
  const shown = createElement(isKey ? "kbd" : "span", { className: "number", textContent: String(number) });
  return createElement("button", { title: name }, swatch, shown, createElement("span", { textContent: name }));
}

/**
 * @param {object} options
 * @param {HTMLCanvasElement} options.canvas
 * @param {HTMLCanvasElement} options.overview
 * @param {HTMLElement} options.tooltip
 * @param {HTMLElement} options.chips Buttons that hide and show classes.
 * @param {HTMLVideoElement} options.player
 * @param {HTMLElement} options.clock
 * @param {HTMLElement} options.status Receives messages.
 * @param {TimelineConfig} options.config
 * @param {(segment: Segment) => string[]} [options.describeMatch] More lines of the description of a segment.
 * @param {TimelineListeners} [options.listeners]
 * @param {Shortcuts} [options.shortcuts] Key to action, besides the usual ones.
 */
export function createTimeline({
  canvas,
  overview,
  tooltip,
  chips,
  player,
  clock,
  status,
  config,
  describeMatch = () => [],
  listeners = {},
  shortcuts = {},
}) {
  /** @type {View} */
  const view = {
    video: { ...emptyTimeline(), name: "", end: 0, lanes: [], coloredLabels: [] },
    from: 0,
    to: 1,
    playhead: 0,
    hovered: null,
    selected: null,
    hiddenLabels: new Set(),
    threshold: -Infinity,
    blocks: [],
    width: 0,
    height: 0,
    isPrinting: false,
    isDark: false,
    colors: { paper: "", text: "", muted: "", rule: "", attention: "" },
  };
  const renderer = createRenderer({ canvas, overview, clock, config, view });
  const { draw, isVisible, left, plotWidth, secondsAt, xOf } = renderer;
  const layOut = createLayout({ view, config, isVisible, rulerHeight: renderer.rulerHeight });

  let isDrawRequested = false;
  function redraw() {
    if (isDrawRequested) return;
    isDrawRequested = true;
    requestAnimationFrame(() => {
      isDrawRequested = false;
      draw();
    });
  }

  // ---- messages

  /** @param {string} message */
  function showStatus(message) {
    status.textContent = message;
  }

  /** @param {Segment} segment */
  function describeSegment(segment, separator = ", ") {
    const { label, start, end, score } = segment;
    const length = `${formatTime(start)} to ${formatTime(end)}, ${(end - start).toFixed(1)} s`;
    const times = isPoint(segment) ? `point at ${formatTime(start)}` : length;
    const scores = score === null ? [] : [`score ${score.toFixed(2)}`];
    return [config.classes[label], times, ...scores, ...describeMatch(segment)].join(separator);
  }
  /** @param {Segment} segment */
  const announceSegment = (segment) => showStatus(`${segment.kind}: ${describeSegment(segment)}`);

  /** The visible segments of the primary lanes, by start. */
  const visibleSegments = () =>
    view.video.lanes
      .filter((lane) => !lane.secondary)
      .flatMap((lane) => lane.segments)
      .filter(isVisible)
      .sort((a, b) => a.start - b.start);

  // ---- navigation

  /**
   * @param {number} start
   * @param {number} end
   */
  function showRange(start, end) {
    const { edges, end: videoEnd } = view.video;
    const snippet = edges.length > 1 ? edges[1] - edges[0] : 0;
    const shortest = Math.min(videoEnd, Math.max(MIN_RANGE, MIN_RANGE_SNIPPETS * snippet));
    const length = Math.min(videoEnd, Math.max(shortest, end - start));
    view.from = Math.min(Math.max(0, start + (end - start - length) / 2), videoEnd - length);
    view.to = view.from + length;
    redraw();
  }
  const fit = () => showRange(0, view.video.end);
  /** @param {number} factor */
  const zoom = (factor, center = (view.from + view.to) / 2) =>
    showRange(center - (center - view.from) * factor, center + (view.to - center) * factor);
  /**
   * Move a range that was visible by pixels.
   * @param {number} distance
   * @param {{ from: number, to: number }} range
   */
  function pan(distance, range) {
    const seconds = (distance / plotWidth()) * (range.to - range.from);
    showRange(range.from - seconds, range.to - seconds);
  }
  /** @param {number} x on the overview */
  function centerAt(x) {
    const center = ((x - left()) / plotWidth()) * view.video.end;
    const half = (view.to - view.from) / 2;
    showRange(center - half, center + half);
  }

  /** @param {number} seconds */
  const clampTime = (seconds) => Math.min(Math.max(0, seconds), view.video.end);

  /** @param {number} seconds */
  function seek(seconds, movePlayer = true) {
    view.playhead = clampTime(seconds);
    const half = (view.to - view.from) / 2;
    if (view.playhead < view.from || view.playhead > view.to) showRange(view.playhead - half, view.playhead + half);
    if (movePlayer && !player.hidden && Number.isFinite(player.duration)) {
      player.currentTime = Math.min(view.playhead, player.duration);
    }
    listeners.onSeek?.(view.playhead);
    redraw();
  }

  /** @param {1 | -1} direction */
  function stepSnippet(direction) {
    const { edges } = view.video;
    if (edges.length < 2) return seek(view.playhead + direction);
    let index = edges.findIndex((edge) => edge > view.playhead + 1e-4) - 1;
    if (index < -1) index = edges.length - 1;
    const isAtEdge = Math.abs(edges[Math.max(0, index)] - view.playhead) < 1e-3;
    const next = direction > 0 ? index + 1 : isAtEdge ? index - 1 : index;
    seek(edges[Math.min(Math.max(0, next), edges.length - 1)]);
  }

  /** @param {1 | -1} direction */
  function stepSegment(direction) {
    const segments = visibleSegments();
    if (!segments.length) return showStatus("No segment is visible. Lower the threshold, or show more classes.");
    const index = view.selected ? segments.indexOf(view.selected) : -1;
    const later = segments.findIndex((segment) => segment.start > view.playhead + 1e-6);
    const following = later < 0 ? segments.length : later;
    const next = index >= 0 ? index + direction : direction > 0 ? following : following - 1;
    reveal(segments[Math.min(Math.max(0, next), segments.length - 1)]);
  }

  /** @param {Segment | null} segment */
  function select(segment) {
    view.selected = segment;
    listeners.onSelect?.(segment);
    redraw();
  }

  /**
   * Select a segment, and go to it.
   * @param {Segment} segment
   */
  function reveal(segment) {
    select(segment);
    if (segment.start < view.from || segment.end > view.to) {
      const half = Math.max(view.to - view.from, (segment.end - segment.start) * 1.2) / 2;
      const center = (segment.start + segment.end) / 2;
      showRange(center - half, center + half);
    }
    seek(segment.start);
    announceSegment(segment);
  }

  // ---- pointer

  /** @param {Segment | null} segment */
  function hover(segment, x = 0, y = 0) {
    if (segment !== view.hovered) {
      view.hovered = segment;
      redraw();
    }
    tooltip.hidden = !segment;
    if (!segment) return;
    tooltip.textContent = describeSegment(segment, "\n");
    const maxX = view.width - tooltip.offsetWidth;
    tooltip.style.transform = `translate(${Math.max(0, Math.min(x + 12, maxX))}px, ${y + 18}px)`;
  }

  /**
   * The lane and the segment at a position, and the edge that a drag would move.
   * @param {number} x
   * @param {number} y
   * @returns {Hit}
   */
  function hitTest(x, y, isTouch = false) {
    const time = secondsAt(x);
    const seconds = clampTime(time);
    const block = view.blocks.find((b) => b.segments && y >= b.y && y < b.y + b.height);
    const isOutside = x < left() - EDGE_DISTANCE || x > left() + plotWidth() + EDGE_DISTANCE;
    if (!block?.segments || isOutside) return { block: null, segment: null, edge: null, seconds };
    const { segments, rows, rowHeight = ROW_HEIGHT } = block;
    const row = Math.floor((y - block.y) / rowHeight);
    const segmentsOfRow = segments.filter((segment) => rows?.get(segment) === row);
    const point = segmentsOfRow.find((s) => isPoint(s) && Math.abs(xOf(s.start) - x) <= POINT_RADIUS);
    if (point) return { block, segment: point, edge: null, seconds };
    const nearest = block.editable && nearestEdge(segmentsOfRow, x, isTouch ? TOUCH_EDGE_DISTANCE : EDGE_DISTANCE);
    if (nearest) return { block, seconds, ...nearest };
    const slack = (SEGMENT_SLACK * (view.to - view.from)) / plotWidth();
    const hits = segmentsOfRow.filter((segment) => segment.start - slack <= time && time <= segment.end + slack);
    return { block, seconds, segment: hits.pop() || null, edge: null }; // the last one is drawn on top
  }

  /**
   * Where two segments meet, the edge of the one under the pointer is nearest, or that of the selected one.
   * @param {Segment[]} segments
   * @param {number} x
   * @param {number} maxDistance
   */
  function nearestEdge(segments, x, maxDistance) {
    /** @type {{ segment: Segment, edge: Edge } | null} */
    let nearest = null;
    let lowestCost = maxDistance + 1;
    const time = secondsAt(x);
    for (const segment of segments) {
      if (segment.end < view.from || segment.start > view.to || isPoint(segment)) continue;
      for (const edge of /** @type {Edge[]} */ (["start", "end"])) {
        const distance = Math.abs(xOf(segment[edge]) - x);
        const isUnderPointer = segment.start <= time && time <= segment.end;
        const cost = distance + (isUnderPointer ? 0 : 0.5) - (segment === view.selected ? 2 : 0);
        if (distance <= maxDistance && cost < lowestCost) {
          nearest = { segment, edge };
          lowestCost = cost;
        }
      }
    }
    return nearest;
  }

  // ---- what is shown

  function drawChips() {
    chips.replaceChildren(
      ...view.video.labels.map((label) => {
        const isKey = label < (config.keys?.length || 0);
        const chip = createChip(config.classes[label], renderer.fillColor(label), label + 1, isKey);
        const showState = () => chip.setAttribute("aria-pressed", String(!view.hiddenLabels.has(label)));
        chip.addEventListener("click", () => {
          if (!view.hiddenLabels.delete(label)) view.hiddenLabels.add(label);
          showState();
          refresh();
        });
        showState();
        return chip;
      }),
    );
  }

  /** Call after the colors of classes have changed. */
  function recolor() {
    drawChips();
    redraw();
  }

  /** Call after the lanes or the filters have changed. */
  function refresh() {
    layOut();
    listeners.onRefresh?.();
    hover(null);
    if (view.selected && !isVisible(view.selected)) select(null);
    redraw();
  }

  /**
   * Show other lanes of the open video, or another length.
   * @param {VideoTimeline} video
   */
  function update(video) {
    const hasNewLabels = video.labels.length !== view.video.labels.length;
    view.video = video;
    if (hasNewLabels) drawChips();
    refresh();
  }

  /** @param {VideoTimeline} video */
  function open(video, seconds = 0) {
    view.video = video;
    view.from = 0;
    view.to = video.end;
    view.playhead = clampTime(seconds);
    view.selected = view.hovered = null;
    view.hiddenLabels = new Set();
    view.threshold = -Infinity;
    drawChips();
    refresh();
  }

  function resize() {
    view.width = canvas.clientWidth;
    renderer.updateColors();
    if (view.video.end) layOut();
    redraw();
  }

  /** @param {number} threshold */
  function setThreshold(threshold) {
    view.threshold = threshold;
    refresh();
  }

  darkScheme.addEventListener("change", () => {
    resize();
    if (view.video.end) drawChips();
  });

  // ---- player

  player.addEventListener("loadedmetadata", () => {
    if (view.playhead > 0) player.currentTime = Math.min(view.playhead, player.duration);
  });
  player.addEventListener("seeked", () => {
    if (Math.abs(player.currentTime - view.playhead) > 0.05) seek(player.currentTime, false);
  });
  function followPlayer() {
    if (player.paused) return;
    seek(player.currentTime, false);
    requestAnimationFrame(followPlayer);
  }
  player.addEventListener("play", followPlayer);

  const timeline = {
    announceSegment,
    centerAt,
    describeSegment,
    draw,
    lightColor: renderer.lightColor,
    fit,
    hitTest,
    hover,
    isVisible,
    open,
    pan,
    recolor,
    refresh,
    resize,
    reveal,
    seek,
    select,
    setThreshold,
    showRange,
    showStatus,
    stepSegment,
    stepSnippet,
    update,
    updateColors: renderer.updateColors,
    visibleSegments,
    zoom,
    get colors() {
      return view.colors;
    },
    get isDark() {
      return view.isDark;
    },
    get playhead() {
      return view.playhead;
    },
    get range() {
      return { from: view.from, to: view.to };
    },
    get selected() {
      return view.selected;
    },
    get video() {
      return view.video;
    },
  };
  const handleKey = attachInput({ timeline, canvas, overview, listeners, shortcuts });
  return Object.assign(timeline, { handleKey });
}
