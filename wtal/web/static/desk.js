"use strict";
// The page: which video is open, what others did to it, and what is taken along.

server.ask("GET", "/api/desk").then((book) => {
  const $ = (id) => document.getElementById(id);
  const player = $("player"), canvas = $("lanes");
  const sessions = new Map(); // key -> what was corrected while this page is open
  let key = null, wanted = null; // what is open, and what is being opened
  let fits = null; // the revision that was made of another file than the open one, null: it is the same
  let seen = {}; // what the list said of the open video when it was loaded, or last looked at

  $("folder").textContent = book.folder;
  $("run").textContent = `what happens when, as ${book.run} sees it`;
  $("operating").textContent = book.operating;
  $("file").accept = book.suffixes.join(",");

  const play = () => { if (player.paused) player.play().catch(() => {}); else player.pause(); };
  const bench = correcting({
    $, book,
    timelineWith: (on, keys) => timeline({
      canvas, overview: $("overview"), tip: $("tip"), chips: $("chips"), player, clock: $("clock"), said: $("said"), book,
      on: { ...on, moved: () => place.moved() },
      keys: { " ": play, n: () => next(1), p: () => next(-1), "?": () => $("keys").showModal(), ...keys },
    }),
  });
  const { lanes } = bench;
  const list = shelf({ list: $("videos"), find: $("find"), count: $("count"), open: (one) => step(one, true), news });
  const jobs = work({ $, list, opened: () => key, say: lanes.say });
  const sending = uploads({
    list: $("uploads"), about: () => book, open: (one) => step(one, true),
    arrived: (one, alone) => list.look().then(() => { if (alone) step(one, true); }),
  });
  const place = address({
    where: () => key !== null && key === wanted && { video: lanes.video.name, t: lanes.head.toFixed(1) },
    changed: ({ name, seconds }) => { const video = named(name); if (video) open(video.key, seconds); },
  });
  taking({ $, formats: book.formats, session: () => sessions.get(key), sure: () => bench.sure, found: () => lanes.video.edges.length > 0 });

  // ---- opening a video

  const nothing = () => ({
    edges: [], truth: [], results: [], proposals: [], attention: [], lines: [], cas: [], low: 0, high: 1, weakest: 0, surest: 1, classes: [],
  });

  const named = (name) => list.videos.find((video) => video.name === name);

  // Resolves to whether it is open now.
  async function open(one, seconds = 0) {
    wanted = one;
    list.mark(one); list.reveal();
    const before = sessions.get(key), own = sessions.get(one), revision = own && own.revision;
    if (before && one !== key) before.save();
    try {
      const told = await server.ask("GET", `/api/videos/${one}`);
      if (wanted !== one) return false;
      if (own && own.file === told.file && own.revision === revision) own.adopt(told.corrections); // else it was saved meanwhile
      show(told, seconds);
      return true;
    } catch (error) {
      if (!error.gone && !error.status) throw error;
      lanes.say(`It could not be opened: ${error.message}.`);
      if (wanted === one) { wanted = key; list.mark(key); }
      return false;
    }
  }

  // The reader opens a video: back goes to the one before.
  async function step(one, focus = false) {
    const another = key !== null && one !== key;
    if (!await open(one)) return;
    if (another) place.step();
    if (!focus) return;
    canvas.focus({ preventScroll: true });
    if ($("viewer").getBoundingClientRect().top > innerHeight / 2) $("viewer").scrollIntoView();
  }

  function show(told, seconds) {
    const before = sessions.get(told.key), left = before && before.file !== told.file && before.dirty();
    const own = sessionOf(told), there = list.of(told.key) || {}, another = told.key !== key || there.file !== seen.file;
    key = told.key; seen = there;
    $("welcome").hidden = true; $("viewer").hidden = false;
    $("name").textContent = told.name;
    document.title = `${told.name} · ${book.folder}`;
    if (another) load();
    const latest = own.now ? own.now.reduce((end, segment) => Math.max(end, segment.end), 0) : 0;
    const long = told.duration || (!another && Number.isFinite(player.duration) && player.duration) || 0;
    const video = { ...(told.packed ? paint.unpack(told.packed) : nothing()), key, name: told.name, end: Math.max(long, latest), measured: long > 0 };
    bench.open(video, own, told.thresholds, seconds);
    fits = told.replaced ? own.revision : null;
    $("bench").hidden = !video.end;
    if (!video.end) $("clock").textContent = "";
    lanes.resize();
    sending.opened(key);
    tell();
    place.moved();
    if (left) lanes.say("Another file has this name now; what was not saved yet was made for the one before, and is left out.");
  }

  function load() {
    $("job").hidden = true; $("remarks").replaceChildren(); $("said").textContent = "";
    player.hidden = false;
    player.src = `/api/videos/${key}/file`;
  }

  // What stands around the timeline besides: how far the search is, and what is wrong with the file.
  function tell() {
    const there = list.of(key), own = sessions.get(key);
    if (key !== null && !own) return; // it is being opened at the place where it is now
    const missing = key !== null && (!there || own.lost);
    jobs.show();
    $("replaced").hidden = fits === null || own.revision !== fits;
    $("missing").hidden = !missing;
    if (missing) say($("missing"), lost(own));
    $("trouble").hidden = missing || !player.hidden;
    if (!$("trouble").hidden) say($("trouble"), unplayable(there));
  }
  const say = (line, text) => { if (line.textContent !== text) line.textContent = text; };
  const lost = (own) => `${lanes.video.name} is not in the folder any more.` + (own.dirty() ? " To keep what is not saved, put the file back." : "");
  const unplayable = ({ state }) => "This browser cannot play the file"
    + (!$("bench").hidden ? "; its timeline can be seen and corrected all the same." : state === "new" ? "; find what happens to see its timeline." : ".");

  function sessionOf(told) {
    const before = sessions.get(told.key);
    if (before && before.file === told.file) return before;
    const own = session({
      key: told.key, file: told.file, corrections: told.corrections,
      listOf: (segments) => segments.map(({ label, start, end, score }) => ({ kind: Number.isFinite(score) ? "result" : "corrected", label: bench.labelOf(label), start, end, score })),
      sentOf: (segments) => edits.sent(segments, book.classes),
      changed: () => { if (bench.session === own) { bench.follow(); tell(); } },
    });
    sessions.set(told.key, own);
    return own;
  }

  // A video in which nothing was looked for yet is as long as the browser says.
  player.addEventListener("loadedmetadata", () => {
    const { video } = lanes;
    if (!video || video.measured || !Number.isFinite(player.duration)) return;
    video.end = Math.max(video.end, player.duration); video.measured = true;
    $("bench").hidden = false;
    lanes.show(0, video.end);
    lanes.refresh();
    lanes.resize();
  });
  player.addEventListener("error", () => {
    if (player.hidden || !player.getAttribute("src")) return;
    player.hidden = true;
    tell();
  });

  const next = (by) => { const other = list.beside(key, by); if (other && other !== key) step(other); };

  // ---- what others did

  const isNews = (video) => video.file !== seen.file || (video.state === "done" && seen.state !== "done");

  // What was corrected here goes on at the video where it is now; whether the open video is one of these.
  function followMoved() {
    for (const [old, own] of [...sessions]) {
      const to = list.moved[old];
      if (!to || !list.of(to) || sessions.has(to)) continue;
      own.follow(to);
      sessions.set(to, own); sessions.delete(old);
    }
    return wanted === key && !bench.dragging && !sessions.has(key) && sessions.has(list.moved[key]);
  }

  // After each look at the list: the open video's own news, and what another page saved of it.
  async function news() {
    if (followMoved()) return open(list.moved[key], lanes.head);
    tell();
    for (const own of sessions.values()) if (own.lost && list.of(own.key)) own.save(); // it is back
    if (wanted === null) return start();
    const video = list.of(key), own = sessions.get(key);
    if (!video) seen = {}; // loaded anew where it comes back
    if (!video || wanted !== key || bench.dragging) return;
    const revision = own.revision;
    if (isNews(video)) return open(key, lanes.head);
    seen = video;
    if (own.dirty() || video.revision === revision) return;
    const told = await server.ask("GET", `/api/videos/${key}`);
    if (told.key === key && own.revision === revision && !bench.dragging && own.adopt(told.corrections)) lanes.say("Somebody else changed this timeline; it is shown as it is now.");
  }

  // ---- the page around

  function start() {
    const { name, seconds } = place.read(), asked = named(name), { videos } = list;
    const first = asked || videos.find((video) => video.state === "done") || videos[0];
    if (first) return open(first.key, asked ? seconds : 0);
    $("welcome-text").textContent = `There are no videos in ${book.folder} yet. Drop one here, or copy it into that folder: it appears by itself.`;
  }

  server.onReached((trouble) => {
    const back = !$("gone").hidden && !trouble;
    $("gone").hidden = !trouble;
    if ($("gone").textContent !== trouble) $("gone").textContent = trouble;
    if (back) for (const own of sessions.values()) own.save();
  });

  addEventListener("keydown", (event) => {
    const { target, key: pressed } = event, plain = pressed.toLowerCase();
    if ($("keys").open) return;
    if (event.ctrlKey || event.metaKey) {
      if (!bench.session || !["s", "z", "y"].includes(plain) || (plain !== "s" && target.closest("input:not([type=range])"))) return;
      event.preventDefault();
      if (bench.dragging) return;
      if (target.matches("input")) target.dispatchEvent(new Event("change")); // what is being typed is meant, too
      if (plain === "s") bench.session.save(); else if (plain === "z" && !event.shiftKey) bench.undo(); else bench.redo();
      return;
    }
    if ($("viewer").hidden || target.closest("input:not([type=range]), select, video, .shelf")) return;
    if (target.closest("button, a, summary") && [" ", "Enter"].includes(pressed)) return;
    if (target.closest(".scroll, input") && pressed.startsWith("Arrow")) return;
    if (!$("bench").hidden) lanes.press(event);
  });
  $("skip").addEventListener("click", (event) => { event.preventDefault(); canvas.focus(); });
  $("ask").addEventListener("click", () => $("keys").showModal());
  $("close").addEventListener("click", () => $("keys").close());

  $("file").addEventListener("change", (event) => { sending.take([...event.target.files]); event.target.value = ""; });
  const holdsFiles = (event) => event.dataTransfer && event.dataTransfer.types.includes("Files");
  addEventListener("dragover", (event) => { if (holdsFiles(event)) { event.preventDefault(); document.body.classList.add("dropping"); } });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (holdsFiles(event)) { event.preventDefault(); sending.take([...event.dataTransfer.files]); }
  });

  addEventListener("focus", list.look);
  addEventListener("visibilitychange", () => { if (document.hidden) for (const own of sessions.values()) own.save(); });
  addEventListener("beforeunload", (event) => {
    if (sending.busy || [...sessions.values()].some((own) => own.dirty())) event.preventDefault();
  });
  new ResizeObserver(lanes.resize).observe($("viewer"));
  list.look();
}).catch((error) => { document.getElementById("welcome-text").textContent = `The page cannot be shown: ${error.message}.`; });
