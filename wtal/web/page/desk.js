"use strict";
// The page: which video is open, what others did to it, and what is taken along.

server.ask("GET", "/api/desk").then((book) => {
  const $ = (id) => document.getElementById(id);
  const player = $("player"), canvas = $("lanes");
  const sessions = new Map(); // key -> what was corrected while this page is open
  let key = null, wanted = null; // what is open, and what is being opened
  let seen = ""; // the state in the list in which the open video was loaded
  let hashTimer = 0;

  $("folder").textContent = book.folder;
  $("run").textContent = `what happens when, as ${book.run} sees it`;
  $("operating").textContent = book.operating;
  $("file").accept = book.suffixes.join(",");
  for (const { name, ending } of book.formats) {
    const option = document.createElement("option");
    option.value = name; option.textContent = `${name} (${ending})`;
    $("format").append(option);
  }

  const play = () => { if (player.paused) player.play().catch(() => {}); else player.pause(); };
  const bench = correcting({
    $, book,
    timelineWith: (on, keys) => timeline({
      canvas, overview: $("overview"), tip: $("tip"), chips: $("chips"), player, clock: $("clock"), said: $("said"), book,
      on: { ...on, moved: remember },
      keys: { " ": play, n: () => next(1), p: () => next(-1), "?": () => $("keys").showModal(), ...keys },
    }),
  });
  const { lanes } = bench;
  const list = shelf({ list: $("videos"), find: $("find"), count: $("count"), open: (one) => open(one, 0, true), news });
  const jobs = work({ $, list, opened: () => key, say: lanes.say });
  const sending = uploads({ list: $("uploads"), about: () => book, arrived: (one, alone) => list.look().then(() => { if (alone) open(one, 0, true); }) });

  // ---- opening a video

  const nothing = () => ({
    edges: [], truth: [], results: [], proposals: [], attention: [], lines: [], cas: [], low: 0, high: 1, weakest: 0, surest: 1, classes: [],
  });

  async function open(one, seconds = 0, focus = false) {
    wanted = one;
    list.mark(one); list.reveal();
    const before = sessions.get(key);
    if (before && one !== key) before.save();
    const told = await server.ask("GET", `/api/videos/${one}`).catch((error) => lanes.say(`It could not be opened: ${error.message}.`));
    if (told && wanted === one) show(told, seconds, focus);
  }

  function show(told, seconds, focus) {
    const own = sessionOf(told), another = told.key !== key;
    key = told.key; seen = seenOf(list.of(key));
    $("welcome").hidden = true; $("viewer").hidden = false;
    $("name").textContent = told.name;
    document.title = `${told.name} · ${book.folder}`;
    if (another) {
      $("trouble").hidden = $("job").hidden = true; $("remarks").replaceChildren(); $("said").textContent = "";
      player.hidden = false;
      player.src = `/api/videos/${key}/file`;
    }
    const latest = own.now ? own.now.reduce((end, segment) => Math.max(end, segment.end), 0) : 0;
    const long = told.duration || (!another && Number.isFinite(player.duration) && player.duration) || 0;
    const video = { ...(told.packed ? paint.unpack(told.packed) : nothing()), key, name: told.name, end: Math.max(long, latest), measured: long > 0 };
    bench.open(video, own, told.thresholds, seconds);
    $("bench").hidden = !video.end;
    lanes.resize();
    jobs.show();
    if (focus) {
      canvas.focus({ preventScroll: true });
      if ($("viewer").getBoundingClientRect().top > innerHeight / 2) $("viewer").scrollIntoView();
    }
    remember();
  }

  function sessionOf(told) {
    if (sessions.has(told.key)) sessions.get(told.key).adopt(told.corrections);
    else {
      sessions.set(told.key, session({
        key: told.key, corrections: told.corrections,
        listOf: (segments) => segments.map(({ label, start, end, score }) => ({ kind: Number.isFinite(score) ? "result" : "corrected", label: bench.labelOf(label), start, end, score })),
        sentOf: (segments) => edits.sent(segments, book.classes),
        changed: () => { if (bench.session && bench.session.key === told.key) bench.follow(); },
      }));
    }
    return sessions.get(told.key);
  }

  // A video in which nothing was looked for yet is as long as the browser says.
  player.addEventListener("loadedmetadata", () => {
    const { video } = lanes;
    if (!video || video.measured || !Number.isFinite(player.duration)) return;
    video.end = Math.max(video.end, player.duration); video.measured = true;
    $("bench").hidden = false;
    lanes.show(0, video.end);
    lanes.resize();
  });
  player.addEventListener("error", () => {
    if (player.hidden || !player.getAttribute("src")) return;
    player.hidden = true;
    $("trouble").hidden = false;
    $("trouble").textContent = "This browser cannot play the file; its timeline can be seen and corrected all the same.";
  });

  const next = (by) => { const other = list.beside(key, by); if (other && other !== key) open(other); };

  // ---- what others did

  const seenOf = (video) => (video ? `${video.state} ${video.size}` : "");

  // After each look at the list: the open video's own news, and what another page saved of it.
  async function news() {
    jobs.show();
    if (!list.videos.length) {
      $("welcome").hidden = false; $("viewer").hidden = true;
      $("welcome-text").textContent = `There are no videos in ${book.folder} yet. Drop one here, or copy it into that folder: it appears by itself.`;
      return;
    }
    if (key === null && wanted === null) return start();
    const video = list.of(key), own = sessions.get(key);
    if (!video || bench.dragging) return;
    const revision = own.revision;
    if (video.state === "done" && seen !== seenOf(video)) return open(key, lanes.head);
    seen = seenOf(video);
    if (own.dirty() || video.revision === revision) return;
    const told = await server.ask("GET", `/api/videos/${key}`);
    if (told.key === key && own.revision === revision && !bench.dragging && own.adopt(told.corrections)) lanes.say("Somebody else changed this timeline; it is shown as it is now.");
  }

  // ---- taking it along

  async function take() {
    const own = sessions.get(key), { sure } = bench;
    // The server has the scores in more digits than the page: one that is rounded up here must not be left out there.
    const least = !own.now && sure !== null ? `?least=${sure - 1e-7 * Math.abs(sure)}` : "";
    if (!own.now && !bench.lanes.video.edges.length) return remark("There is nothing to download yet: find what happens, or add a segment.");
    $("export").disabled = true;
    try {
      await own.save();
      const { file, remarks, content } = await server.ask("GET", `/api/videos/${key}/export/${$("format").value}${least}`);
      const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)), link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([bytes])); link.download = file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      remark(`${file} is downloaded${own.dirty() ? ", without what is not saved" : ""}.`, remarks);
    } catch (error) { remark(`Nothing was downloaded: ${error.message}.`); } finally { $("export").disabled = false; }
  }
  function remark(text, remarks = []) {
    const line = document.createElement("p"), all = document.createElement("ul");
    line.textContent = text + (remarks.length ? " What this format cannot hold:" : "");
    all.append(...remarks.map((one) => { const item = document.createElement("li"); item.textContent = one; return item; }));
    $("remarks").replaceChildren(line, ...(remarks.length ? [all] : []));
  }
  $("export").addEventListener("click", take);

  // ---- the page around

  function remember() {
    if (hashTimer || !key) return;
    hashTimer = setTimeout(() => {
      hashTimer = 0;
      const hash = `#${new URLSearchParams({ video: lanes.video.name, t: lanes.head.toFixed(1) })}`;
      if (location.hash !== hash) history.replaceState(null, "", hash);
    }, 500);
  }
  function start() {
    const hash = new URLSearchParams(location.hash.slice(1)), { videos } = list;
    const asked = videos.find((video) => video.name === hash.get("video"));
    const first = asked || videos.find((video) => video.state === "done") || videos[0];
    if (first) return open(first.key, asked ? Number(hash.get("t")) || 0 : 0);
  }
  addEventListener("hashchange", start);

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
