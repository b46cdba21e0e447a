"use strict";
// A timeline: lanes of segments above curves, drawn where they are visible, moved by mouse and keys.
// A video is what paint.unpack gives, with `end` (seconds), `lanes` ({name, segments, outlined, editable, aside})
// and `coloured` (labels that have a colour of their own where there are many classes).

const timeline = ({ canvas, overview, tip, chips, player, clock, said, book, more = () => [], on = {}, keys = {} }) => {
  const { ROW, GAP } = picture, THIN = 11, ATTENTION = 46, CAS = 92, MOST_ROWS = 4, MOST_LANES = 6, NEAR = 6, TOUCH = 16; // pixels from an edge
  const view = {
    video: null, from: 0, to: 1, head: 0, // seconds
    hovered: null, chosen: null, // segments
    off: new Set(), least: -Infinity, // what the filters leave out
    blocks: [], height: 0, // the lanes as they lie
    width: 0, // of the canvas: asking it anew would have the browser lay out the page in each frame
    printing: false, dark: false, look: {}, // colours of look.css, of the theme that holds
  };
  const { draw, dress, dark, fill, shown, ruler, left, span, xOf, secondsAt } = picture({ canvas, overview, clock, book, view });
  let waiting = false;
  const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } };

  const say = (text) => { said.textContent = text; };
  function describe(segment, joint = "\n") {
    const { label, start, end, score } = segment;
    const words = [book.classes[label], `${paint.clock(start)} to ${paint.clock(end)}, ${(end - start).toFixed(1)} s`];
    if (Number.isFinite(score)) words.push(`score ${score.toFixed(2)}`);
    return [...words, ...more(segment)].join(joint);
  }
  const tell = (segment) => say(`${segment.kind}: ${describe(segment, ", ")}`);

  // ---- where everything lies

  const listed = () => view.video.lanes.filter((lane) => !lane.aside).flatMap((lane) => lane.segments).filter(shown).sort((a, b) => a.start - b.start);

  function lay() {
    view.blocks = [];
    let y = ruler();
    const add = (block) => { view.blocks.push({ y, ...block }); y += block.h + GAP; };
    for (const lane of view.video.lanes) {
      const segments = lane.segments.filter(shown), row = paint.rows(segments, MOST_ROWS);
      let last = 0;
      for (const place of row.values()) last = Math.max(last, place);
      add({ ...lane, segments, row, step: ROW, h: ROW * (1 + last) });
    }
    if (view.video.proposals) add(layProposals());
    if (view.video.attention.length) {
      add({ name: "attention", curve: "attention", h: ATTENTION });
      if (view.video.lines.some((label) => !view.off.has(label))) add({ name: "CAS", curve: "cas", h: CAS });
    }
    view.height = y;
  }

  function layProposals() {
    const segments = view.video.proposals.filter(shown).sort((a, b) => a.score - b.score), there = new Set(segments.map((p) => p.label));
    const order = [...new Set([...view.video.lines, ...there])].filter((label) => there.has(label));
    const row = new Map(segments.map((p) => [p, Math.min(order.indexOf(p.label), MOST_LANES)]));
    const names = order.slice(0, MOST_LANES).map((label) => [label, book.classes[label]]);
    if (order.length > MOST_LANES) names.push([-1, order.length === MOST_LANES + 1 ? book.classes[order[MOST_LANES]] : `${order.length - MOST_LANES} others`]);
    return { name: "proposals", faint: true, segments, row, names, step: names.length > 1 ? THIN + 3 : ROW, h: Math.max(ROW, names.length * (THIN + 3)) };
  }

  // ---- moving

  function show(start, end) {
    const shortest = Math.min(view.video.end, Math.max(0.5, view.video.edges.length > 1 ? 4 * (view.video.edges[1] - view.video.edges[0]) : 0.5));
    const length = Math.min(view.video.end, Math.max(shortest, end - start));
    view.from = Math.min(Math.max(0, start + (end - start - length) / 2), view.video.end - length);
    view.to = view.from + length;
    redraw();
  }
  const zoom = (factor, at = (view.from + view.to) / 2) => show(at - (at - view.from) * factor, at + (view.to - at) * factor);
  const inside = (seconds) => Math.min(Math.max(0, seconds), view.video.end);

  function go(seconds, seek = true) {
    view.head = inside(seconds);
    if (view.head < view.from || view.head > view.to) show(view.head - (view.to - view.from) / 2, view.head + (view.to - view.from) / 2);
    if (seek && !player.hidden && Number.isFinite(player.duration)) player.currentTime = Math.min(view.head, player.duration);
    if (on.moved) on.moved(view.head);
    redraw();
  }

  function stepSnippet(by) {
    const edges = view.video.edges;
    if (edges.length < 2) return go(view.head + by);
    let i = edges.findIndex((edge) => edge > view.head + 1e-4) - 1;
    if (i < -1) i = edges.length - 1;
    const here = Math.abs(edges[Math.max(0, i)] - view.head) < 1e-3;
    go(edges[Math.min(Math.max(0, by > 0 ? i + 1 : here ? i - 1 : i), edges.length - 1)]);
  }

  function stepSegment(by) {
    const all = listed();
    if (!all.length) return say("No segment is shown; show less sure ones, or more classes.");
    const at = all.indexOf(view.chosen);
    const after = all.findIndex((s) => s.start > view.head + 1e-6);
    const next = at >= 0 ? at + by : by > 0 ? (after < 0 ? all.length - 1 : after) : (after < 0 ? all.length : after) - 1;
    choose(all[Math.min(Math.max(0, next), all.length - 1)]);
  }

  function mark(segment) { view.chosen = segment; if (on.chose) on.chose(segment); redraw(); }

  function choose(segment) {
    mark(segment);
    if (segment.start < view.from || segment.end > view.to) {
      const length = Math.max(view.to - view.from, (segment.end - segment.start) * 1.2), middle = (segment.start + segment.end) / 2;
      show(middle - length / 2, middle + length / 2);
    }
    go(segment.start);
    tell(segment);
  }

  function hover(segment, x = 0, y = 0) {
    if (segment !== view.hovered) { view.hovered = segment; redraw(); }
    tip.hidden = !segment;
    if (!segment) return;
    tip.textContent = describe(segment);
    const room = view.width - tip.offsetWidth;
    tip.style.transform = `translate(${Math.max(0, Math.min(x + 12, room))}px, ${y + 18}px)`;
  }

  // What lies at a place: the lane, the segment, and its edge where that is near enough to be dragged.
  function spot(x, y, touch = false) {
    const block = view.blocks.find((b) => b.segments && y >= b.y && y < b.y + b.h), seconds = inside(secondsAt(x));
    if (!block || x < left() - NEAR || x > left() + span() + NEAR) return { block: null, segment: null, edge: null, seconds };
    const row = Math.floor((y - block.y) / block.step), slack = 2 * (view.to - view.from) / span(), t = secondsAt(x);
    const there = block.segments.filter((s) => block.row.get(s) === row && s.start - slack <= t && t <= s.end + slack);
    const segment = there.pop() || null; // the last drawn lies on top
    const near = block.editable && nearest(block, row, x, t, touch ? TOUCH : NEAR);
    return near ? { block, seconds, ...near } : { block, seconds, segment, edge: null };
  }

  // Where two segments meet, the edge is that of the one under the pointer, or of the chosen one.
  function nearest(block, row, x, t, reach) {
    let best = null, least = reach + 1;
    for (const segment of block.segments) {
      if (block.row.get(segment) !== row || segment.end < view.from || segment.start > view.to) continue;
      for (const edge of ["start", "end"]) {
        const far = Math.abs(xOf(segment[edge]) - x);
        const cost = far + (segment.start <= t && t <= segment.end ? 0 : 0.5) - (segment === view.chosen ? 2 : 0);
        if (far <= reach && cost < least) [best, least] = [{ segment, edge }, cost];
      }
    }
    return best;
  }

  // ---- the page around

  function drawChips() {
    chips.replaceChildren(...view.video.classes.map((label) => {
      const button = document.createElement("button"), name = document.createElement("span");
      const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg"), square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      swatch.setAttribute("width", "10"); swatch.setAttribute("height", "10"); swatch.setAttribute("aria-hidden", "true"); swatch.setAttribute("viewBox", "0 0 10 10");
      square.setAttribute("width", "10"); square.setAttribute("height", "10"); square.setAttribute("fill", fill(label));
      swatch.append(square); swatch.style.width = "10px"; name.textContent = book.classes[label];
      button.append(swatch, name); button.title = book.classes[label];
      button.setAttribute("aria-pressed", String(!view.off.has(label)));
      button.addEventListener("click", () => {
        if (view.off.has(label)) view.off.delete(label); else view.off.add(label);
        button.setAttribute("aria-pressed", String(!view.off.has(label)));
        refresh();
      });
      return button;
    }));
  }

  // After what is shown has changed.
  function refresh() {
    lay();
    if (on.refreshed) on.refreshed();
    hover(null);
    if (view.chosen && !shown(view.chosen)) mark(null);
    redraw();
  }

  function open(one, seconds = 0) {
    view.video = one;
    view.from = 0; view.to = view.video.end; view.head = inside(seconds); view.chosen = view.hovered = null; view.off = new Set(); view.least = -Infinity;
    drawChips();
    refresh();
  }

  function resize() { view.width = canvas.clientWidth; dress(); if (view.video) lay(); redraw(); }
  const filter = (score) => { view.least = score; refresh(); };
  const drag = (by, since) => { const seconds = (by / span()) * (since.to - since.from); show(since.from - seconds, since.to - seconds); };
  const centre = (x) => { const middle = ((x - left()) / span()) * view.video.end, half = (view.to - view.from) / 2; show(middle - half, middle + half); };

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (view.video) drawChips(); resize(); });
  player.addEventListener("loadedmetadata", () => { if (view.head > 0) player.currentTime = Math.min(view.head, player.duration); });
  player.addEventListener("seeked", () => { if (Math.abs(player.currentTime - view.head) > 0.05) go(player.currentTime, false); });
  const follow = () => { if (player.paused) return; go(player.currentTime, false); requestAnimationFrame(follow); };
  player.addEventListener("play", follow);

  const lanes = {
    say, dark, dress, describe, tell, shown, listed, draw, resize, refresh, open, filter, drawChips,
    show, zoom, go, stepSnippet, stepSegment, mark, choose, hover, spot, drag, centre,
    get video() { return view.video; }, get head() { return view.head; }, get chosen() { return view.chosen; },
    get look() { return view.look; }, get window() { return { from: view.from, to: view.to }; },
  };
  return Object.assign(lanes, { press: hands({ lanes, canvas, overview, on, keys }) });
};
