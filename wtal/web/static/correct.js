"use strict";
// The open video's timeline under the reader's hands, and every way to correct it.

const correcting = ({ $, book, timelineWith }) => {
  const NEW = 1 / 20, LEAST_NEW = 1; // a new segment's share of what is seen, and seconds
  let one = null; // the session of the open video
  let label = null; // of what is added next, null: not known yet
  let picked = null; // {key, label}: the class that the reader wrote last, and in which video
  let drawn; // the list that is drawn
  let draft = null; // while an edge is dragged

  const lanes = timelineWith({
    stretch: (segment, edge, seconds) => {
      const list = base();
      if (!list.includes(segment)) return; // another timeline was opened meanwhile
      draft = edits.stretch(list, segment, edge, seconds, lanes.video.end);
      compose(draft.list);
      lanes.mark(draft.segment);
    },
    stretched: (kept) => {
      const done = draft;
      draft = null;
      if (!kept || !done) return compose(one.now);
      apply(done);
      if (done.segment.start >= lanes.window.from && done.segment.end <= lanes.window.to) lanes.tell(done.segment);
    },
    twice: ({ block, segment, seconds }) => {
      if (!block || !block.editable || segment) return false;
      add(seconds);
      return true;
    },
    chose: () => { showChosen(); },
    refreshed: () => { rows.show(lanes.listed()); describe(); },
  }, {
    a: () => add(lanes.head), s: () => split(), l: () => $("label").focus(), Delete: () => remove(), Backspace: () => remove(),
    "[": () => setEdge("start"), "]": () => setEdge("end"), z: () => undo(), Z: () => redo(),
  });
  const rows = sheet({
    box: $("segments-box"), table: $("segments-table"), body: $("segments"), classes: book.classes,
    choose: (segment) => { lanes.choose(segment); $("lanes").focus({ preventScroll: true }); }, move: (...edit) => typed(...edit),
  });

  // ---- classes, by their place in book.classes; a new one is put at its end

  function labelOf(name) {
    const place = book.classes.indexOf(name);
    if (place >= 0) return place;
    offer(name);
    return book.classes.push(name) - 1;
  }
  function offer(name) { const option = document.createElement("option"); option.value = name; $("classes").append(option); }
  book.classes.forEach(offer);

  // ---- what is shown

  const sure = sureness({ $, book, labelOf, moved: () => {
    compose(one.now);
    if (one.now) $("said").textContent = "This moves the result; what you corrected stays as it is.";
  } });
  const base = () => one.now || sure.found();

  // The video's lanes around a list of corrected segments, null where there is none.
  function arrange(video, list) {
    const result = sure.found();
    drawn = list;
    video.lanes = list
      ? [{ name: "corrected", segments: list, outlined: true, editable: true }, { name: "result", segments: result, aside: true }]
      : [{ name: "timeline", segments: result, editable: true }];
    const own = video.lanes.flatMap((lane) => lane.segments.map((segment) => segment.label));
    video.coloured = [...new Set([...own, ...video.lines])].slice(0, 10);
    video.classes = [...new Set([...video.classes, ...own])];
  }

  function compose(list) {
    const { video, chosen } = lanes, classes = video.classes.length;
    arrange(video, list);
    if (video.classes.length > classes) lanes.drawChips();
    lanes.refresh();
    if (!chosen || draft) return;
    const there = video.lanes.flatMap((lane) => lane.segments);
    if (!there.includes(chosen)) lanes.mark(there.find((s) => s.label === chosen.label && (s.start === chosen.start || s.end === chosen.end)) || null);
  }

  function describe() {
    const { video } = lanes, [{ name, segments }] = video.lanes, many = segments.filter(lanes.shown).length;
    const count = (all, what) => `${all} ${what}${all === 1 ? "" : "s"}`, how = name === "corrected" ? "corrected" : "as found";
    $("caption").textContent = many ? `What happens when: ${count(many, "segment")}, ${how}`
      : segments.length ? "All classes that happen here are hidden; choose them above the timeline"
      : name === "corrected" ? "Nothing happens here, as it was corrected"
      : video.results.length ? "Nothing is sure enough to be shown; move “how sure” to the left, or add a segment"
      : video.edges.length ? "Nothing was found; add a segment where something happens" : "Nothing is marked yet; find what happens, or add a segment";
    $("lanes").setAttribute("aria-label", `Timeline of ${video.name}, ${paint.clock(video.end)} long: ${count(many, "segment")} ${how}, ${count(video.proposals.filter(lanes.shown).length, "proposal")}`);
  }

  function showChosen() {
    const segment = mine();
    rows.mark(lanes.chosen);
    if (segment) label = segment.label;
    showLabel();
    for (const id of ["split", "remove", "from-here", "to-here"]) $(id).disabled = !segment;
  }
  function showLabel() {
    const field = $("label"), name = label === null ? "" : book.classes[label];
    if (document.activeElement === field) field.placeholder = name; else field.value = name;
  }

  // After the session did something: the state in words, the buttons, and the lanes where the list is another one.
  function follow() {
    if (one.now !== drawn && lanes.video && !draft) compose(one.now);
    $("saved").textContent = one.said();
    $("saved").classList.toggle("wrong", one.faulty || Boolean(one.conflict()));
    $("undo").disabled = !one.undoable; $("redo").disabled = !one.redoable; $("discard").disabled = !one.now;
    $("conflict").hidden = !one.conflict(); $("conflict-text").textContent = one.conflict();
  }

  // Show a video: what was found in it, its session, and the thresholds that the server tells.
  function open(video, own, told, seconds) {
    const again = lanes.video && lanes.video.key === video.key;
    one = own; draft = null;
    sure.open(video, told);
    arrange(video, one.now);
    label = again && picked && picked.key === video.key ? picked.label : usual(video);
    lanes.open(video, seconds);
    showChosen(); follow();
  }

  // The class that is added where the reader says none: that of the first segment, else of what was found, else the last he wrote.
  function usual(video) {
    const [first, ...others] = video.lanes[0].segments;
    if (first) return others.reduce((least, segment) => (segment.start < least.start ? segment : least), first).label;
    return video.classes.length ? video.classes[0] : picked && picked.label;
  }

  // ---- correcting

  // The chosen segment, where it is of the timeline.
  function mine() {
    const { chosen, video } = lanes;
    return chosen && video && video.lanes[0].segments.includes(chosen) ? chosen : null;
  }
  function apply(edit) {
    one.change(edit.list);
    lanes.mark(edit.segment);
  }
  const need = (segment) => { if (!segment) lanes.say("Choose a segment first: click it, or use the up and down arrows."); return segment; };

  function add(seconds) {
    if (label === null) { $("label").focus(); return lanes.say("Write the class of what happens here, then add it."); }
    const length = Math.max(LEAST_NEW, (lanes.window.to - lanes.window.from) * NEW);
    const edit = edits.add(base(), label, seconds, length, lanes.video.end);
    if (!edit) return lanes.say(`${book.classes[label]} is marked here already, or the video ends; go to an empty place, or choose another class.`);
    apply(edit);
    lanes.say(`added ${lanes.describe(edit.segment, ", ")}`);
  }
  function split() {
    const segment = need(mine());
    if (!segment) return;
    const edit = edits.split(base(), segment, lanes.head);
    if (!edit) return lanes.say("Move the play head inside the chosen segment to split it there.");
    apply(edit);
    lanes.say(`split at ${paint.clock(lanes.head)}`);
  }
  function remove() {
    const segment = need(mine());
    if (!segment) return;
    apply(edits.remove(base(), segment));
    lanes.say(`deleted ${lanes.describe(segment, ", ")}`);
  }
  function setEdge(edge) {
    const segment = need(mine());
    if (segment && !moved(segment, edge, lanes.head)) lanes.say(`The ${edge} must lie ${edge === "start" ? "before the end" : "after the start"}.`);
  }
  function typed(segment, edge, seconds) {
    if (seconds === null) { lanes.say("This is no time; write it as 1:23.45, or as 83.45 seconds."); return false; }
    const done = moved(segment, edge, seconds);
    if (!done) lanes.say(`The ${edge} must lie ${edge === "start" ? "before the end" : "after the start, and within the video"}.`);
    return done;
  }
  function moved(segment, edge, seconds) {
    if (segment[edge] === seconds) return true;
    const edit = edits.stretch(base(), segment, edge, seconds, lanes.video.end);
    if (Math.abs(edit.segment[edge] - seconds) > 1e-9) return false;
    apply(edit);
    lanes.say(lanes.describe(edit.segment, ", "));
    return true;
  }
  function relabel(text) {
    const name = text.trim();
    if (!name) return;
    if (/[[\];|\r\n]/.test(name)) return lanes.say("A class may not have brackets, semicolons or bars in its name; leave them out.");
    if (/^[\d.,:\s]+(-|to)[\d.,:\s]+$/.test(name)) return lanes.say("This reads as times; give the class a name with letters.");
    label = labelOf(name);
    picked = { key: one.key, label };
    const segment = mine();
    if (segment && segment.label !== label) apply(edits.relabel(base(), segment, label));
    lanes.say(segment ? `now ${name}` : `added next: ${name}`);
  }
  function undo() { lanes.say(one.undo() ? "undone" : "There is nothing to undo."); }
  function redo() { lanes.say(one.redo() ? "done again" : "There is nothing to do again."); }
  function discard() { one.change(null); lanes.say("The corrections are discarded; undo brings them back."); }

  for (const [id, act] of Object.entries({
    add: () => add(lanes.head), split, remove, "from-here": () => setEdge("start"), "to-here": () => setEdge("end"), undo, redo, discard,
    take: () => one.take(), keep: () => one.keep(),
    in: () => lanes.zoom(0.5), out: () => lanes.zoom(2), whole: () => lanes.show(0, lanes.video.end),
  })) $(id).addEventListener("click", act);

  // While it has the focus the name stands aside, so that all classes are offered.
  $("label").addEventListener("focus", (event) => { event.target.placeholder = event.target.value; event.target.value = ""; });
  $("label").addEventListener("change", (event) => relabel(event.target.value));
  $("label").addEventListener("blur", () => showLabel());
  $("label").addEventListener("keydown", (event) => {
    if (event.key === "Escape") event.target.value = "";
    if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); $("lanes").focus({ preventScroll: true }); }
  });

  return { lanes, open, follow, labelOf, undo, redo, get session() { return one; }, get dragging() { return draft !== null; }, get sure() { return sure.value; } };
};
