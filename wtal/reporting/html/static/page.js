/**
 * The report: a list of videos, the timeline of one of them, and the memory. The data of a video is decoded when the
 * video is opened.
 * @import { CustomColor, Segment, TimelineConfig, VideoTimeline } from "./types"
 */
import { ellipsize, prepareCanvas } from "./canvas.js";
import { decodeTimeline } from "./decode.js";
import { connectDialog, createElement, darkScheme, getElement, setAttribute } from "./dom.js";
import { formatTime } from "./format.js";
import { createTimeline } from "./timeline.js";

const MAX_DECODED_VIDEOS = 8;

/**
 * @typedef {object} VideoEntry
 * @property {string} id
 * @property {number} end the end of the time axis in seconds
 * @property {number[]} labels
 * @property {string} [file] the address of the video file
 */

/**
 * @typedef {object} ReportConfig
 * @property {VideoEntry[]} videos
 * @property {{ names: string[], cosines: string } | null} similarity
 * @property {Record<string, CustomColor>} custom_colors
 */

/** @type {TimelineConfig & ReportConfig} */
const config = JSON.parse(getElement("index", HTMLScriptElement).text);
config.customColors = new Map(Object.entries(config.custom_colors));
const canvas = getElement("timeline", HTMLCanvasElement);
const player = getElement("player", HTMLVideoElement);
const playerError = getElement("player-error", HTMLElement);
const slider = getElement("threshold", HTMLInputElement);
const search = getElement("search", HTMLInputElement);
const shortcutsDialog = getElement("shortcuts", HTMLDialogElement);

// ---- data

/** @type {Map<number, VideoTimeline>} */
const decodedVideos = new Map();
let openIndex = -1;

/** @param {number} index */
function decodeVideo(index) {
  const decoded = decodedVideos.get(index);
  if (decoded) return decoded;
  const timeline = decodeTimeline(getElement(`v${index}`, HTMLScriptElement).text);
  const lanes = [
    { name: "ground truth", segments: timeline.groundTruth, outlined: true },
    { name: "predictions", segments: timeline.predictions },
  ];
  const { id: name, end } = config.videos[index];
  const video = {
    ...timeline,
    name,
    end,
    lanes: timeline.groundTruth.length ? lanes : lanes.slice(1),
    coloredLabels: timeline.casLabels,
  };
  decodedVideos.set(index, video);
  if (decodedVideos.size > MAX_DECODED_VIDEOS) decodedVideos.delete([...decodedVideos.keys()][0]);
  return video;
}

/**
 * @param {Segment} a
 * @param {Segment} b
 */
function temporalIou(a, b) {
  const intersection = Math.min(a.end, b.end) - Math.max(a.start, b.start);
  return intersection <= 0 ? 0 : intersection / (a.end - a.start + b.end - b.start - intersection);
}

/**
 * The ground truth with the highest tIoU for a prediction, and vice versa: of the same class if any overlaps.
 * @param {Segment} segment
 */
function findMatch(segment) {
  const { groundTruth, predictions } = timeline.video;
  /** @type {{ other: Segment, tiou: number } | null} */
  let match = null;
  for (const other of segment.kind === "ground truth" ? predictions : groundTruth) {
    const tiou = temporalIou(segment, other);
    if (!tiou) continue;
    const isSameClass = other.label === segment.label;
    const isMatchSameClass = match?.other.label === segment.label;
    if (isSameClass !== isMatchSameClass ? isSameClass || !match : tiou > (match?.tiou || 0)) match = { other, tiou };
  }
  return match;
}

/** @param {Segment} segment */
function describeMatch(segment) {
  const match = findMatch(segment);
  if (match) {
    const { label, start, end } = match.other;
    const side = segment.kind === "ground truth" ? "prediction" : "ground truth";
    const name = label === segment.label ? "" : `${config.classes[label]}, `;
    return [`tIoU ${match.tiou.toFixed(2)} with the ${side}, ${name}${formatTime(start)} to ${formatTime(end)}`];
  }
  if (segment.kind === "ground truth") return ["no prediction overlaps"];
  return timeline.video.groundTruth.length ? ["no ground truth overlaps"] : [];
}

// ---- timeline

function togglePlayback() {
  if (player.hidden) {
    timeline.showStatus("The report has no file of this video. Give the folder of the videos with --videos.");
  } else if (player.paused) {
    player.play().catch(() => {}); // the error event is handled below
  } else {
    player.pause();
  }
}

const timeline = createTimeline({
  canvas,
  overview: getElement("overview", HTMLCanvasElement),
  tooltip: getElement("tooltip", HTMLElement),
  chips: getElement("chips", HTMLElement),
  player,
  clock: getElement("clock", HTMLElement),
  status: getElement("status", HTMLElement),
  config,
  describeMatch,
  listeners: { onRefresh: showSegments },
  shortcuts: {
    " ": togglePlayback,
    n: () => openNeighbor(1),
    p: () => openNeighbor(-1),
    "?": () => shortcutsDialog.showModal(),
  },
});

