"use strict";
// The report's timelines. A video's data is unpacked when it is opened; a canvas draws only what is visible.
(() => {
  const $ = (id) => document.getElementById(id);
  const book = JSON.parse($("index").textContent);
  const canvas = $("lanes"), overview = $("overview"), player = $("player");
  const night = matchMedia("(prefers-color-scheme: dark)");
  const ROW = 22, THIN = 11, ATTENTION = 46, CAS = 92, GAP = 14, MOST_ROWS = 4, MOST_LANES = 6, MOST_LINES = 6;
  const KEPT = 8; // videos that stay unpacked

  let video = null; // what is open
  let from = 0, to = 1, head = 0; // seconds
  let hovered = null, chosen = null; // segments
  let off = new Set(), least = -Infinity; // what the filters leave out
  let blocks = [], height = 0; // the lanes as they lie
  let waiting = false, printing = false;
  let width = 0; // of the canvas: asking it anew would have the browser lay out the page in each frame
  const look = {}; // colours of page.css, of the theme that holds
  const opened = new Map();

  // ---- unpacking: the layout is told in packed.py

  function unpack(place) {
    if (opened.has(place)) return opened.get(place);
    const text = atob($("v" + place).textContent), bytes = new Uint8Array(text.length);
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
    const scores = times[2][2], listed = book.videos[place];
    const found = {
      place, ...listed, edges, truth, results, proposals, attention, lines: Array.from(lines), cas, low, high,
      weakest: Math.min(...scores, Infinity), surest: Math.max(...scores, -Infinity),
      classes: [...new Set([...lines, ...labels.flatMap((part) => [...part])])],
    };
    opened.set(place, found);
    if (opened.size > KEPT) opened.delete(opened.keys().next().value);
    return found;
  }

  // ---- words and colours

  const clock = (seconds, step = 0.1) => {
    const tenths = Math.round(Math.max(0, seconds) * 10), whole = Math.floor(tenths / 10);
    const s = String(whole % 60).padStart(2, "0") + (step < 1 ? "." + (tenths % 10) : "");
    const m = Math.floor(whole / 60);
    return m < 60 ? `${m}:${s}` : `${Math.floor(m / 60)}:${String(m % 60).padStart(2, "0")}:${s}`;
  };
  const dark = () => night.matches && !printing;
  function dress() {
    const style = getComputedStyle(document.documentElement);
    const paper = { paper: "#FFFFFF", text: "#111827", muted: "#5B6472", rule: "#E2E5EA", attention: "#9AA3B2" };
    for (const name in paper) look[name] = printing ? paper[name] : style.getPropertyValue("--" + name).trim();
  }
  const coloured = (label) => book.classes.length <= 10 || !video || video.lines.slice(0, 10).includes(label);
  const fill = (label) => (coloured(label) ? (dark() ? book.dark : book.fills)[label % book.fills.length] : "#9CA3AF");
  const line = (label) => {
    const set = dark() ? book.dark : book.light;
    return coloured(label) ? set[label % set.length] : dark() ? "#9CA3AF" : "#6B7280";
  };
  const brightness = (colour) => {
    const part = (i) => { const c = parseInt(colour.slice(i, i + 2), 16) / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
  };
  const on = (colour) => (1.05 / (brightness(colour) + 0.05) >= (brightness(colour) + 0.05) / 0.058 ? "#FFFFFF" : "#111827");
  const tiou = (a, b) => {
    const shared = Math.min(a.end, b.end) - Math.max(a.start, b.start);
    return shared <= 0 ? 0 : shared / (a.end - a.start + b.end - b.start - shared);
  };

  // The segment of the other side that it overlaps most, of its own label if there is one.
  function match(segment) {
    const others = segment.kind === "truth" ? video.results : video.truth;
    let best = null, most = 0;
    for (const own of [true, false]) {
      for (const other of others) {
        const shared = (own === (other.label === segment.label)) ? tiou(segment, other) : 0;
        if (shared > most) [best, most] = [other, shared];
      }
      if (best) break;
    }
    return best && { other: best, shared: most };
  }

  function describe(segment, joint = "\n") {
    const words = [book.classes[segment.label], `${clock(segment.start)} to ${clock(segment.end)}, ${(segment.end - segment.start).toFixed(1)} s`];
    if (segment.kind !== "truth") words.push(`score ${segment.score.toFixed(2)}`);
    const found = match(segment);
    if (found) {
      const as = found.other.label === segment.label ? "" : `${book.classes[found.other.label]}, `;
      words.push(`tIoU ${found.shared.toFixed(2)} with ${segment.kind === "truth" ? "the result" : "the truth"}, ${as}${clock(found.other.start)} to ${clock(found.other.end)}`);
    } else if (segment.kind === "truth") words.push("no result overlaps it");
    else if (video.truth.length) words.push("overlaps no truth");
    return words.join(joint);
  }

  // ---- where everything lies

  const shown = (segment) => !off.has(segment.label) && !(segment.score < least);

  function rows(segments) {
    const ends = Array(MOST_ROWS).fill(-Infinity), told = new Map();
    for (const segment of [...segments].sort((a, b) => a.start - b.start || a.end - b.end)) {
      const free = ends.findIndex((end) => end <= segment.start + 1e-6);
      const row = free < 0 ? MOST_ROWS - 1 : free;
      ends[row] = Math.max(ends[row], segment.end);
      told.set(segment, row);
    }
    return told;
  }

  function lay() {
    blocks = [];
    let y = ruler();
    const add = (block) => { blocks.push({ y, ...block }); y += block.h + GAP; };
    const packed = (name, segments) => {
      const told = rows(segments);
      add({ name, segments, row: told, step: ROW, h: ROW * (1 + Math.max(0, ...told.values())) });
    };
    const truth = video.truth.filter(shown), result = video.results.filter(shown);
    if (video.truth.length) packed("truth", truth);
    packed("result", result);
    const proposals = video.proposals.filter(shown).sort((a, b) => a.score - b.score);
    const order = [...new Set([...video.lines, ...proposals.map((p) => p.label)])].filter((label) => proposals.some((p) => p.label === label));
    const row = new Map(proposals.map((p) => [p, Math.min(order.indexOf(p.label), MOST_LANES)]));
    const names = order.slice(0, MOST_LANES).map((label) => [label, book.classes[label]]);
    if (order.length > MOST_LANES) names.push([-1, order.length === MOST_LANES + 1 ? book.classes[order[MOST_LANES]] : `${order.length - MOST_LANES} others`]);
    add({ name: "proposals", segments: proposals, row, names, step: names.length > 1 ? THIN + 3 : ROW, h: Math.max(ROW, names.length * (THIN + 3)) });
    if (video.attention.length) {
      add({ name: "attention", curve: "attention", h: ATTENTION });
      if (video.lines.some((label) => !off.has(label))) add({ name: "CAS", curve: "cas", h: CAS });
    }
    height = y;
  }

  const ruler = () => (wide() ? 24 : 36); // the names of the lanes stand above them on a narrow page
  const wide = () => width >= 620;
  const left = () => (wide() ? 108 : 4);
  const right = () => (wide() && video.lines.length ? 100 : 4);
  const span = () => Math.max(10, width - left() - right());
  const xOf = (seconds) => left() + ((seconds - from) / (to - from)) * span();
  const secondsAt = (x) => from + ((x - left()) / span()) * (to - from);

  // ---- drawing

  const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };

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

  function draw() {
    waiting = false;
    if (!video || !width) return;
    const pen = sized(canvas, width, height), { text: ink, muted, rule, attention: shade } = look;
    const l = left(), r = l + span();
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    drawRuler(pen, muted, rule);
    for (const block of blocks) {
      pen.fillStyle = muted; pen.textAlign = "left"; pen.font = wide() ? "12px system-ui, sans-serif" : "10px system-ui, sans-serif";
      if (!wide()) pen.fillText(block.name, l + 4, block.y - 6);
      else if (!block.names || !block.names.length) pen.fillText(block.name, 0, block.y + (block.curve ? 8 : ROW / 2 - 1));
      pen.font = "12px system-ui, sans-serif";
      if (block.names && wide()) drawNames(pen, block);
      pen.save();
      pen.beginPath(); pen.rect(l - 1, 0, r - l + 2, height); pen.clip();
      if (block.segments) drawSegments(pen, block, ink);
      else if (block.curve === "attention") drawAttention(pen, block, shade, rule);
      else drawCas(pen, block, rule);
      pen.restore();
      if (block.curve === "cas" && wide()) labelLines(pen, block, r + 6);
    }
    const focus = hovered || chosen;
    if (focus && shown(focus)) drawHairlines(pen, focus, muted);
    if (head >= from && head <= to) {
      pen.strokeStyle = ink; pen.lineWidth = 1;
      const x = Math.round(xOf(head)) + 0.5;
      pen.beginPath(); pen.moveTo(x, ruler() - 8); pen.lineTo(x, height - GAP); pen.stroke();
      pen.fillStyle = ink; pen.beginPath(); pen.moveTo(x - 4, ruler() - 9); pen.lineTo(x + 4, ruler() - 9); pen.lineTo(x, ruler() - 4); pen.fill();
    }
    drawOverview(ink, muted, rule);
    const told = `${clock(head)} of ${clock(video.end)}`;
    if ($("clock").textContent !== told) $("clock").textContent = told;
  }

  function drawRuler(pen, muted, rule) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000];
    const step = steps.find((s) => (s / (to - from)) * span() >= 64) || 86400;
    pen.fillStyle = muted; pen.strokeStyle = rule; pen.lineWidth = 1; pen.textAlign = "center";
    pen.beginPath();
    for (let i = Math.ceil(from / step - 1e-9); i * step <= to + 1e-9; i++) {
      const x = xOf(i * step), half = 22;
      pen.moveTo(Math.round(x) + 0.5, ruler() - 6); pen.lineTo(Math.round(x) + 0.5, height - GAP);
      pen.fillText(clock(i * step, step), Math.min(Math.max(x, half), width - half), 8);
    }
    pen.stroke();
  }

  function drawNames(pen, block) {
    block.names.forEach(([label, name], row) => {
      pen.fillStyle = label < 0 ? look.muted : line(label);
      pen.textAlign = "left";
      pen.fillText(elided(pen, name, left() - 10), 0, block.y + row * block.step + (block.step - 2) / 2);
    });
  }

  function drawSegments(pen, block, ink) {
    const tall = block.step - 3;
    const range = video.surest - video.weakest;
    for (const segment of block.segments) {
      if (segment.end < from || segment.start > to) continue;
      const x = Math.max(xOf(segment.start), left() - 4), w = Math.max(2, Math.min(xOf(segment.end), left() + span() + 4) - x);
      const y = block.y + block.row.get(segment) * block.step, colour = fill(segment.label);
      const marked = segment === hovered || segment === chosen;
      if (block.name === "truth") {
        pen.fillStyle = colour; pen.globalAlpha = 0.14; pen.fillRect(x, y, w, tall);
        pen.globalAlpha = 1; pen.strokeStyle = line(segment.label); pen.lineWidth = marked ? 2.5 : 1.5;
        pen.strokeRect(x + 0.75, y + 0.75, Math.max(1, w - 1.5), tall - 1.5);
      } else {
        if (block.name === "proposals") { // the surest lies on top: what it covers must not add to its opacity
          pen.fillStyle = look.paper; pen.fillRect(x, y, w, tall);
          pen.globalAlpha = 0.12 + 0.88 * (range > 0 ? (segment.score - video.weakest) / range : 1);
        }
        pen.fillStyle = colour; pen.fillRect(x, y, w, tall);
        pen.globalAlpha = 1;
        if (marked) { pen.strokeStyle = ink; pen.lineWidth = 1.5; pen.strokeRect(x, y, w, tall); }
      }
      if (block.step === ROW && block.name !== "proposals" && w > 34) {
        pen.fillStyle = block.name === "truth" ? ink : on(colour); pen.textAlign = "left";
        const inside = Math.max(x, left());
        pen.fillText(elided(pen, book.classes[segment.label], x + w - inside - 10), inside + 5, y + tall / 2 + 0.5);
      }
    }
  }

  // A curve through the middles of the snippets that are visible; where several fall on a pixel, the highest.
  function trace(values, yOf, begin, more) {
    const edges = video.edges, count = values.length;
    let low = 0, high = count;
    while (low < high) { const middle = (low + high) >> 1; if (edges[middle + 1] < from) low = middle + 1; else high = middle; }
    const first = Math.max(0, low - 1);
    let pixel = -Infinity, best = 0, started = false;
    const emit = (x, value) => { if (started) more(x, yOf(value)); else { begin(x, yOf(value)); started = true; } };
    if (first === 0) emit(xOf(edges[0]), values[0]);
    for (let i = first; i < count; i++) {
      const x = xOf((edges[i] + edges[i + 1]) / 2);
      if (x - pixel < 1) { best = Math.max(best, values[i]); continue; }
      if (pixel > -Infinity) emit(pixel, best);
      pixel = x; best = values[i];
      if (edges[i] > to) break;
    }
    emit(pixel, best);
    if (edges[count] <= to) emit(xOf(edges[count]), values[count - 1]);
  }

  function drawAttention(pen, block, shade, rule) {
    const base = block.y + block.h, yOf = (value) => base - (value / 255) * block.h;
    let last = 0;
    pen.fillStyle = shade; pen.beginPath();
    trace(video.attention, yOf, (x, y) => { pen.moveTo(x, base); pen.lineTo(x, y); last = x; }, (x, y) => { pen.lineTo(x, y); last = x; });
    pen.lineTo(last, base); pen.fill();
    pen.strokeStyle = rule; pen.beginPath(); pen.moveTo(left(), base + 0.5); pen.lineTo(left() + span(), base + 0.5); pen.stroke();
  }

  const drawnLines = () => video.lines.map((label, k) => [label, k]).filter(([label]) => !off.has(label)).slice(0, MOST_LINES);

  function drawCas(pen, block, rule) {
    const base = block.y + block.h, yOf = (value) => base - (value / 255) * block.h;
    pen.strokeStyle = rule; pen.beginPath(); pen.moveTo(left(), base + 0.5); pen.lineTo(left() + span(), base + 0.5); pen.stroke();
    pen.lineWidth = 1.5; pen.lineJoin = "round";
    const focus = hovered || chosen;
    for (const [label, k] of drawnLines().reverse()) {
      pen.strokeStyle = line(label); pen.globalAlpha = focus && focus.label !== label ? 0.35 : 1;
      pen.beginPath();
      trace(video.cas[k], yOf, (x, y) => pen.moveTo(x, y), (x, y) => pen.lineTo(x, y));
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  function labelLines(pen, block, x) {
    let i = video.edges.length - 2;
    while (i > 0 && video.edges[i] >= to) i--;
    const base = block.y + block.h;
    const places = drawnLines().map(([label, k]) => ({ label, y: base - (video.cas[k][i] / 255) * block.h })).sort((a, b) => b.y - a.y);
    let below = base + 14;
    for (const place of places) below = place.y = Math.min(place.y, below - 14);
    pen.textAlign = "left";
    for (const { label, y } of places) {
      pen.fillStyle = line(label);
      pen.fillText(elided(pen, book.classes[label], right() - 8), x, y);
    }
  }

  function drawHairlines(pen, segment, muted) {
    const last = blocks[blocks.length - 1];
    pen.strokeStyle = muted; pen.lineWidth = 1; pen.setLineDash([3, 3]); pen.beginPath();
    for (const seconds of [segment.start, segment.end]) {
      const x = Math.round(xOf(seconds)) + 0.5;
      if (x >= left() && x <= left() + span()) { pen.moveTo(x, ruler()); pen.lineTo(x, last.y + last.h); }
    }
    pen.stroke(); pen.setLineDash([]);
  }

  function drawOverview(ink, muted, rule) {
    const tall = 26, pen = sized(overview, width, tall), x = (seconds) => left() + (seconds / video.end) * span();
    pen.fillStyle = rule; pen.fillRect(left(), tall - 2, span(), 1);
    for (const [segments, y] of [[video.truth, 4], [video.results, 13]]) {
      for (const segment of segments) {
        if (!shown(segment)) continue;
        pen.fillStyle = fill(segment.label);
        pen.fillRect(x(segment.start), y, Math.max(1, x(segment.end) - x(segment.start)), 7);
      }
    }
    if (to - from < video.end * 0.999) {
      pen.strokeStyle = ink; pen.lineWidth = 1.5;
      pen.strokeRect(x(from), 1, Math.max(4, x(to) - x(from)), tall - 2);
    }
    pen.fillStyle = ink; pen.fillRect(x(head), 0, 1, tall);
  }

  // ---- moving

  function show(start, end) {
    const shortest = Math.min(video.end, Math.max(0.5, video.edges.length > 1 ? 4 * (video.edges[1] - video.edges[0]) : 0.5));
    const length = Math.min(video.end, Math.max(shortest, end - start));
    from = Math.min(Math.max(0, start + (end - start - length) / 2), video.end - length);
    to = from + length;
    redraw();
  }
  const zoom = (factor, at = (from + to) / 2) => show(at - (at - from) * factor, at + (to - at) * factor);
  const inside = (seconds) => Math.min(Math.max(0, seconds), video.end);

  function go(seconds, seek = true) {
    head = inside(seconds);
    if (head < from || head > to) show(head - (to - from) / 2, head + (to - from) / 2);
    if (seek && !player.hidden && Number.isFinite(player.duration)) player.currentTime = Math.min(head, player.duration);
    redraw();
  }

  function stepSnippet(by) {
    const edges = video.edges;
    if (edges.length < 2) return go(head + by);
    let i = edges.findIndex((edge) => edge > head + 1e-4) - 1;
    if (i < -1) i = edges.length - 1;
    const here = Math.abs(edges[Math.max(0, i)] - head) < 1e-3;
    go(edges[Math.min(Math.max(0, by > 0 ? i + 1 : here ? i - 1 : i), edges.length - 1)]);
  }

  function stepSegment(by) {
    const all = [...video.truth, ...video.results].filter(shown).sort((a, b) => a.start - b.start || (a.kind < b.kind ? 1 : -1));
    if (!all.length) return say("No segment is shown; lower the least score, or show more classes.");
    const at = all.indexOf(chosen);
    const after = all.findIndex((s) => s.start > head + 1e-6);
    const next = at >= 0 ? at + by : by > 0 ? (after < 0 ? all.length - 1 : after) : (after < 0 ? all.length : after) - 1;
    choose(all[Math.min(Math.max(0, next), all.length - 1)]);
  }

  function choose(segment) {
    chosen = segment;
    if (segment.start < from || segment.end > to) {
      const length = Math.max(to - from, (segment.end - segment.start) * 1.2), middle = (segment.start + segment.end) / 2;
      show(middle - length / 2, middle + length / 2);
    }
    go(segment.start);
    say(`${segment.kind}: ${describe(segment, ", ")}`);
  }

  const say = (text) => { $("said").textContent = text; };

  // ---- the list of videos, the filters, the table

  const rowsOfList = book.videos.map((told, place) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const part = (style, text) => { const span = document.createElement("span"); span.className = style; span.textContent = text; button.append(span); };
    part("id", told.id); part("time", clock(told.end, 1));
    part("labels", told.labels.map((label) => book.classes[label]).join(", ") || "nothing found");
    button.title = told.id;
    button.addEventListener("click", () => open(place));
    item.append(button);
    return { item, button, text: [told.id, ...told.labels.map((label) => book.classes[label])].join("\n").toLowerCase() };
  });
  $("videos").append(...rowsOfList.map((row) => row.item));

  function filterList() {
    const wanted = $("find").value.trim().toLowerCase();
    let count = 0;
    for (const row of rowsOfList) { row.item.hidden = !row.text.includes(wanted); count += !row.item.hidden; }
    $("count").textContent = count === rowsOfList.length ? `${count} videos` : count ? `${count} of ${rowsOfList.length} videos` : "None has this in its id or its classes; try a part of it.";
  }

  function drawChips() {
    $("chips").replaceChildren(...video.classes.map((label) => {
      const button = document.createElement("button"), name = document.createElement("span");
      const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg"), square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      swatch.setAttribute("width", "10"); swatch.setAttribute("height", "10"); swatch.setAttribute("aria-hidden", "true"); swatch.setAttribute("viewBox", "0 0 10 10");
      square.setAttribute("width", "10"); square.setAttribute("height", "10"); square.setAttribute("fill", fill(label));
      swatch.append(square); swatch.style.width = "10px"; name.textContent = book.classes[label];
      button.append(swatch, name); button.title = book.classes[label];
      button.setAttribute("aria-pressed", String(!off.has(label)));
      button.addEventListener("click", () => {
        if (off.has(label)) off.delete(label); else off.add(label);
        button.setAttribute("aria-pressed", String(!off.has(label)));
        refresh();
      });
      return button;
    }));
  }

  function drawTable() {
    const all = [...video.truth, ...video.results].filter(shown).sort((a, b) => a.start - b.start || (a.kind < b.kind ? 1 : -1));
    $("segments").replaceChildren(...all.map((segment) => {
      const found = match(segment), row = document.createElement("tr"), name = document.createElement("th"), jump = document.createElement("button");
      name.scope = "row"; name.textContent = book.classes[segment.label];
      row.append(name);
      jump.textContent = clock(segment.start);
      jump.addEventListener("click", () => choose(segment));
      const same = found && found.other.label === segment.label;
      const cells = [jump, clock(segment.end), `${(segment.end - segment.start).toFixed(1)} s`, segment.kind === "truth" ? "" : segment.score.toFixed(2), segment.kind,
        found ? (same ? "" : `${book.classes[found.other.label]} `) + found.shared.toFixed(2) : video.truth.length ? "none" : ""];
      for (const cell of cells) { const td = document.createElement("td"); td.append(cell); row.append(td); }
      return row;
    }));
    canvas.setAttribute("aria-label", `Timeline of ${video.id}, ${clock(video.end)} long: ${video.truth.filter(shown).length} true actions, ${video.results.filter(shown).length} in the result, ${video.proposals.filter(shown).length} proposals`);
  }

  function refresh() { lay(); drawTable(); hover(null); if (chosen && !shown(chosen)) chosen = null; redraw(); }

  function open(place, seconds = 0) {
    const before = video && rowsOfList[video.place].button;
    if (before) before.removeAttribute("aria-current");
    video = unpack(place);
    const row = rowsOfList[place];
    row.button.setAttribute("aria-current", "true");
    const list = $("videos"), top = row.item.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + 44 > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
    from = 0; to = video.end; head = inside(seconds); chosen = hovered = null; off = new Set(); least = -Infinity;
    $("name").textContent = video.id;
    const slider = $("least");
    slider.disabled = !(video.surest > video.weakest);
    slider.min = slider.disabled ? 0 : video.weakest; slider.max = slider.disabled ? 1 : video.surest; slider.value = slider.min;
    $("least-value").textContent = slider.disabled ? "" : video.weakest.toFixed(2);
    load(video.file);
    drawChips();
    refresh();
  }

  function load(file) {
    $("trouble").hidden = true;
    player.pause();
    player.hidden = !file;
    if (file) player.src = file; else player.removeAttribute("src");
  }

  const next = (by) => {
    const there = rowsOfList.map((row, place) => place).filter((place) => !rowsOfList[place].item.hidden);
    const at = there.indexOf(video.place);
    if (there.length) open(there[Math.min(Math.max(0, at + by), there.length - 1)]);
  };

  // ---- what the reader does

  function segmentAt(x, y) {
    const block = blocks.find((b) => b.segments && y >= b.y && y < b.y + b.h);
    if (!block || x < left() - 2 || x > left() + span() + 2) return null;
    const row = Math.floor((y - block.y) / block.step), slack = 2 * (to - from) / span(), t = secondsAt(x);
    const there = block.segments.filter((s) => block.row.get(s) === row && s.start - slack <= t && t <= s.end + slack);
    return there.pop() || null; // the last drawn lies on top
  }

  function hover(segment, x = 0, y = 0) {
    const tip = $("tip");
    if (segment !== hovered) { hovered = segment; redraw(); }
    tip.hidden = !segment;
    if (!segment) return;
    tip.textContent = describe(segment);
    const room = width - tip.offsetWidth;
    tip.style.transform = `translate(${Math.max(0, Math.min(x + 12, room))}px, ${y + 18}px)`;
  }

  let grip = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    grip = { x: event.offsetX, from, to, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) return hover(segmentAt(event.offsetX, event.offsetY), event.offsetX, event.offsetY);
    const by = event.offsetX - grip.x;
    if (!grip.moved && Math.abs(by) < 4) return;
    grip.moved = true; canvas.classList.add("dragged"); hover(null);
    const seconds = (by / span()) * (grip.to - grip.from);
    show(grip.from - seconds, grip.to - seconds);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (grip && !grip.moved) {
      const segment = segmentAt(event.offsetX, event.offsetY);
      chosen = segment;
      go(secondsAt(event.offsetX));
      if (segment) say(`${segment.kind}: ${describe(segment, ", ")}`);
    }
    grip = null; canvas.classList.remove("dragged");
  });
  canvas.addEventListener("pointercancel", () => { grip = null; canvas.classList.remove("dragged"); });
  canvas.addEventListener("pointerleave", () => { if (!grip) hover(null); });
  canvas.addEventListener("dblclick", (event) => zoom(0.5, secondsAt(event.offsetX)));
  canvas.addEventListener("wheel", (event) => {
    const along = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.005), secondsAt(event.offsetX));
    else if (Math.abs(along) > Math.abs(event.shiftKey ? 0 : event.deltaY)) { const by = (along / span()) * (to - from); show(from + by, to + by); }
    else return;
    event.preventDefault();
  }, { passive: false });

  const toOverview = (event) => {
    const middle = ((event.offsetX - left()) / span()) * video.end, half = (to - from) / 2;
    show(middle - half, middle + half);
  };
  overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); toOverview(event); });
  overview.addEventListener("pointermove", (event) => { if (event.buttons) toOverview(event); });

  const play = () => {
    if (player.hidden) return say("There is no video file to play; name the folder of the videos with --videos.");
    if (player.paused) player.play().catch(() => {}); else player.pause();
  };
  const KEYS = {
    ArrowLeft: () => stepSnippet(-1), ArrowRight: () => stepSnippet(1),
    ArrowUp: () => stepSegment(-1), ArrowDown: () => stepSegment(1),
    "+": () => zoom(0.5, head >= from && head <= to ? head : undefined), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, video.end),
    " ": play, n: () => next(1), p: () => next(-1), "?": () => $("keys").showModal(),
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  $("in").addEventListener("click", () => zoom(0.5));
  $("out").addEventListener("click", () => zoom(2));
  $("whole").addEventListener("click", () => show(0, video.end));
  $("ask").addEventListener("click", () => $("keys").showModal());
  $("close").addEventListener("click", () => $("keys").close());
  $("find").addEventListener("input", filterList);
  $("least").addEventListener("input", (event) => {
    least = +event.target.value <= video.weakest ? -Infinity : +event.target.value;
    $("least-value").textContent = (+event.target.value).toFixed(2);
    refresh();
  });
  for (const button of document.querySelectorAll(".moment")) {
    button.addEventListener("click", () => {
      const place = book.videos.findIndex((told) => told.id === button.dataset.video);
      if (place < 0) return;
      open(place, +button.dataset.time);
      $("timelines").scrollIntoView();
      canvas.focus({ preventScroll: true });
    });
  }

  player.addEventListener("loadedmetadata", () => { if (head > 0) player.currentTime = Math.min(head, player.duration); });
  player.addEventListener("error", () => {
    if (player.hidden) return;
    player.hidden = true;
    $("trouble").hidden = false;
    $("trouble").textContent = `The video file ${decodeURI(video.file)} cannot be played; it was moved, or the browser does not know its format.`;
  });
  player.addEventListener("seeked", () => { if (Math.abs(player.currentTime - head) > 0.05) go(player.currentTime, false); });
  const follow = () => { if (player.paused) return; go(player.currentTime, false); requestAnimationFrame(follow); };
  player.addEventListener("play", follow);

  // ---- the memory's cosines

  function drawAlike() {
    const target = $("alike");
    if (!target || !book.alike || !target.clientWidth) return;
    const { names } = book.alike, count = names.length, gutter = target.clientWidth < 500 ? 90 : 170;
    const cell = Math.max(1, Math.min(44, (target.clientWidth - gutter - 70) / count)), head = cell >= 12 ? 110 : 4;
    const most = Math.max(0.3, ...Array.from(cosines, (value, i) => (i % (count + 1) ? Math.abs(value / 127 - 1) : 0)));
    const pen = sized(target, target.clientWidth, head + cell * count), ink = look.text;
    pen.font = "12px system-ui, sans-serif"; pen.textBaseline = "middle";
    for (let i = 0; i < count; i++) {
      if (cell >= 12) {
        pen.fillStyle = ink; pen.textAlign = "right";
        pen.fillText(elided(pen, names[i], gutter - 10), gutter - 8, head + (i + 0.5) * cell);
        pen.save(); pen.translate(gutter + (i + 0.5) * cell, head - 6); pen.rotate(-Math.PI / 3); pen.textAlign = "left";
        pen.fillText(elided(pen, names[i], 110), 0, 0); pen.restore();
      }
      for (let j = 0; j < count; j++) {
        if (i === j) continue;
        const cosine = cosines[i * count + j] / 127 - 1;
        pen.fillStyle = cosine < 0 ? "#E69F00" : "#0072B2"; pen.globalAlpha = 0.9 * Math.abs(cosine) / most;
        pen.fillRect(gutter + j * cell, head + i * cell, Math.max(1, cell - 1), Math.max(1, cell - 1));
        pen.globalAlpha = 1;
        if (cell >= 30) {
          pen.fillStyle = !dark() && cosine > 0.6 * most ? "#FFFFFF" : ink; pen.textAlign = "center";
          pen.fillText(cosine.toFixed(1).replace("-0.0", "0.0"), gutter + (j + 0.5) * cell, head + (i + 0.5) * cell);
        }
      }
    }
    alikeAt = (x, y) => {
      const j = Math.floor((x - gutter) / cell), i = Math.floor((y - head) / cell);
      return i >= 0 && j >= 0 && i < count && j < count && i !== j ? `${names[i]} and ${names[j]}: ${(cosines[i * count + j] / 127 - 1).toFixed(2)}` : "";
    };
  }
  const cosines = book.alike ? Uint8Array.from(atob(book.alike.cosines), (c) => c.charCodeAt(0)) : [];
  let alikeAt = () => "";
  if (book.alike) {
    const tip = $("alike-tip");
    $("alike").addEventListener("pointermove", (event) => {
      const text = alikeAt(event.offsetX, event.offsetY);
      tip.hidden = !text; tip.textContent = text;
      tip.style.transform = `translate(${Math.min(event.offsetX + 12, event.target.clientWidth - 160)}px, ${event.offsetY + 16}px)`;
    });
    $("alike").addEventListener("pointerleave", () => { tip.hidden = true; });
  }

  // ---- the page around

  const all = () => { width = canvas.clientWidth; dress(); if (video) lay(); drawAlike(); redraw(); };
  night.addEventListener("change", () => { drawChips(); all(); });
  new ResizeObserver(all).observe(document.querySelector("main"));
  let closed = [];
  addEventListener("beforeprint", () => {
    printing = true; closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
    dress(); drawAlike(); draw();
  });
  addEventListener("afterprint", () => { printing = false; for (const one of closed) one.open = false; all(); });

  filterList();
  const wanted = new URLSearchParams(location.hash.slice(1)).get("video");
  open(Math.max(0, book.videos.findIndex((told) => told.id === wanted)));
})();
