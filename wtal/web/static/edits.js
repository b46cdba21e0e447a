/**
 * Edits of a list of segments. Each returns a new list and the edited segment; lists and segments are never changed.
 * An edited segment has no score.
 * @import { Edge, Segment } from "./types"
 * @import { ApiSegment, CorrectedTimeline } from "./api-types"
 */

const MIN_LENGTH = 0.05; // seconds
const FORBIDDEN_IN_LABEL = /[[\];|\r\n]/;
const TIME_RANGE = /^[\d.,:\s]+(-|to)[\d.,:\s]+$/;

/** @typedef {{ list: Segment[], segment: Segment | null }} Edit */

/** @param {Segment} segment */
export const isPoint = ({ start, end }) => start === end;

/**
 * @param {Segment} segment
 * @param {Partial<Segment>} changes
 * @returns {Segment}
 */
const edited = (segment, changes) => ({ ...segment, kind: "edited", score: null, ...changes });

/**
 * @param {Segment[]} list
 * @param {Segment} segment
 * @param {Segment[]} replacements
 */
const replace = (list, segment, ...replacements) =>
  list.flatMap((other) => (other === segment ? replacements : [other]));

/**
 * Move an edge, at most to the ends of the video and almost to the other edge.
 * @param {Segment[]} list
 * @param {Segment} segment
 * @param {Edge} edge
 * @param {number} seconds
 * @param {number} videoEnd
 */
export function moveEdge(list, segment, edge, seconds, videoEnd) {
  const limited =
    edge === "start" ? Math.min(seconds, segment.end - MIN_LENGTH) : Math.max(seconds, segment.start + MIN_LENGTH);
  const changed = edited(segment, { [edge]: Math.min(Math.max(0, limited), videoEnd) });
  return { list: replace(list, segment, changed), segment: changed };
}

/**
 * Move a segment or a point, at most to the ends of the video.
 * @param {Segment[]} list
 * @param {Segment} segment
 * @param {number} start
 * @param {number} videoEnd
 */
export function moveSegment(list, segment, start, videoEnd) {
  const length = segment.end - segment.start;
  const limited = Math.max(0, Math.min(start, videoEnd - length));
  const changed = edited(segment, { start: limited, end: isPoint(segment) ? limited : limited + length });
  return { list: replace(list, segment, changed), segment: changed };
}

/**
 * Add a point; null if its class has one there.
 * @param {Segment[]} list
 * @param {number} label
 * @param {number} seconds
 */
function addPoint(list, label, seconds) {
  if (list.some((other) => isPoint(other) && other.label === label && Math.abs(other.start - seconds) < 0.001))
    return null;
  /** @type {Segment} */
  const segment = { kind: "edited", label, start: seconds, end: seconds, score: null };
  return { list: [...list, segment], segment };
}

/**
 * Add a segment from one time to another; a point if they are the same or in the wrong order. The segment replaces
 * those of its class whose middle lies in it.
 * @param {Segment[]} list
 * @param {number} label
 * @param {number} start
 * @param {number} end
 */
export function markSegment(list, label, start, end) {
  if (end < start + MIN_LENGTH) return addPoint(list, label, start);
  /** @param {Segment} other */
  const isReplaced = (other) => {
    const middle = (other.start + other.end) / 2;
    return other.label === label && middle >= start && middle <= end;
  };
  /** @type {Segment} */
  const segment = { kind: "edited", label, start, end, score: null };
  return { list: [...list.filter((other) => !isReplaced(other)), segment], segment };
}

/**
 * Add a segment of a length, or until the next one of its class; null if there is one at its start.
 * @param {Segment[]} list
 * @param {number} label
 * @param {number} start
 * @param {number} length
 * @param {number} videoEnd
 */
export function addSegment(list, label, start, length, videoEnd) {
  const later = list.filter((segment) => segment.label === label && segment.end > start + 1e-6);
  if (later.some((segment) => segment.start <= start + 1e-6) || start > videoEnd - MIN_LENGTH) return null;
  const end = later.reduce((first, segment) => Math.min(first, segment.start), Math.min(start + length, videoEnd));
  /** @type {Segment} */
  const segment = { kind: "edited", label, start, end: Math.max(end, start + MIN_LENGTH), score: null };
  return { list: [...list, segment], segment };
}

/**
 * Split a segment; null outside of it.
 * @param {Segment[]} list
 * @param {Segment} segment
 * @param {number} seconds
 */
export function splitSegment(list, segment, seconds) {
  if (seconds < segment.start + MIN_LENGTH || seconds > segment.end - MIN_LENGTH) return null;
  const first = edited(segment, { end: seconds });
  return { list: replace(list, segment, first, edited(segment, { start: seconds })), segment: first };
}

/**
 * @param {Segment[]} list
 * @param {Segment} segment
 */
export function deleteSegment(list, segment) {
  return { list: replace(list, segment), segment: null };
}

/**
 * @param {Segment[]} list
 * @param {Segment} segment
 * @param {number} label
 */
export function relabelSegment(list, segment, label) {
  const changed = edited(segment, { label });
  return { list: replace(list, segment, changed), segment: changed };
}

/**
 * Why a class cannot have a name; "" if it can.
 * @param {string} name
 */
export function checkClassName(name) {
  if (FORBIDDEN_IN_LABEL.test(name)) return "A class name cannot contain brackets, semicolons or bars.";
  if (TIME_RANGE.test(name)) return "A class name cannot be a time range.";
  return "";
}

/**
 * The class that a typed name means: of the known names, the same one, or else one that differs only in case.
 * @param {string[]} known
 * @param {string} name
 */
export function findClass(known, name) {
  if (known.includes(name)) return name;
  return known.find((other) => other.toLowerCase() === name.toLowerCase()) ?? name;
}

/**
 * As the server stores segments: class names, times in whole milliseconds, at least one millisecond long if they are
 * not points.
 * @param {Segment[]} list
 * @param {string[]} classes
 * @returns {ApiSegment[]}
 */
export function toApiSegments(list, classes) {
  return list.map((segment) => {
    const start = Math.round(segment.start * 1000) / 1000;
    const end = isPoint(segment) ? start : Math.max(Math.round(segment.end * 1000) / 1000, start + 0.001);
    return { label: classes[segment.label], start, end, score: segment.score };
  });
}

/**
 * Whether two timelines have the same segments, in any order, and the same marks.
 * @param {CorrectedTimeline} a
 * @param {CorrectedTimeline} b
 */
export function areSameTimelines(a, b) {
  /** @param {ApiSegment[]} list */
  const serialize = (list) =>
    JSON.stringify(list.map(({ label, start, end, score }) => [label, start, end, score ?? null]).sort());
  const haveSameMarks = a.complete === b.complete && a.reviewed === b.reviewed;
  return haveSameMarks && serialize(a.segments) === serialize(b.segments);
}
