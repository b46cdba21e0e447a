/**
 * The colors of a timeline: those of the theme, and one for each class.
 * @import { ThemeColors, TimelineConfig, View } from "./types"
 */
import { darkScheme } from "./dom.js";

const PRINT_COLORS = { paper: "#FFFFFF", text: "#111827", muted: "#5B6472", rule: "#E2E5EA", attention: "#9AA3B2" };
const OTHER_FILL = "#9CA3AF";
const OTHER_LINE = { light: "#6B7280", dark: "#9CA3AF" };

/**
 * The index of a color for each class: that of the class, or the next free one.
 * @param {number[]} labels
 * @param {number} count of colors
 */
function assignColors(labels, count) {
  /** @type {Map<number, number>} */
  const indices = new Map();
  const used = new Set();
  for (const label of labels.slice(0, count)) {
    let index = label % count;
    while (used.has(index)) index = (index + 1) % count;
    used.add(index);
    indices.set(label, index);
  }
  return indices;
}

/**
 * @param {TimelineConfig} config
 * @param {View} view Receives the colors of the theme.
 */
export function createTimelineColors(config, view) {
  /** Read the colors of the current theme. */
  function updateColors(isPrinting = view.isPrinting) {
    view.isPrinting = isPrinting;
    view.isDark = darkScheme.matches && !isPrinting; // a query for each segment would take longer than drawing it
    const style = getComputedStyle(document.documentElement);
    for (const name of /** @type {(keyof View["colors"])[]} */ (Object.keys(PRINT_COLORS))) {
      view.colors[name] = isPrinting ? PRINT_COLORS[name] : style.getPropertyValue(`--${name}`).trim();
    }
  }

  /** @type {{ labels: number[], indices: Map<number, number> }} */
  let assigned = { labels: [], indices: new Map() };
  /**
   * The index of the color of a class, undefined if it has none.
   * @param {number} label
   */
  function colorIndex(label) {
    const labels = view.video.coloredLabels;
    if (config.classes.length <= config.colors.fill.length || !view.video.end) return label % config.colors.fill.length;
    if (assigned.labels !== labels) assigned = { labels, indices: assignColors(labels, config.colors.fill.length) };
    return assigned.indices.get(label);
  }
  /**
   * The color of a class: that which a person set, else that of the palette, else a gray.
   * @param {number} label
   * @param {keyof ThemeColors} use
   * @param {string} gray
   */
  function colorOf(label, use, gray) {
    const custom = config.customColors?.get(config.classes[label]);
    if (custom) return custom[use];
    const index = colorIndex(label);
    return index === undefined ? gray : config.colors[use][index];
  }
  /** The color in the light theme. @param {number} label */
  const lightColor = (label) => colorOf(label, "fill", OTHER_FILL);
  /** @param {number} label */
  const fillColor = (label) => colorOf(label, view.isDark ? "dark_fill" : "fill", OTHER_FILL);
  /** @param {number} label */
  function lineColor(label) {
    const theme = view.isDark ? "dark" : "light";
    return colorOf(label, theme, OTHER_LINE[theme]);
  }

  return { updateColors, fillColor, lightColor, lineColor };
}
