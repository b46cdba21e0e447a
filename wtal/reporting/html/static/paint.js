"use strict";
// What drawing needs and nothing that changes: unpacking, times as text, pens, rows.

const paint = (() => {
  // The layout is told in packed.py; labels stay places in the list of classes.
  function unpack(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    let at = 0;
    const take = (Type, count) => {
      const part = new Type(bytes.buffer, at, count);
      at += count * Type.BYTES_PER_ELEMENT;
      return part;
    };
    const [A, R, P, T, K] = take(Uint32Array, 5);
    const [low, high] = take(Float32Array, 2);
    const edges = take(Float32Array, T ? T + 1 : 0);
    const times = [A, R, P].map((count) => [0, 1, 2].map(() => take(Float32Array, count)));
    const [lines, ...labels] = [K, A, R, P].map((count) => take(Uint16Array, count));
    const attention = take(Uint8Array, T);
    const cas = Array.from(lines, () => take(Uint8Array, T));
    const [truth, results, proposals] = ["truth", "result", "proposal"].map((kind, lane) => Array.from(labels[lane], (label, i) => {
      const [start, end, score] = times[lane].map((column) => column[i]);
      return kind === "truth" ? { kind, label, start, end } : { kind, label, start, end, score };
    }));
    return {
      edges, truth, results, proposals, attention, lines: Array.from(lines), cas, low, high,
      weakest: times[2][2].reduce((a, b) => Math.min(a, b), Infinity), surest: times[2][2].reduce((a, b) => Math.max(a, b), -Infinity),
      classes: [...new Set([...lines, ...labels.flatMap((part) => [...part])])],
    };
  }

  // 83.25 -> "1:23.3"; whole seconds where the step is of whole seconds.
  const clock = (seconds, step = 0.1) => {
    const tenths = Math.round(Math.max(0, seconds) * 10), whole = Math.floor(tenths / 10);
    const s = String(whole % 60).padStart(2, "0") + (step < 1 ? "." + (tenths % 10) : "");
    const m = Math.floor(whole / 60);
    return m < 60 ? `${m}:${s}` : `${Math.floor(m / 60)}:${String(m % 60).padStart(2, "0")}:${s}`;
  };

  const brightness = (colour) => {
    const part = (i) => { const c = parseInt(colour.slice(i, i + 2), 16) / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
  };
  // White, or nearly black: whichever reads better on the colour.
  const on = (colour) => (1.05 / (brightness(colour) + 0.05) >= (brightness(colour) + 0.05) / 0.058 ? "#FFFFFF" : "#111827");

  // A clean pen on a canvas that has as many dots as the screen.
  function sized(target, across, tall) {
    const scale = devicePixelRatio || 1, w = Math.round(across * scale), h = Math.round(tall * scale);
    if (target.width !== w || target.height !== h) {
      target.width = w; target.height = h; target.style.height = tall + "px";
    }
    const pen = target.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, across, tall);
    return pen;
  }

  function elided(pen, text, room) {
    if (pen.measureText(text).width <= room) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(text.slice(0, middle) + "…").width <= room) low = middle; else high = middle - 1;
    }
    return low < 3 ? "" : text.slice(0, low).trimEnd() + "…";
  }

  // Segment -> the row in which nothing that began before it lies over it; the last of `most` takes the rest.
  function rows(segments, most) {
    const ends = Array(most).fill(-Infinity), told = new Map();
    for (const segment of [...segments].sort((a, b) => a.start - b.start || a.end - b.end)) {
      const free = ends.findIndex((end) => end <= segment.start + 1e-6);
      const row = free < 0 ? most - 1 : free;
      ends[row] = Math.max(ends[row], segment.end);
      told.set(segment, row);
    }
    return told;
  }

  return { unpack, clock, on, sized, elided, rows };
})();
