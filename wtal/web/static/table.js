"use strict";
// The segments as a table in which times are typed. Only the rows that can be seen are there, so that ten thousand are
// as quick as ten; a row stays the same element while its segment changes or moves, so that it keeps the focus.

const sheet = ({ box, table, body, classes, choose, move }) => {
  const ROW = 30, SPARE = 8; // pixels; rows beyond what is seen
  const rows = new Map(); // place in the list -> row
  const above = spacer(), below = spacer();
  let list = [], chosen = null, typing = null; // typing: the field that is being edited
  body.append(above, below);

  function spacer() {
    const row = document.createElement("tr");
    row.setAttribute("aria-hidden", "true");
    row.className = "spacer";
    return row;
  }

  function made() {
    const row = document.createElement("tr"), name = document.createElement("th"), cells = {};
    name.scope = "row";
    cells.jump = document.createElement("button");
    cells.jump.addEventListener("click", () => choose(row.segment));
    name.append(cells.jump);
    row.append(name);
    for (const edge of ["start", "end"]) {
      const input = cells[edge] = document.createElement("input");
      input.type = "text"; input.inputMode = "decimal"; input.autocomplete = "off";
      input.addEventListener("focus", () => { if (typing !== input) { typing = input; write(row, edge); input.select(); } });
      input.addEventListener("change", () => typed(row, edge));
      input.addEventListener("input", () => input.removeAttribute("aria-invalid"));
      // While only the window is left, the field goes on being edited.
      input.addEventListener("blur", () => { if (document.activeElement !== input) { typing = null; write(row, edge); } });
      input.addEventListener("keydown", (event) => { if (event.key === "Escape") fill(row, row.segment); });
      row.append(cell(input));
    }
    cells.length = cell(""); cells.score = cell("");
    row.append(cells.length, cells.score);
    row.cells_ = cells;
    return row;
  }
  const cell = (inside) => { const td = document.createElement("td"); td.append(inside); return td; };

  function fill(row, segment) {
    const { jump, start, end, length, score } = row.cells_, name = classes[segment.label];
    row.segment = segment;
    jump.textContent = jump.title = name;
    for (const [input, edge] of [[start, "start"], [end, "end"]]) {
      input.removeAttribute("aria-invalid");
      write(row, edge);
      input.setAttribute("aria-label", `${edge} of ${name} at ${paint.clock(segment.start)}`);
    }
    length.textContent = `${(segment.end - segment.start).toFixed(1)} s`;
    score.textContent = Number.isFinite(segment.score) ? segment.score.toFixed(2) : "by hand";
  }

  // A time as it is read, exact while it is edited; what was typed and is no time stays to be mended.
  function write(row, edge) {
    const input = row.cells_[edge], exact = edits.exact(row.segment[edge]);
    input.title = exact;
    if (!input.hasAttribute("aria-invalid")) input.value = input === typing ? exact : paint.clock(row.segment[edge]);
  }

  function typed(row, edge) {
    const { segment } = row, input = row.cells_[edge], seconds = edits.seconds(input.value);
    const place = list.indexOf(segment), stays = input === document.activeElement;
    if (input.value === edits.exact(segment[edge])) return;
    if (!move(segment, edge, seconds)) return input.setAttribute("aria-invalid", "true");
    if (!list.includes(segment)) follow(row, place);
    write(row, edge);
    if (stays) { input.focus(); input.select(); }
  }

  // Where a changed segment has another place among the others now, its row goes along, and the focus with it.
  function follow(row, place) {
    const to = list.indexOf(chosen), other = rows.get(to);
    if (to === place || !other) return;
    rows.set(to, row).set(place, other);
    draw();
  }

  function draw() {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
    const last = Math.min(list.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + SPARE);
    for (const [place, row] of rows) if (place < first || place >= last) { row.remove(); rows.delete(place); }
    let before = above;
    for (let place = first; place < last; place++) {
      let row = rows.get(place);
      if (!row) { row = made(); rows.set(place, row); }
      if (before.nextSibling !== row) before.after(row);
      if (row.segment !== list[place]) fill(row, list[place]);
      row.setAttribute("aria-rowindex", place + 2);
      row.classList.toggle("chosen", row.segment === chosen);
      if (row.segment === chosen) row.cells_.jump.setAttribute("aria-current", "true"); else row.cells_.jump.removeAttribute("aria-current");
      before = row;
    }
    above.style.height = `${first * ROW}px`; below.style.height = `${(list.length - last) * ROW}px`;
    above.hidden = !first; below.hidden = last >= list.length;
  }

  function show(segments) { list = segments; table.setAttribute("aria-rowcount", list.length + 1); draw(); }

  // Mark a row, and have it in sight.
  function mark(segment) {
    chosen = segment;
    const place = list.indexOf(segment), head = table.tHead.offsetHeight + table.caption.offsetHeight;
    if (place >= 0) {
      const top = head + place * ROW;
      if (top < box.scrollTop + head || top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = Math.max(0, top - box.clientHeight / 2);
    }
    draw();
  }

  box.addEventListener("scroll", () => requestAnimationFrame(draw));
  return { show, mark };
};
