/**
 * The table of segments, in which times can be typed. Only the visible rows exist, so that ten thousand segments are as
 * fast as ten. A row keeps its elements, and so the focus, while its segment changes or moves.
 * @import { Edge, Segment } from "./types"
 */
import { createElement, setAttribute } from "./dom.js";
import { isPoint } from "./edits.js";
import { formatExactTime, formatTime, parseTime } from "./format.js";

const ROW_HEIGHT = 30; // pixels
const EXTRA_ROWS = 8; // above and below the visible ones

/** @type {Edge[]} */
const EDGES = ["start", "end"];

/**
 * @typedef {object} Row
 * @property {HTMLTableRowElement} element
 * @property {Segment} segment
 * @property {HTMLButtonElement} button
 * @property {Record<Edge, HTMLInputElement>} inputs
 * @property {HTMLTableCellElement} length
 * @property {HTMLTableCellElement} score
 */

/**
 * @param {object} options
 * @param {HTMLElement} options.box The scrolling parent of the table.
 * @param {HTMLTableElement} options.table
 * @param {HTMLElement} options.body
 * @param {string[]} options.classes
 * @param {(segment: Segment) => void} options.onChoose
 * @param {(segment: Segment, edge: Edge, seconds: number | null) => boolean} options.onTime Returns whether the time
 *   is valid; null stands for a text that is not a time.
 */
export function createSegmentTable({ box, table, body, classes, onChoose, onTime }) {
  /** Index in the list to row. @type {Map<number, Row>} */
  const rows = new Map();
  const above = createElement("tr", { className: "spacer", ariaHidden: "true" });
  const below = createElement("tr", { className: "spacer", ariaHidden: "true" });
  body.append(above, below);
  /** @type {Segment[]} */
  let list = [];
  /** @type {Segment | null} */
  let selected = null;
  /** The field that has the focus. @type {HTMLInputElement | null} */
  let focused = null;

  /**
   * @param {Segment} segment
   * @returns {Row}
   */
  function createRow(segment) {
    const button = createElement("button");
    const start = createElement("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
    const end = createElement("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
    const length = createElement("td");
    const score = createElement("td");
    const name = createElement("th", { scope: "row" }, button);
    const cells = [createElement("td", {}, start), createElement("td", {}, end), length, score];
    const row = {
      element: createElement("tr", {}, name, ...cells),
      segment,
      button,
      inputs: { start, end },
      length,
      score,
    };
    button.addEventListener("click", () => onChoose(row.segment));
    for (const edge of EDGES) connectInput(row, edge);
    fillRow(row, segment);
    return row;
  }

  /**
   * @param {Row} row
   * @param {Edge} edge
   */
  function connectInput(row, edge) {
    const input = row.inputs[edge];
    input.addEventListener("focus", () => {
      if (focused === input) return; // the window got the focus back
      focused = input;
      showTime(row, edge);
      input.select();
    });
    input.addEventListener("blur", () => {
      if (document.activeElement === input) return; // only the window has lost the focus
      focused = null;
      showTime(row, edge);
    });
    input.addEventListener("change", () => changeTime(row, edge));
    input.addEventListener("input", () => input.removeAttribute("aria-invalid"));
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") fillRow(row, row.segment);
    });
  }

  /**
   * @param {Row} row
   * @param {Segment} segment
   */
  function fillRow(row, segment) {
    const name = classes[segment.label];
    row.segment = segment;
    row.button.textContent = row.button.title = name;
    for (const edge of EDGES) {
      row.inputs[edge].removeAttribute("aria-invalid");
      row.inputs[edge].setAttribute("aria-label", `${edge} of ${name} at ${formatTime(segment.start)}`);
      showTime(row, edge);
    }
    row.length.textContent = isPoint(segment) ? "point" : `${(segment.end - segment.start).toFixed(1)} s`;
    row.score.textContent = segment.score === null ? "edited" : segment.score.toFixed(2);
  }

  /**
   * Show a time: exact while it is edited, else rounded. An invalid text stays, so that it can be corrected.
   * @param {Row} row
   * @param {Edge} edge
   */
  function showTime(row, edge) {
    const input = row.inputs[edge];
    const exact = formatExactTime(row.segment[edge]);
    input.title = exact;
    if (!input.hasAttribute("aria-invalid")) input.value = input === focused ? exact : formatTime(row.segment[edge]);
  }

  /**
   * @param {Row} row
   * @param {Edge} edge
   */
  function changeTime(row, edge) {
    const input = row.inputs[edge];
    const { segment } = row;
    const index = list.indexOf(segment);
    const hasFocus = input === document.activeElement;
    if (input.value === formatExactTime(segment[edge])) return;
    if (!onTime(segment, edge, parseTime(input.value))) return input.setAttribute("aria-invalid", "true");
    if (!list.includes(segment)) moveRow(row, index);
    showTime(row, edge);
    if (!hasFocus) return;
    input.focus();
    input.select();
  }

  /**
   * Let a row follow its segment, which is selected, to another position in the list.
   * @param {Row} row
   * @param {number} index
   */
  function moveRow(row, index) {
    const newIndex = selected ? list.indexOf(selected) : -1;
    const other = rows.get(newIndex);
    if (newIndex === index || !other) return;
    rows.set(newIndex, row).set(index, other);
    draw();
  }

  function draw() {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW_HEIGHT) - EXTRA_ROWS);
    const end = Math.min(list.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW_HEIGHT) + EXTRA_ROWS);
    for (const [index, row] of rows) {
      if (index >= first && index < end) continue;
      row.element.remove();
      rows.delete(index);
    }
    let previous = above;
    for (let index = first; index < end; index++) {
      const segment = list[index];
      const row = rows.get(index) || createRow(segment);
      rows.set(index, row);
      if (previous.nextSibling !== row.element) previous.after(row.element);
      if (row.segment !== segment) fillRow(row, segment);
      row.element.setAttribute("aria-rowindex", String(index + 2));
      row.element.classList.toggle("selected", segment === selected);
      setAttribute(row.button, "aria-current", segment === selected ? "true" : null);
      previous = row.element;
    }
    above.style.height = `${first * ROW_HEIGHT}px`;
    above.hidden = first === 0;
    below.style.height = `${(list.length - end) * ROW_HEIGHT}px`;
    below.hidden = end === list.length;
  }

  /** @param {Segment[]} segments */
  function show(segments) {
    list = segments;
    table.setAttribute("aria-rowcount", String(list.length + 1));
    draw();
  }

  /**
   * Mark a row, and scroll to it.
   * @param {Segment | null} segment
   */
  function select(segment) {
    selected = segment;
    const index = segment ? list.indexOf(segment) : -1;
    if (index >= 0) {
      const headHeight = (table.tHead?.offsetHeight || 0) + (table.caption?.offsetHeight || 0);
      const top = headHeight + index * ROW_HEIGHT;
      const isInView = top >= box.scrollTop + headHeight && top + ROW_HEIGHT <= box.scrollTop + box.clientHeight;
      if (!isInView) box.scrollTop = Math.max(0, top - box.clientHeight / 2);
    }
    draw();
  }

  box.addEventListener("scroll", () => requestAnimationFrame(draw));
  return { show, select };
}