/** @param {Segment} segment */
function createRow(segment) {
  const { label, start, end, score, kind } = segment;
  const match = findMatch(segment);
  const otherClass = match && match.other.label !== label ? `${config.classes[match.other.label]} ` : "";
  const noMatch = timeline.video.groundTruth.length ? "none" : "";
  const startButton = createElement("button", { textContent: formatTime(start) });
  startButton.addEventListener("click", () => timeline.reveal(segment));
  const cells = [
    startButton,
    formatTime(end),
    `${(end - start).toFixed(1)} s`,
    score === null ? "" : score.toFixed(2),
    kind,
    match ? otherClass + match.tiou.toFixed(2) : noMatch,
  ];
  const name = createElement("th", { scope: "row", textContent: config.classes[label] });
  return createElement("tr", {}, name, ...cells.map((cell) => createElement("td", {}, cell)));
}

function showSegments() {
  getElement("segments", HTMLElement).replaceChildren(...timeline.visibleSegments().map(createRow));
  const { name, end, groundTruth, predictions, proposals } = timeline.video;
  const counts = [
    `${groundTruth.filter(timeline.isVisible).length} ground truth`,
    `${predictions.filter(timeline.isVisible).length} predictions`,
    `${proposals.filter(timeline.isVisible).length} proposals`,
  ];
  canvas.setAttribute("aria-label", `Timeline of ${name}, ${formatTime(end)} long: ${counts.join(", ")}`);
}

// ---- list of videos

const list = getElement("videos", HTMLElement);
const rows = config.videos.map(({ id, end, labels }, index) => {
  const names = labels.map((label) => config.classes[label]);
  const button = createElement("button", { title: id });
  for (const [className, textContent] of [
    ["id", id],
    ["time", formatTime(end, 1)],
    ["labels", names.join(", ") || "no segments"],
  ]) {
    button.append(createElement("span", { className, textContent }));
  }
  button.addEventListener("click", () => openVideo(index));
  return { item: createElement("li", {}, button), button, text: [id, ...names].join("\n").toLowerCase() };
});
list.append(...rows.map((row) => row.item));

function filterList() {
  const text = search.value.trim().toLowerCase();
  for (const row of rows) row.item.hidden = !row.text.includes(text);
  const count = rows.filter((row) => !row.item.hidden).length;
  const message = count === rows.length ? `${count} videos` : `${count} of ${rows.length} videos`;
  getElement("count", HTMLElement).textContent = count ? message : "No video has this name or class.";
}

/** @param {number} index */
function openVideo(index, seconds = 0) {
  const row = rows[index];
  const video = decodeVideo(index);
  if (openIndex >= 0) rows[openIndex].button.removeAttribute("aria-current");
  openIndex = index;
  row.button.setAttribute("aria-current", "true");
  const top = row.item.offsetTop - list.offsetTop;
  const isInView = top >= list.scrollTop && top + row.item.offsetHeight <= list.scrollTop + list.clientHeight;
  if (!isInView) list.scrollTop = top - list.clientHeight / 3;
  getElement("name", HTMLElement).textContent = video.name;
  getElement("printed", HTMLElement).textContent =
    rows.length > 1 ? `1 of ${rows.length} videos; open the report in a browser to see the others` : "";
  const { minScore, maxScore } = video;
  slider.disabled = !(maxScore > minScore);
  slider.min = String(slider.disabled ? 0 : minScore);
  slider.max = String(slider.disabled ? 1 : maxScore);
  slider.value = slider.min;
  showThreshold(slider.disabled ? null : minScore);
  loadPlayer();
  timeline.open(video, seconds);
}

/** @param {1 | -1} direction */
function openNeighbor(direction) {
  const indexes = [...rows.keys()].filter((index) => !rows[index].item.hidden);
  const position = indexes.indexOf(openIndex) + direction;
  if (indexes.length) openVideo(indexes[Math.min(Math.max(0, position), indexes.length - 1)]);
}

// ---- player and threshold

function loadPlayer() {
  const { file } = config.videos[openIndex];
  player.pause();
  player.hidden = !file;
  setAttribute(player, "src", file || null);
  playerError.hidden = true;
}
player.addEventListener("error", () => {
  const { file } = config.videos[openIndex];
  if (player.hidden || !file) return;
  player.hidden = true;
  playerError.hidden = false;
  const reason = "It may have been moved, or the browser does not support its format.";
  playerError.textContent = `The video file ${decodeURI(file)} cannot be played. ${reason}`;
});

/** @param {number | null} score null if all scores are equal */
function showThreshold(score) {
  // Two digits of small scores, so that 0.0011 does not read 0.00.
  const text = score === null ? "" : score && Math.abs(score) < 0.1 ? score.toPrecision(2) : score.toFixed(2);
  getElement("threshold-value", HTMLElement).textContent = text;
  slider.setAttribute("aria-valuetext", text || "all scores are equal");
}
slider.addEventListener("input", () => {
  const score = slider.valueAsNumber;
  showThreshold(score);
  timeline.setThreshold(score <= timeline.video.minScore ? -Infinity : score);
});

