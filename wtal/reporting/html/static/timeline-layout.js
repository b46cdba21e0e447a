/**
 * Where the lanes and the curves of a timeline are on its canvas.
 * @import { Block, Lane, Segment, TimelineConfig, View } from "./types"
 */

// Pixels.
export const ROW_HEIGHT = 22;
export const LANE_GAP = 14;
const PROPOSAL_ROW_HEIGHT = 14;
const ATTENTION_HEIGHT = 46;
const CAS_HEIGHT = 92;

const MAX_ROWS = 4; // of overlapping segments in a lane
const MAX_PROPOSAL_ROWS = 6; // with a class of their own

/**
 * The row of each segment, so that the segments of a row do not overlap; the last row takes what does not fit.
 * @param {Segment[]} segments
 */
function assignRows(segments) {
  const ends = Array(MAX_ROWS).fill(-Infinity);
  /** @type {Map<Segment, number>} */
  const rows = new Map();
  for (const segment of [...segments].sort((a, b) => a.start - b.start || a.end - b.end)) {
    const free = ends.findIndex((end) => end <= segment.start + 1e-6);
    const row = free < 0 ? MAX_ROWS - 1 : free;
    ends[row] = Math.max(ends[row], segment.end);
    rows.set(segment, row);
  }
  return rows;
}

/**
 * @param {object} options
 * @param {View} options.view Receives the blocks and the height.
 * @param {TimelineConfig} options.config
 * @param {(segment: Segment) => boolean} options.isVisible
 * @param {() => number} options.rulerHeight In pixels.
 */
export function createLayout({ view, config, isVisible, rulerHeight }) {
  /** Set the blocks of the view and its height. */
  function layOut() {
    const { video } = view;
    const blocks = [...video.lanes.map(layOutLane), proposalBlock()];
    if (video.attention.length) {
      blocks.push({ name: "attention", y: 0, height: ATTENTION_HEIGHT, curve: "attention" });
      if (video.casLabels.some((label) => !view.hiddenLabels.has(label))) {
        blocks.push({ name: "CAS", y: 0, height: CAS_HEIGHT, curve: "cas" });
      }
    }
    let y = rulerHeight();
    for (const block of blocks) {
      block.y = y;
      y += block.height + LANE_GAP;
    }
    view.blocks = blocks;
    view.height = y;
  }

  /**
   * @param {Lane} lane
   * @returns {Block}
   */
  function layOutLane({ name, segments: all, outlined, editable }) {
    const segments = all.filter(isVisible);
    const rows = assignRows(segments);
    let last = 0;
    for (const row of rows.values()) last = Math.max(last, row);
    const height = ROW_HEIGHT * (1 + last);
    return { name, y: 0, height, segments, rows, rowHeight: ROW_HEIGHT, outlined, editable };
  }

  /** What the block of proposals was laid out for, and the block. @type {{ key: unknown[], block: Block | null }} */
  let laidOut = { key: [], block: null };
  /** The block of proposals, laid out again only if they or the filters have changed: there can be many of them. */
  function proposalBlock() {
    const { proposals, casLabels } = view.video;
    const key = [proposals, casLabels, [...view.hiddenLabels].join(), view.threshold];
    const isSame = laidOut.block && key.every((value, index) => value === laidOut.key[index]);
    const block = isSame && laidOut.block ? laidOut.block : layOutProposals();
    laidOut = { key, block };
    return block;
  }

  /**
   * One row for each class, in the order of the curves; the last row takes all other classes.
   * @returns {Block}
   */
  function layOutProposals() {
    const segments = view.video.proposals.filter(isVisible).sort((a, b) => (a.score || 0) - (b.score || 0));
    const present = new Set(segments.map((segment) => segment.label));
    const labels = [...new Set([...view.video.casLabels, ...present])].filter((label) => present.has(label));
    const rows = new Map(segments.map((s) => [s, Math.min(labels.indexOf(s.label), MAX_PROPOSAL_ROWS)]));
    /** @type {[number, string][]} */
    const rowNames = labels.slice(0, MAX_PROPOSAL_ROWS).map((label) => [label, config.classes[label]]);
    const others = labels.slice(MAX_PROPOSAL_ROWS);
    if (others.length) rowNames.push([-1, others.length > 1 ? `${others.length} others` : config.classes[others[0]]]);
    const rowHeight = rowNames.length > 1 ? PROPOSAL_ROW_HEIGHT : ROW_HEIGHT;
    const height = Math.max(ROW_HEIGHT, rowNames.length * PROPOSAL_ROW_HEIGHT);
    return { name: "proposals", y: 0, height, segments, rows, rowHeight, rowNames, faint: true };
  }

  return layOut;
}
