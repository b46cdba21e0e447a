/**
 * Draws a timeline on its canvases, as described by a `View`.
 * @import { Block, Segment, TimelineConfig, View } from "./types"
 */
import { ellipsize, prepareCanvas, strokeLine, textColorOn } from "./canvas.js";
import { setText } from "./dom.js";
import { formatTime } from "./format.js";
import { createTimelineColors } from "./timeline-colors.js";
import { LANE_GAP, ROW_HEIGHT } from "./timeline-layout.js";

// Pixels.
export const POINT_RADIUS = 8; // of the marker of a point
const WIDE = 620; // from this width on, the names of lanes and curves are beside them
const NAME_WIDTH = 108;
const CURVE_NAME_WIDTH = 100;
const NARROW_MARGIN = 4;
const MIN_TICK_DISTANCE = 64;
const TICK_LABEL_WIDTH = 44;
const CURVE_NAME_HEIGHT = 14;
const MIN_LABELED_WIDTH = 34;
const DIGIT_WIDTH = 7; // in the small font; measuring thousands of texts would take longer than drawing them
const NUMBER_MARGIN = 2; // around the number of a class, in or beside a narrow segment
const OVERVIEW_HEIGHT = 26;

const MAX_CURVES = 6;
const FONT = "12px system-ui, sans-serif";
const SMALL_FONT = "10px system-ui, sans-serif";
// Seconds.
const TICK_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000];
const MAX_TICK_STEP = 86400;

/**
 * Whether only a time inside an instance is known.
 * @param {Segment} segment
 */
export const isPoint = ({ start, end }) => start === end;

/**
 * @param {object} options
 * @param {HTMLCanvasElement} options.canvas
 * @param {HTMLCanvasElement} options.overview The whole video, with the visible range marked.
 * @param {HTMLElement} options.clock Shows the position of the playhead.
 * @param {TimelineConfig} options.config
 * @param {View} options.view
 */
