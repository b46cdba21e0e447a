"use strict";
// What can be done to a list of segments: each takes a list and gives {list, segment}, changing neither the list nor
// what is in it. A segment that a hand has touched has no score any more.

const edits = (() => {
  const SHORTEST = 0.05; // seconds

  const touched = (segment, change) => ({ ...segment, kind: "corrected", score: null, ...change });
  const replaced = (list, segment, ...others) => ({ list: list.flatMap((one) => (one === segment ? others : [one])), segment: others[0] || null });

  function stretch(list, segment, edge, seconds, end) {
    const at = edge === "start" ? Math.min(seconds, segment.end - SHORTEST) : Math.max(seconds, segment.start + SHORTEST);
    return replaced(list, segment, touched(segment, { [edge]: Math.min(Math.max(0, at), end) }));
  }

  // A segment from a moment on, `length` long or until the next of its class; null where one is there already.
  function add(list, label, start, length, end) {
    const own = list.filter((one) => one.label === label && one.end > start + 1e-6);
    if (own.some((one) => one.start <= start + 1e-6) || start > end - SHORTEST) return null;
    const until = own.reduce((least, one) => Math.min(least, one.start), Math.min(start + length, end));
    const segment = { kind: "corrected", label, start, end: Math.max(until, start + SHORTEST), score: null };
    return { list: [...list, segment], segment };
  }

  function split(list, segment, seconds) {
    if (seconds < segment.start + SHORTEST || seconds > segment.end - SHORTEST) return null;
    return replaced(list, segment, touched(segment, { end: seconds }), touched(segment, { start: seconds }));
  }

  const remove = (list, segment) => replaced(list, segment);
  const relabel = (list, segment, label) => replaced(list, segment, touched(segment, { label }));

  // "83.25", "1:23.25" or "0:01:23.25" -> 83.25; null where it is no time.
  function seconds(text) {
    const said = text.trim().replace(",", ".").match(/^(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)(?: *s)?$/);
    return said && (Number(said[1] || 0) * 60 + Number(said[2] || 0)) * 60 + Number(said[3]);
  }

  // 83.25 -> "1:23.25": to the millisecond, as it is saved.
  function exact(value) {
    const ms = Math.round(value * 1000), whole = Math.floor(ms / 1000), part = String(ms % 1000).padStart(3, "0").replace(/0{1,2}$/, "");
    const m = Math.floor(whole / 60), s = String(whole % 60).padStart(2, "0");
    return (m < 60 ? `${m}:${s}` : `${Math.floor(m / 60)}:${String(m % 60).padStart(2, "0")}:${s}`) + "." + part;
  }

  // As the server keeps them: labels as text, times in whole milliseconds, none of no length.
  const sent = (list, classes) => list.map(({ label, start, end, score }) => {
    const from = Math.round(start * 1000) / 1000;
    return { label: classes[label], start: from, end: Math.max(Math.round(end * 1000) / 1000, from + 0.001), score: Number.isFinite(score) ? score : null };
  });

  // Whether the server has these very segments, in whatever order.
  function same(ones, others) {
    const key = (all) => JSON.stringify(all.map(({ label, start, end, score }) => [label, start, end, score ?? null]).sort());
    return ones.length === others.length && key(ones) === key(others);
  }

  return { stretch, add, split, remove, relabel, seconds, exact, sent, same };
})();
