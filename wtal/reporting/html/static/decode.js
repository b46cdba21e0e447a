/**
 * Decode the timeline of a video; `encoding.py` describes the format.
 * @import { DecodedTimeline, Segment } from "./types"
 */

/**
 * @param {string} base64
 * @returns {DecodedTimeline}
 */
export function decodeTimeline(base64) {
  const text = atob(base64);
  const buffer = new ArrayBuffer(text.length);
  const bytes = new Uint8Array(buffer);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  let offset = 0;
  /**
   * @template {Uint8Array | Uint16Array | Uint32Array | Float32Array} T
   * @param {{ new (buffer: ArrayBuffer, offset: number, length: number): T; BYTES_PER_ELEMENT: number }} Type
   * @param {number} count
   * @returns {T}
   */
  const read = (Type, count) => {
    const column = new Type(buffer, offset, count);
    offset += count * Type.BYTES_PER_ELEMENT;
    return column;
  };

  const [truthCount, predictionCount, proposalCount, snippetCount, casCount] = read(Uint32Array, 5);
  read(Float32Array, 2); // range of the CAS
  const edges = read(Float32Array, snippetCount ? snippetCount + 1 : 0);
  const counts = [truthCount, predictionCount, proposalCount];
  const columns = counts.map((count) => [0, 1, 2].map(() => read(Float32Array, count))); // start, end, score
  const casLabels = Array.from(read(Uint16Array, casCount));
  const labels = counts.map((count) => read(Uint16Array, count));
  const attention = read(Uint8Array, snippetCount);
  const cas = casLabels.map(() => read(Uint8Array, snippetCount));

  /** @type {Segment["kind"][]} */
  const kinds = ["ground truth", "prediction", "proposal"];
  const lanes = kinds.map((kind, lane) => {
    const [starts, ends, scores] = columns[lane];
    return Array.from(labels[lane], (label, i) => {
      const score = kind === "ground truth" ? null : scores[i];
      return { kind, label, start: starts[i], end: ends[i], score };
    });
  });
  const scores = columns[2][2];
  return {
    edges,
    groundTruth: lanes[0],
    predictions: lanes[1],
    proposals: lanes[2],
    attention,
    casLabels,
    cas,
    minScore: scores.reduce((a, b) => Math.min(a, b), Infinity),
    maxScore: scores.reduce((a, b) => Math.max(a, b), -Infinity),
    labels: [...new Set([...casLabels, ...labels.flatMap((column) => [...column])])],
  };
}

/**
 * The same timeline with other indices of classes.
 * @param {DecodedTimeline} timeline
 * @param {number[]} labels By index of the class so far.
 * @returns {DecodedTimeline}
 */
export function withLabels(timeline, labels) {
  /** @param {Segment[]} segments */
  const convert = (segments) => segments.map((segment) => ({ ...segment, label: labels[segment.label] }));
  return {
    ...timeline,
    groundTruth: convert(timeline.groundTruth),
    predictions: convert(timeline.predictions),
    proposals: convert(timeline.proposals),
    casLabels: timeline.casLabels.map((label) => labels[label]),
    labels: timeline.labels.map((label) => labels[label]),
  };
}

/**
 * The timeline of a video without a prediction.
 * @returns {DecodedTimeline}
 */
export function emptyTimeline() {
  return {
    edges: new Float32Array(0),
    groundTruth: [],
    predictions: [],
    proposals: [],
    attention: new Uint8Array(0),
    casLabels: [],
    cas: [],
    minScore: 0,
    maxScore: 1,
    labels: [],
  };
}