export function createRenderer({ canvas, overview, clock, config, view }) {
  const { updateColors, fillColor, lightColor, lineColor } = createTimelineColors(config, view);

  /** @param {Segment} segment */
  const isVisible = ({ label, score }) => !view.hiddenLabels.has(label) && !(score !== null && score < view.threshold);

  // ---- positions

  const isWide = () => view.width >= WIDE;
  const rulerHeight = () => (isWide() ? 24 : 36);
  const left = () => (isWide() ? NAME_WIDTH : NARROW_MARGIN);
  const rightMargin = () => (isWide() && view.video.casLabels.length ? CURVE_NAME_WIDTH : NARROW_MARGIN);
  const plotWidth = () => Math.max(10, view.width - left() - rightMargin());
  /** @param {number} seconds */
  const xOf = (seconds) => left() + ((seconds - view.from) / (view.to - view.from)) * plotWidth();
  /** @param {number} x */
  const secondsAt = (x) => view.from + ((x - left()) / plotWidth()) * (view.to - view.from);

  // ---- drawing

  function draw() {
    if (!view.video.end || !view.width) return;
    const context = prepareCanvas(canvas, view.width, view.height);
    const [start, end] = [left(), left() + plotWidth()];
    context.font = FONT;
    context.textBaseline = "middle";
    drawRuler(context);
    for (const block of view.blocks) {
      drawNames(context, block);
      context.save();
      context.beginPath();
      context.rect(start - 1, 0, end - start + 2, view.height);
      context.clip();
      if (block.faint) drawFaint(context, block);
      else if (block.segments) drawSegments(context, block);
      else if (block.curve === "attention") drawAttention(context, block);
      else drawCas(context, block);
      context.restore();
      if (block.curve === "cas" && isWide()) drawCurveNames(context, block, end + 6);
    }
    const focused = view.hovered || view.selected;
    if (focused && isVisible(focused)) drawHairlines(context, focused);
    if (view.playhead >= view.from && view.playhead <= view.to) drawPlayhead(context);
    drawOverview();
    setText(clock, `${formatTime(view.playhead)} of ${formatTime(view.video.end)}`);
  }

  /** @param {CanvasRenderingContext2D} context */
  function drawRuler(context) {
    const pixelsPerSecond = plotWidth() / (view.to - view.from);
    const step = TICK_STEPS.find((seconds) => seconds * pixelsPerSecond >= MIN_TICK_DISTANCE) || MAX_TICK_STEP;
    context.fillStyle = view.colors.muted;
    context.strokeStyle = view.colors.rule;
    context.lineWidth = 1;
    context.textAlign = "center";
    for (let i = Math.ceil(view.from / step - 1e-9); i * step <= view.to + 1e-9; i++) {
      const x = Math.round(xOf(i * step)) + 0.5;
      strokeLine(context, [
        [x, rulerHeight() - 6],
        [x, view.height - LANE_GAP],
      ]);
      const half = TICK_LABEL_WIDTH / 2;
      context.fillText(formatTime(i * step, step), Math.min(Math.max(x, half), view.width - half), 8);
    }
  }

  /**
   * The name of a lane, and the classes of its rows. The name is above the lane if something else is beside it.
   * @param {CanvasRenderingContext2D} context
   * @param {Block} block
   */
  function drawNames(context, block) {
    const isAbove = !isWide() || Boolean(block.rowNames?.length);
    context.fillStyle = view.colors.muted;
    context.textAlign = "left";
    context.font = isAbove ? SMALL_FONT : FONT;
    if (!isAbove) context.fillText(block.name, 0, block.y + (block.curve ? 8 : ROW_HEIGHT / 2 - 1));
    else if (isWide()) context.fillText(block.name, 0, block.y - 8);
    else context.fillText(block.name, left() + 4, block.y - 6);
    context.font = FONT;
    if (!block.rowNames || !isWide()) return;
    const rowHeight = block.rowHeight || ROW_HEIGHT;
    block.rowNames.forEach(([label, name], row) => {
      context.fillStyle = label < 0 ? view.colors.muted : lineColor(label);
      context.fillText(ellipsize(context, name, left() - 10), 0, block.y + row * rowHeight + (rowHeight - 2) / 2);
    });
  }

  /**
   * The positions of the visible segments in pixels. Of the segments that fall on one pixel, only one is drawn: the
   * first, or in a faint lane, where the segments are sorted by score, the last.
   * @param {Block} block
   */
  function segmentRectangles(block) {
    const [start, end] = [left(), left() + plotWidth()];
    /** @type {({ segment: Segment, x: number, width: number, row: number } | null)[]} */
    const rectangles = [];
    const indexByPixel = new Map();
    for (const segment of block.segments || []) {
      if (segment.end < view.from || segment.start > view.to) continue;
      const x = Math.max(xOf(segment.start), start - 4);
      const row = block.rows?.get(segment) || 0;
      const rectangle = { segment, x, width: Math.max(2, Math.min(xOf(segment.end), end + 4) - x), row };
      if (rectangle.width <= 2 && !isPoint(segment) && segment !== view.hovered && segment !== view.selected) {
        const pixel = row * 65536 + Math.round(x);
        const previous = indexByPixel.get(pixel);
        if (previous !== undefined && !block.faint) continue;
        if (previous !== undefined) rectangles[previous] = null;
        indexByPixel.set(pixel, rectangles.length);
      }
      rectangles.push(rectangle);
    }
    return rectangles.filter((rectangle) => rectangle !== null);
  }

  const faintCanvas = document.createElement("canvas");
  /** What `faintCanvas` shows. @type {unknown[]} */
  let faintKey = [];
  /**
   * Draw a faint lane from a copy that is made again only if something has changed: there can be thousands of segments.
   * @param {CanvasRenderingContext2D} context
   * @param {Block} block
   */
  function drawFaint(context, block) {
    const { from, to, width, isDark, isPrinting, hovered, selected } = view;
    const focused = [hovered, selected].map((segment) => (segment && block.rows?.has(segment) ? segment : null));
    const colors = [isDark, isPrinting, view.video.coloredLabels.join(), config.classes.length, config.customColors];
    const key = [block, from, to, width, devicePixelRatio, ...focused, ...colors];
    if (key.length !== faintKey.length || key.some((value, index) => value !== faintKey[index])) {
      const own = prepareCanvas(faintCanvas, width, block.height);
      own.font = FONT;
      own.textBaseline = "middle";
      own.translate(0, -block.y);
      drawSegments(own, block);
      faintKey = key;
    }
    context.drawImage(faintCanvas, 0, block.y, width, block.height);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Block} block
   */
  function drawSegments(context, block) {
    const rowHeight = block.rowHeight || ROW_HEIGHT;
    const height = rowHeight - 3;
    const [minScore, maxScore] = config.score_range;
    const rectangles = segmentRectangles(block);
    for (const { segment, x, width, row } of rectangles) {
      const y = block.y + row * rowHeight;
      const color = fillColor(segment.label);
      const isFocused = segment === view.hovered || segment === view.selected;
      if (isPoint(segment)) {
        drawPoint(context, segment, y + height / 2, isFocused);
        continue;
      }
      if (block.outlined) {
        context.fillStyle = color;
        context.globalAlpha = 0.3;
        context.fillRect(x, y, width, height);
        context.globalAlpha = 1;
        context.strokeStyle = lineColor(segment.label);
        context.lineWidth = isFocused ? 2.5 : 1.5;
        context.strokeRect(x + 0.75, y + 0.75, Math.max(1, width - 1.5), height - 1.5);
      } else {
        if (block.faint) {
          // The highest-scoring segment is on top; what it covers must not add to its opacity.
          context.fillStyle = view.colors.paper;
          context.fillRect(x, y, width, height);
          const share = maxScore > minScore ? ((segment.score || 0) - minScore) / (maxScore - minScore) : 1;
          context.globalAlpha = 0.12 + 0.88 * Math.min(Math.max(0, share), 1);
        }
        context.fillStyle = color;
        context.fillRect(x, y, width, height);
        context.globalAlpha = 1;
        if (isFocused) {
          context.strokeStyle = view.colors.text;
          context.lineWidth = 1.5;
          context.strokeRect(x, y, width, height);
        }
      }
    }
    if (!block.faint) drawLabels(context, block, rectangles);
  }

  /**
   * The class of each segment: its name, or its number inside or beside a segment that is too narrow.
   * @param {CanvasRenderingContext2D} context
   * @param {Block} block
   * @param {ReturnType<typeof segmentRectangles>} rectangles
   */
  function drawLabels(context, block, rectangles) {
    const rowHeight = block.rowHeight || ROW_HEIGHT;
    /** Row to the left end of the segment to the right. @type {Map<number, number>} */
    const limits = new Map();
    for (const { segment, x, width, row } of rectangles.sort((a, b) => b.x - a.x)) {
      const limit = limits.get(row) ?? left() + plotWidth();
      limits.set(row, isPoint(segment) ? x - POINT_RADIUS : x);
      if (isPoint(segment)) continue;
      const y = block.y + row * rowHeight + (rowHeight - 3) / 2 + 0.5;
      const inside = block.outlined ? view.colors.text : textColorOn(fillColor(segment.label));
      const textX = Math.max(x, left());
      const available = x + width - textX;
      context.textAlign = "left";
      context.fillStyle = inside;
      const name =
        available > MIN_LABELED_WIDTH ? ellipsize(context, config.classes[segment.label], available - 10) : "";
      if (name) {
        context.fillText(name, textX + 5, y);
        continue;
      }
      const number = String(segment.label + 1);
      const needed = DIGIT_WIDTH * number.length + NUMBER_MARGIN;
      if (Math.max(available, limit - x - width) < needed) continue;
      context.font = SMALL_FONT;
      if (available >= needed) {
        context.textAlign = "center";
        context.fillText(number, textX + available / 2, y);
      } else {
        context.fillStyle = view.colors.text;
        context.fillText(number, x + width + 2, y);
      }
      context.font = FONT;
    }
  }

  /**
   * A diamond with the number of the class.
   * @param {CanvasRenderingContext2D} context
   * @param {Segment} segment
   * @param {number} y of the center
   * @param {boolean} isFocused
   */
  function drawPoint(context, segment, y, isFocused) {
    const x = xOf(segment.start);
    const color = fillColor(segment.label);
    context.beginPath();
    context.moveTo(x - POINT_RADIUS, y);
    context.lineTo(x, y - POINT_RADIUS - 1);
    context.lineTo(x + POINT_RADIUS, y);
    context.lineTo(x, y + POINT_RADIUS + 1);
    context.closePath();
    context.fillStyle = color;
    context.fill();
    context.strokeStyle = isFocused ? view.colors.text : view.colors.paper;
    context.lineWidth = isFocused ? 2.5 : 1;
    context.stroke();
    context.fillStyle = textColorOn(color);
    context.textAlign = "center";
    context.font = SMALL_FONT;
    context.fillText(String(segment.label + 1), x, y + 0.5);
    context.font = FONT;
  }

  /**
   * The points of a curve through the centers of the visible snippets. Where several fall on one pixel, the highest.
   * @param {Uint8Array} values
   * @param {Block} block
   * @returns {[number, number][]}
   */
  function curvePoints(values, block) {
    const { edges } = view.video;
    const count = values.length;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (edges[middle + 1] < view.from) low = middle + 1;
      else high = middle;
    }
    const first = Math.max(0, low - 1);
    /** @type {[number, number][]} */
    const points = [];
    /**
     * @param {number} x
     * @param {number} value
     */
    const add = (x, value) => points.push([x, block.y + block.height * (1 - value / 255)]);
    let [pixel, highest] = [-Infinity, 0];
    if (first === 0) add(xOf(edges[0]), values[0]);
    for (let i = first; i < count; i++) {
      const x = xOf((edges[i] + edges[i + 1]) / 2);
      if (x - pixel < 1) {
        highest = Math.max(highest, values[i]);
        continue;
      }
      if (pixel > -Infinity) add(pixel, highest);
      [pixel, highest] = [x, values[i]];
      if (edges[i] > view.to) break;
    }
    add(pixel, highest);
    if (edges[count] <= view.to) add(xOf(edges[count]), values[count - 1]);
    return points;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} y
   */
  function drawBaseline(context, y) {
    context.strokeStyle = view.colors.rule;
    strokeLine(context, [
      [left(), y + 0.5],
      [left() + plotWidth(), y + 0.5],
    ]);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Block} block
   */
  function drawAttention(context, block) {
    const base = block.y + block.height;
    const points = curvePoints(view.video.attention, block);
    context.fillStyle = view.colors.attention;
    context.beginPath();
    context.moveTo(points[0][0], base);
    for (const [x, y] of points) context.lineTo(x, y);
    context.lineTo(points[points.length - 1][0], base);
    context.fill();
    drawBaseline(context, base);
  }

  /** The rows of `cas` that are drawn, with their classes. */
  const drawnCurves = () =>
    view.video.casLabels
      .map((label, row) => ({ label, values: view.video.cas[row] }))
      .filter(({ label }) => !view.hiddenLabels.has(label))
      .slice(0, MAX_CURVES);

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Block} block
   */
  function drawCas(context, block) {
    drawBaseline(context, block.y + block.height);
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    const focused = view.hovered || view.selected;
    for (const { label, values } of drawnCurves().reverse()) {
      context.strokeStyle = lineColor(label);
      context.globalAlpha = focused && focused.label !== label ? 0.35 : 1;
      strokeLine(context, curvePoints(values, block));
    }
    context.globalAlpha = 1;
  }

  /**
   * Names of the curves at their right ends, moved apart so that they do not overlap.
   * @param {CanvasRenderingContext2D} context
   * @param {Block} block
   * @param {number} x
   */
  function drawCurveNames(context, block, x) {
    let last = view.video.edges.length - 2;
    while (last > 0 && view.video.edges[last] >= view.to) last--;
    const base = block.y + block.height;
    const names = drawnCurves()
      .map(({ label, values }) => ({ label, y: base - (values[last] / 255) * block.height }))
      .sort((a, b) => b.y - a.y);
    let below = base + CURVE_NAME_HEIGHT;
    context.textAlign = "left";
    for (const { label, y } of names) {
      below = Math.min(y, below - CURVE_NAME_HEIGHT);
      context.fillStyle = lineColor(label);
      context.fillText(ellipsize(context, config.classes[label], rightMargin() - 8), x, below);
    }
  }

  /**
   * Dashed lines from the edges of a segment to the curves.
   * @param {CanvasRenderingContext2D} context
   * @param {Segment} segment
   */
  function drawHairlines(context, segment) {
    const last = view.blocks[view.blocks.length - 1];
    context.strokeStyle = view.colors.muted;
    context.lineWidth = 1;
    context.setLineDash([3, 3]);
    for (const seconds of [segment.start, segment.end]) {
      const x = Math.round(xOf(seconds)) + 0.5;
      if (x < left() || x > left() + plotWidth()) continue;
      strokeLine(context, [
        [x, rulerHeight()],
        [x, last.y + last.height],
      ]);
    }
    context.setLineDash([]);
  }

  /** @param {CanvasRenderingContext2D} context */
  function drawPlayhead(context) {
    const x = Math.round(xOf(view.playhead)) + 0.5;
    const top = rulerHeight();
    context.strokeStyle = context.fillStyle = view.colors.text;
    context.lineWidth = 1;
    strokeLine(context, [
      [x, top - 8],
      [x, view.height - LANE_GAP],
    ]);
    context.beginPath();
    context.moveTo(x - 4, top - 9);
    context.lineTo(x + 4, top - 9);
    context.lineTo(x, top - 4);
    context.fill();
  }

  function drawOverview() {
    const context = prepareCanvas(overview, view.width, OVERVIEW_HEIGHT);
    /** @param {number} seconds */
    const x = (seconds) => left() + (seconds / view.video.end) * plotWidth();
    context.fillStyle = view.colors.rule;
    context.fillRect(left(), OVERVIEW_HEIGHT - 2, plotWidth(), 1);
    [...view.video.lanes].reverse().forEach(({ segments }, row) => {
      let lastPixel = -1;
      for (const segment of segments) {
        if (!isVisible(segment)) continue;
        const start = x(segment.start);
        const width = Math.max(1, x(segment.end) - start);
        if (width === 1 && Math.round(start) === lastPixel) continue;
        lastPixel = Math.round(start);
        context.fillStyle = fillColor(segment.label);
        context.fillRect(start, 13 - 9 * row, width, 7);
      }
    });
    if (view.to - view.from < view.video.end * 0.999) {
      context.strokeStyle = view.colors.text;
      context.lineWidth = 1.5;
      context.strokeRect(x(view.from), 1, Math.max(4, x(view.to) - x(view.from)), OVERVIEW_HEIGHT - 2);
    }
    context.fillStyle = view.colors.text;
    context.fillRect(x(view.playhead), 0, 1, OVERVIEW_HEIGHT);
  }

  return { draw, updateColors, fillColor, lightColor, isVisible, rulerHeight, left, plotWidth, xOf, secondsAt };
}