// ---- memory

const similarity = config.similarity && {
  canvas: getElement("similarity", HTMLCanvasElement),
  tooltip: getElement("similarity-tooltip", HTMLElement),
  names: config.similarity.names,
  // Row by row; a byte of 0 is a cosine of -1, 254 is 1.
  cosines: Array.from(atob(config.similarity.cosines), (character) => character.charCodeAt(0) / 127 - 1),
};
/** The text for a position on the matrix. @type {(x: number, y: number) => string} */
let describeSimilarity = () => "";

function drawSimilarity() {
  if (!similarity || !similarity.canvas.clientWidth) return;
  const { canvas: target, names, cosines } = similarity;
  const count = names.length;
  const width = target.clientWidth;
  const left = width < 500 ? 90 : 170;
  const cell = Math.max(1, Math.min(44, (width - left - 70) / count));
  const top = cell >= 12 ? 110 : 4;
  const offDiagonal = cosines.filter((_, i) => i % (count + 1));
  const highest = offDiagonal.reduce((a, b) => Math.max(a, Math.abs(b)), 0.3);
  const context = prepareCanvas(target, width, top + cell * count);
  const textColor = timeline.colors.text;
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (let i = 0; i < count; i++) {
    if (cell >= 12) {
      context.fillStyle = textColor;
      context.textAlign = "right";
      context.fillText(ellipsize(context, names[i], left - 10), left - 8, top + (i + 0.5) * cell);
      context.save();
      context.translate(left + (i + 0.5) * cell, top - 6);
      context.rotate(-Math.PI / 3);
      context.textAlign = "left";
      context.fillText(ellipsize(context, names[i], 110), 0, 0);
      context.restore();
    }
    for (let j = 0; j < count; j++) {
      if (i === j) continue;
      const cosine = cosines[i * count + j];
      const size = Math.max(1, cell - 1);
      context.fillStyle = cosine < 0 ? "#E69F00" : "#0072B2";
      context.globalAlpha = (0.9 * Math.abs(cosine)) / highest;
      context.fillRect(left + j * cell, top + i * cell, size, size);
      context.globalAlpha = 1;
      if (cell < 30) continue;
      context.fillStyle = !timeline.isDark && cosine > 0.6 * highest ? "#FFFFFF" : textColor;
      context.textAlign = "center";
      const text = cosine.toFixed(1).replace("-0.0", "0.0");
      context.fillText(text, left + (j + 0.5) * cell, top + (i + 0.5) * cell);
    }
  }
  describeSimilarity = (x, y) => {
    const [j, i] = [Math.floor((x - left) / cell), Math.floor((y - top) / cell)];
    const isInside = i >= 0 && j >= 0 && i < count && j < count && i !== j;
    return isInside ? `${names[i]} and ${names[j]}: ${cosines[i * count + j].toFixed(2)}` : "";
  };
}

if (similarity) {
  const { canvas: target, tooltip } = similarity;
  target.addEventListener("pointermove", ({ offsetX, offsetY }) => {
    const text = describeSimilarity(offsetX, offsetY);
    tooltip.hidden = !text;
    tooltip.textContent = text;
    const x = Math.min(offsetX + 12, target.clientWidth - 160);
    tooltip.style.transform = `translate(${x}px, ${offsetY + 16}px)`;
  });
  target.addEventListener("pointerleave", () => {
    tooltip.hidden = true;
  });
}

// ---- the page

canvas.addEventListener("keydown", timeline.handleKey);
getElement("zoom-in", HTMLElement).addEventListener("click", () => timeline.zoom(0.5));
getElement("zoom-out", HTMLElement).addEventListener("click", () => timeline.zoom(2));
getElement("fit", HTMLElement).addEventListener("click", () => timeline.fit());
search.addEventListener("input", filterList);
connectDialog(shortcutsDialog, getElement("show-shortcuts", HTMLElement), getElement("close-shortcuts", HTMLElement));

function resize() {
  timeline.resize();
  drawSimilarity();
}
darkScheme.addEventListener("change", resize);
new ResizeObserver(resize).observe(document.querySelector("main") || document.body);

/** @type {HTMLDetailsElement[]} */
let closedDetails = [];
addEventListener("beforeprint", () => {
  closedDetails = [...document.querySelectorAll("details")].filter((details) => !details.open);
  for (const details of closedDetails) details.open = true;
  timeline.updateColors(true);
  drawSimilarity();
  timeline.draw();
});
addEventListener("afterprint", () => {
  for (const details of closedDetails) details.open = false;
  timeline.updateColors(false);
  resize();
});

timeline.updateColors(); // before the first video is opened, whose chips have the colors of the theme
filterList();
const requested = new URLSearchParams(location.hash.slice(1)).get("video");
openVideo(
  Math.max(
    0,
    config.videos.findIndex(({ id }) => id === requested),
  ),
);
