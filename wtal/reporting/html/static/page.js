"use strict";
// The report around its timelines: the list of videos, the filters, the table, the memory. A video's data is unpacked
// when it is opened.
(() => {
  const $ = (id) => document.getElementById(id);
  const book = JSON.parse($("index").textContent);
  const canvas = $("lanes"), player = $("player");
  const KEPT = 8; // videos that stay unpacked
  const opened = new Map();

  function unpack(place) {
    if (opened.has(place)) return opened.get(place);
    const told = paint.unpack($("v" + place).textContent);
    const lanes = [{ name: "truth", segments: told.truth, outlined: true }, { name: "result", segments: told.results }];
    const found = { place, ...book.videos[place], ...told, lanes: told.truth.length ? lanes : lanes.slice(1), coloured: told.lines.slice(0, 10) };
    opened.set(place, found);
    if (opened.size > KEPT) opened.delete(opened.keys().next().value);
    return found;
  }

  const sure = (score) => (score && Math.abs(score) < 0.1 ? score.toPrecision(2) : score.toFixed(2)); // 0.0011 is not 0.00
  function tellLeast(text) { $("least-value").textContent = text; $("least").setAttribute("aria-valuetext", text || "all scores are the same"); }

  const tiou = (a, b) => {
    const shared = Math.min(a.end, b.end) - Math.max(a.start, b.start);
    return shared <= 0 ? 0 : shared / (a.end - a.start + b.end - b.start - shared);
  };

  // The segment of the other side that it overlaps most, of its own label if there is one.
  function match(segment) {
    const others = segment.kind === "truth" ? lanes.video.results : lanes.video.truth;
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

  function matched(segment) {
    const found = match(segment);
    if (found) {
      const as = found.other.label === segment.label ? "" : `${book.classes[found.other.label]}, `;
      return [`tIoU ${found.shared.toFixed(2)} with ${segment.kind === "truth" ? "the result" : "the truth"}, ${as}${paint.clock(found.other.start)} to ${paint.clock(found.other.end)}`];
    }
    return segment.kind === "truth" ? ["no result overlaps it"] : lanes.video.truth.length ? ["overlaps no truth"] : [];
  }

  const play = () => {
    if (player.hidden) return lanes.say("There is no video file to play; name the folder of the videos with --videos.");
    if (player.paused) player.play().catch(() => {}); else player.pause();
  };
  const lanes = timeline({
    canvas, overview: $("overview"), tip: $("tip"), chips: $("chips"), player, clock: $("clock"), said: $("said"), book,
    more: matched, on: { refreshed: () => drawTable() },
    keys: { " ": play, n: () => next(1), p: () => next(-1), "?": () => $("keys").showModal() },
  });

  // ---- the list of videos, the filters, the table

  const rowsOfList = book.videos.map((told, place) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const part = (style, text) => { const span = document.createElement("span"); span.className = style; span.textContent = text; button.append(span); };
    part("id", told.id); part("time", paint.clock(told.end, 1));
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

  function drawTable() {
    const { video, shown } = lanes;
    $("segments").replaceChildren(...lanes.listed().map((segment) => {
      const found = match(segment), row = document.createElement("tr"), name = document.createElement("th"), jump = document.createElement("button");
      name.scope = "row"; name.textContent = book.classes[segment.label];
      row.append(name);
      jump.textContent = paint.clock(segment.start);
      jump.addEventListener("click", () => lanes.choose(segment));
      const same = found && found.other.label === segment.label;
      const cells = [jump, paint.clock(segment.end), `${(segment.end - segment.start).toFixed(1)} s`, segment.kind === "truth" ? "" : segment.score.toFixed(2), segment.kind,
        found ? (same ? "" : `${book.classes[found.other.label]} `) + found.shared.toFixed(2) : video.truth.length ? "none" : ""];
      for (const cell of cells) { const td = document.createElement("td"); td.append(cell); row.append(td); }
      return row;
    }));
    canvas.setAttribute("aria-label", `Timeline of ${video.id}, ${paint.clock(video.end)} long: ${video.truth.filter(shown).length} true actions, ${video.results.filter(shown).length} in the result, ${video.proposals.filter(shown).length} proposals`);
  }

  function open(place, seconds = 0) {
    const before = lanes.video && rowsOfList[lanes.video.place].button;
    if (before) before.removeAttribute("aria-current");
    const video = unpack(place), row = rowsOfList[place];
    row.button.setAttribute("aria-current", "true");
    const list = $("videos"), top = row.item.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + 50 > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
    $("name").textContent = video.id;
    $("printed").textContent = rowsOfList.length > 1 ? `1 of ${rowsOfList.length} videos; open the page to see the others` : "";
    const slider = $("least");
    slider.disabled = !(video.surest > video.weakest);
    slider.min = slider.disabled ? 0 : video.weakest; slider.max = slider.disabled ? 1 : video.surest; slider.value = slider.min;
    tellLeast(slider.disabled ? "" : sure(video.weakest));
    load(video.file);
    lanes.open(video, seconds);
  }

  function load(file) {
    $("trouble").hidden = true;
    player.pause();
    player.hidden = !file;
    if (file) player.src = file; else player.removeAttribute("src");
  }

  const next = (by) => {
    const there = rowsOfList.map((row, place) => place).filter((place) => !rowsOfList[place].item.hidden);
    const at = there.indexOf(lanes.video.place);
    if (there.length) open(there[Math.min(Math.max(0, at + by), there.length - 1)]);
  };

  // ---- what the reader does

  canvas.addEventListener("keydown", lanes.press);
  $("in").addEventListener("click", () => lanes.zoom(0.5));
  $("out").addEventListener("click", () => lanes.zoom(2));
  $("whole").addEventListener("click", () => lanes.show(0, lanes.video.end));
  $("ask").addEventListener("click", () => $("keys").showModal());
  $("close").addEventListener("click", () => $("keys").close());
  $("find").addEventListener("input", filterList);
  $("least").addEventListener("input", (event) => {
    const least = +event.target.value;
    tellLeast(sure(least));
    lanes.filter(least <= lanes.video.weakest ? -Infinity : least);
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
  player.addEventListener("error", () => {
    if (player.hidden) return;
    player.hidden = true;
    $("trouble").hidden = false;
    $("trouble").textContent = `The video file ${decodeURI(lanes.video.file)} cannot be played; it was moved, or the browser does not know its format.`;
  });

  // ---- the memory's cosines

  function drawAlike() {
    const target = $("alike");
    if (!target || !book.alike || !target.clientWidth) return;
    const { names } = book.alike, count = names.length, gutter = target.clientWidth < 500 ? 90 : 170;
    const cell = Math.max(1, Math.min(44, (target.clientWidth - gutter - 70) / count)), head = cell >= 12 ? 110 : 4;
    const most = Math.max(0.3, ...Array.from(cosines, (value, i) => (i % (count + 1) ? Math.abs(value / 127 - 1) : 0)));
    const pen = paint.sized(target, target.clientWidth, head + cell * count), ink = lanes.look.text;
    pen.font = "12px system-ui, sans-serif"; pen.textBaseline = "middle";
    for (let i = 0; i < count; i++) {
      if (cell >= 12) {
        pen.fillStyle = ink; pen.textAlign = "right";
        pen.fillText(paint.elided(pen, names[i], gutter - 10), gutter - 8, head + (i + 0.5) * cell);
        pen.save(); pen.translate(gutter + (i + 0.5) * cell, head - 6); pen.rotate(-Math.PI / 3); pen.textAlign = "left";
        pen.fillText(paint.elided(pen, names[i], 110), 0, 0); pen.restore();
      }
      for (let j = 0; j < count; j++) {
        if (i === j) continue;
        const cosine = cosines[i * count + j] / 127 - 1;
        pen.fillStyle = cosine < 0 ? "#E69F00" : "#0072B2"; pen.globalAlpha = 0.9 * Math.abs(cosine) / most;
        pen.fillRect(gutter + j * cell, head + i * cell, Math.max(1, cell - 1), Math.max(1, cell - 1));
        pen.globalAlpha = 1;
        if (cell >= 30) {
          pen.fillStyle = !lanes.dark() && cosine > 0.6 * most ? "#FFFFFF" : ink; pen.textAlign = "center";
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

  const resize = () => { lanes.resize(); drawAlike(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", resize);
  new ResizeObserver(resize).observe(document.querySelector("main"));
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
    lanes.dress(true); drawAlike(); lanes.draw();
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; lanes.dress(false); resize(); });

  lanes.dress(); // before the first video, whose chips have the theme's colours
  filterList();
  const wanted = new URLSearchParams(location.hash.slice(1)).get("video");
  open(Math.max(0, book.videos.findIndex((told) => told.id === wanted)));
})();
