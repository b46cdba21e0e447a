"use strict";
// The picture of a timeline: what lanes.js laid out, as it is seen now. Everything that changes lies in `view`.

const picture = ({ canvas, overview, clock, book, view }) => {
  const { ROW, GAP } = picture, MOST_LINES = 6, FONT = "12px system-ui, sans-serif", SMALL = "10px system-ui, sans-serif";
  const night = matchMedia("(prefers-color-scheme: dark)");

  // ---- colours

  const dark = () => view.dark;
  function dress(print = view.printing) {
    view.printing = print;
    view.dark = night.matches && !print; // asking the browser for each segment would take longer than to draw it
    const style = getComputedStyle(document.documentElement);
    const paper = { paper: "#FFFFFF", text: "#111827", muted: "#5B6472", rule: "#E2E5EA", attention: "#9AA3B2" };
    for (const name in paper) view.look[name] = view.printing ? paper[name] : style.getPropertyValue("--" + name).trim();
  }
  const coloured = (label) => book.classes.length <= 10 || !view.video || view.video.coloured.includes(label);
  const fill = (label) => (coloured(label) ? (dark() ? book.dark : book.fills)[label % book.fills.length] : "#9CA3AF");
  const line = (label) => {
    const set = dark() ? book.dark : book.light;
    return coloured(label) ? set[label % set.length] : dark() ? "#9CA3AF" : "#6B7280";
  };

  const shown = (segment) => !view.off.has(segment.label) && !(segment.score < view.least);

  // ---- where seconds lie

  const ruler = () => (wide() ? 24 : 36); // the names of the lanes stand above them on a narrow page
  const wide = () => view.width >= 620;
  const left = () => (wide() ? 108 : 4);
  const right = () => (wide() && view.video.lines.length ? 100 : 4);
  const span = () => Math.max(10, view.width - left() - right());
  const xOf = (seconds) => left() + ((seconds - view.from) / (view.to - view.from)) * span();
  const secondsAt = (x) => view.from + ((x - left()) / span()) * (view.to - view.from);

  // ---- drawing

  function draw() {
    if (!view.video || !view.width) return;
    const pen = paint.sized(canvas, view.width, view.height), { text: ink, muted } = view.look;
    const l = left(), r = l + span();
    pen.font = FONT;
    pen.textBaseline = "middle";
    drawRuler(pen);
    for (const block of view.blocks) {
      const above = !wide() || (block.names && block.names.length > 0); // beside the lane stand its classes, or nothing
      pen.fillStyle = muted; pen.textAlign = "left"; pen.font = above ? SMALL : FONT;
      if (above) pen.fillText(block.name, wide() ? 0 : l + 4, block.y - (wide() ? 8 : 6));
      else pen.fillText(block.name, 0, block.y + (block.curve ? 8 : ROW / 2 - 1));
      pen.font = FONT;
      if (block.names && wide()) drawNames(pen, block);
      pen.save();
      pen.beginPath(); pen.rect(l - 1, 0, r - l + 2, view.height); pen.clip();
      if (block.segments) drawSegments(pen, block);
      else if (block.curve === "attention") drawAttention(pen, block);
      else drawCas(pen, block);
      pen.restore();
      if (block.curve === "cas" && wide()) labelLines(pen, block, r + 6);
    }
    const focus = view.hovered || view.chosen;
    if (focus && shown(focus)) drawHairlines(pen, focus);
    if (view.head >= view.from && view.head <= view.to) {
      pen.strokeStyle = ink; pen.lineWidth = 1;
      const x = Math.round(xOf(view.head)) + 0.5;
      pen.beginPath(); pen.moveTo(x, ruler() - 8); pen.lineTo(x, view.height - GAP); pen.stroke();
      pen.fillStyle = ink; pen.beginPath(); pen.moveTo(x - 4, ruler() - 9); pen.lineTo(x + 4, ruler() - 9); pen.lineTo(x, ruler() - 4); pen.fill();
    }
    drawOverview();
    const told = `${paint.clock(view.head)} of ${paint.clock(view.video.end)}`;
    if (clock.textContent !== told) clock.textContent = told;
  }

  function drawRuler(pen) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000];
    const step = steps.find((s) => (s / (view.to - view.from)) * span() >= 64) || 86400;
    pen.fillStyle = view.look.muted; pen.strokeStyle = view.look.rule; pen.lineWidth = 1; pen.textAlign = "center";
    pen.beginPath();
    for (let i = Math.ceil(view.from / step - 1e-9); i * step <= view.to + 1e-9; i++) {
      const x = xOf(i * step), half = 22;
      pen.moveTo(Math.round(x) + 0.5, ruler() - 6); pen.lineTo(Math.round(x) + 0.5, view.height - GAP);
      pen.fillText(paint.clock(i * step, step), Math.min(Math.max(x, half), view.width - half), 8);
    }
    pen.stroke();
  }

  function drawNames(pen, block) {
    block.names.forEach(([label, name], row) => {
      pen.fillStyle = label < 0 ? view.look.muted : line(label);
      pen.textAlign = "left";
      pen.fillText(paint.elided(pen, name, left() - 10), 0, block.y + row * block.step + (block.step - 2) / 2);
    });
  }

  // Where the visible segments lie, in pixels; of thousands on one pixel the one that is seen there is enough.
  function spots(block) {
    const l = left(), r = l + span(), found = [], dots = new Map();
    for (const segment of block.segments) {
      if (segment.end < view.from || segment.start > view.to) continue;
      const x = Math.max(xOf(segment.start), l - 4), row = block.row.get(segment);
      const spot = { segment, x, w: Math.max(2, Math.min(xOf(segment.end), r + 4) - x), row };
      if (spot.w > 2 || segment === view.hovered || segment === view.chosen) { found.push(spot); continue; }
      const dot = row * 65536 + Math.round(x), before = dots.get(dot);
      if (before !== undefined && !block.faint) continue;
      if (before !== undefined) found[before] = null;
      dots.set(dot, found.length);
      found.push(spot);
    }
    return found.filter(Boolean);
  }

  function drawSegments(pen, block) {
    const tall = block.step - 3, range = book.surest - book.weakest;
    for (const { segment, x, w, row } of spots(block)) {
      const y = block.y + row * block.step, colour = fill(segment.label);
      const marked = segment === view.hovered || segment === view.chosen;
      if (block.outlined) {
        pen.fillStyle = colour; pen.globalAlpha = 0.14; pen.fillRect(x, y, w, tall);
        pen.globalAlpha = 1; pen.strokeStyle = line(segment.label); pen.lineWidth = marked ? 2.5 : 1.5;
        pen.strokeRect(x + 0.75, y + 0.75, Math.max(1, w - 1.5), tall - 1.5);
      } else {
        if (block.faint) { // the surest lies on top: what it covers must not add to its opacity
          pen.fillStyle = view.look.paper; pen.fillRect(x, y, w, tall);
          pen.globalAlpha = 0.12 + 0.88 * (range > 0 ? Math.min(Math.max(0, (segment.score - book.weakest) / range), 1) : 1);
        }
        pen.fillStyle = colour; pen.fillRect(x, y, w, tall);
        pen.globalAlpha = 1;
        if (marked) { pen.strokeStyle = view.look.text; pen.lineWidth = 1.5; pen.strokeRect(x, y, w, tall); }
      }
      if (block.step === ROW && !block.faint && w > 34) {
        pen.fillStyle = block.outlined ? view.look.text : paint.on(colour); pen.textAlign = "left";
        const inside = Math.max(x, left());
        pen.fillText(paint.elided(pen, book.classes[segment.label], x + w - inside - 10), inside + 5, y + tall / 2 + 0.5);
      }
    }
  }

  // A curve through the middles of the snippets that are visible; where several fall on a pixel, the highest.
  function trace(values, yOf, begin, more) {
    const edges = view.video.edges, count = values.length;
    let low = 0, high = count;
    while (low < high) { const middle = (low + high) >> 1; if (edges[middle + 1] < view.from) low = middle + 1; else high = middle; }
    const first = Math.max(0, low - 1);
    let pixel = -Infinity, best = 0, started = false;
    const emit = (x, value) => { if (started) more(x, yOf(value)); else { begin(x, yOf(value)); started = true; } };
    if (first === 0) emit(xOf(edges[0]), values[0]);
    for (let i = first; i < count; i++) {
      const x = xOf((edges[i] + edges[i + 1]) / 2);
      if (x - pixel < 1) { best = Math.max(best, values[i]); continue; }
      if (pixel > -Infinity) emit(pixel, best);
      pixel = x; best = values[i];
      if (edges[i] > view.to) break;
    }
    emit(pixel, best);
    if (edges[count] <= view.to) emit(xOf(edges[count]), values[count - 1]);
  }

  function drawBase(pen, base) {
    pen.strokeStyle = view.look.rule; pen.beginPath(); pen.moveTo(left(), base + 0.5); pen.lineTo(left() + span(), base + 0.5); pen.stroke();
  }

  function drawAttention(pen, block) {
    const base = block.y + block.h, yOf = (value) => base - (value / 255) * block.h;
    let last = 0;
    pen.fillStyle = view.look.attention; pen.beginPath();
    trace(view.video.attention, yOf, (x, y) => { pen.moveTo(x, base); pen.lineTo(x, y); last = x; }, (x, y) => { pen.lineTo(x, y); last = x; });
    pen.lineTo(last, base); pen.fill();
    drawBase(pen, base);
  }

  const drawnLines = () => view.video.lines.map((label, k) => [label, k]).filter(([label]) => !view.off.has(label)).slice(0, MOST_LINES);

  function drawCas(pen, block) {
    const base = block.y + block.h, yOf = (value) => base - (value / 255) * block.h;
    drawBase(pen, base);
    pen.lineWidth = 1.5; pen.lineJoin = "round";
    const focus = view.hovered || view.chosen;
    for (const [label, k] of drawnLines().reverse()) {
      pen.strokeStyle = line(label); pen.globalAlpha = focus && focus.label !== label ? 0.35 : 1;
      pen.beginPath();
      trace(view.video.cas[k], yOf, (x, y) => pen.moveTo(x, y), (x, y) => pen.lineTo(x, y));
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  function labelLines(pen, block, x) {
    let i = view.video.edges.length - 2;
    while (i > 0 && view.video.edges[i] >= view.to) i--;
    const base = block.y + block.h;
    const places = drawnLines().map(([label, k]) => ({ label, y: base - (view.video.cas[k][i] / 255) * block.h })).sort((a, b) => b.y - a.y);
    let below = base + 14;
    for (const place of places) below = place.y = Math.min(place.y, below - 14);
    pen.textAlign = "left";
    for (const { label, y } of places) {
      pen.fillStyle = line(label);
      pen.fillText(paint.elided(pen, book.classes[label], right() - 8), x, y);
    }
  }

  function drawHairlines(pen, segment) {
    const last = view.blocks[view.blocks.length - 1];
    pen.strokeStyle = view.look.muted; pen.lineWidth = 1; pen.setLineDash([3, 3]); pen.beginPath();
    for (const seconds of [segment.start, segment.end]) {
      const x = Math.round(xOf(seconds)) + 0.5;
      if (x >= left() && x <= left() + span()) { pen.moveTo(x, ruler()); pen.lineTo(x, last.y + last.h); }
    }
    pen.stroke(); pen.setLineDash([]);
  }

  function drawOverview() {
    const tall = 26, pen = paint.sized(overview, view.width, tall), x = (seconds) => left() + (seconds / view.video.end) * span();
    pen.fillStyle = view.look.rule; pen.fillRect(left(), tall - 2, span(), 1);
    [...view.video.lanes].reverse().forEach(({ segments }, row) => {
      let dot = -1;
      for (const segment of segments) {
        if (!shown(segment)) continue;
        const at = x(segment.start), w = Math.max(1, x(segment.end) - at);
        if (w === 1 && Math.round(at) === dot) continue;
        dot = Math.round(at);
        pen.fillStyle = fill(segment.label);
        pen.fillRect(at, 13 - 9 * row, w, 7);
      }
    });
    if (view.to - view.from < view.video.end * 0.999) {
      pen.strokeStyle = view.look.text; pen.lineWidth = 1.5;
      pen.strokeRect(x(view.from), 1, Math.max(4, x(view.to) - x(view.from)), tall - 2);
    }
    pen.fillStyle = view.look.text; pen.fillRect(x(view.head), 0, 1, tall);
  }

  return { draw, dress, dark, fill, line, shown, ruler, left, span, xOf, secondsAt };
};
Object.assign(picture, { ROW: 22, GAP: 14 }); // pixels: a row of segments; between lanes
