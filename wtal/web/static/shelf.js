"use strict";
// The list of the folder's videos, as the server tells it every now and then.

const shelf = ({ list, find, count, open, news }) => {
  const OFTEN = 1000, SELDOM = 5000, GONE = 2000; // ms between looks: while there is work, without, while nobody answers
  const rows = new Map(); // key -> {item, button, spans, text}
  let videos = [], moved = {}, tag = "", timer = 0, turns = 0, current = null;

  // What the list says of a video.
  function state(video) {
    const { state, labels, duration, second, place, reason, corrected } = video;
    if (state === "waiting") return place > 1 ? `waits, ${place - 1} before it` : "waits, next in the queue";
    if (state === "working") return duration ? `at ${paint.clock(second, 1)} of ${paint.clock(duration, 1)}` : "is being opened";
    if (state === "failed") return `failed: ${reason}`;
    if (state === "cancelled" && !corrected) return `cancelled ${reason}`;
    const what = labels.join(", ");
    if (corrected) return `corrected: ${what || "nothing happens"}`;
    if (state === "done") return what || "nothing sure enough found";
    return "not looked at yet";
  }

  function made(video) {
    const item = document.createElement("li"), button = document.createElement("button"), spans = {};
    for (const style of ["id", "time", "labels"]) {
      spans[style] = document.createElement("span");
      spans[style].className = style;
      button.append(spans[style]);
    }
    button.addEventListener("click", () => open(video.key));
    item.append(button);
    return { item, button, spans };
  }

  function set(span, text) { if (span.textContent !== text) span.textContent = text; }

  function draw() {
    const there = new Set(videos.map((video) => video.key));
    for (const [key, row] of rows) if (!there.has(key)) { row.item.remove(); rows.delete(key); }
    videos.forEach((video, place) => {
      if (!rows.has(video.key)) rows.set(video.key, made(video));
      const row = rows.get(video.key), said = state(video);
      set(row.spans.id, video.name); set(row.spans.time, video.duration ? paint.clock(video.duration, 1) : ""); set(row.spans.labels, said);
      row.button.title = `${video.name}\n${said}`;
      row.text = [video.name, said].join("\n").toLowerCase();
      if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] || null);
    });
    mark(current);
    filter();
  }

  function filter() {
    const wanted = find.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows.values()) { row.item.hidden = !row.text.includes(wanted); shown += !row.item.hidden; }
    const all = videos.length === 1 ? "1 video" : `${videos.length} videos`;
    set(count, shown === videos.length ? all : shown ? `${shown} of ${all}` : "No video has this in its name or its classes; try a part of it.");
  }

  function mark(key) {
    current = key;
    for (const [one, row] of rows) if (one === key) row.button.setAttribute("aria-current", "true"); else row.button.removeAttribute("aria-current");
  }
  function reveal() {
    const row = rows.get(current), top = row ? row.item.offsetTop - list.offsetTop : 0;
    if (row && (top < list.scrollTop || top + 44 > list.scrollTop + list.clientHeight)) list.scrollTop = top - list.clientHeight / 3;
  }

  const atWork = () => videos.some((video) => video.state === "waiting" || video.state === "working");
  async function look() {
    clearTimeout(timer);
    let pause = GONE;
    const turn = ++turns;
    try {
      const answer = await server.news("/api/videos", tag);
      if (turn !== turns) return;
      if (answer.told) { ({ videos, moved } = answer.told); tag = answer.tag; draw(); }
      pause = atWork() ? OFTEN : SELDOM;
      await news();
    } catch (error) {
      if (!error.gone && !error.status) throw error;
    } finally {
      if (turn === turns) timer = setTimeout(look, pause);
    }
  }

  find.addEventListener("input", filter);
  return {
    look, mark, reveal, state,
    get videos() { return videos; }, get moved() { return moved; },
    of: (key) => videos.find((video) => video.key === key),
    // The video `by` places on from one among those that the search leaves.
    beside: (key, by) => {
      const there = videos.filter((video) => !rows.get(video.key).item.hidden), at = there.findIndex((video) => video.key === key);
      return there.length ? there[Math.min(Math.max(0, at + by), there.length - 1)].key : null;
    },
  };
};
