/**
 * The editor of the open video: its timeline, the table of segments, and the controls that change segments.
 * @import { Edge, Lane, Part, Segment, Shortcuts, TimelineListeners, VideoTimeline } from "./types"
 * @import { Config } from "./api-types"
 * @import { Edit } from "./edits"
 * @import { Session } from "./session"
 * @import { Timeline } from "./timeline"
 */
import { createClassField } from "./class-field.js";
import { CLASS_KEYS, createClassKeys } from "./class-keys.js";
import { getElement, setText } from "./dom.js";
import {
  addSegment,
  deleteSegment,
  isPoint,
  markSegment,
  moveEdge,
  moveSegment,
  relabelSegment,
  splitSegment,
} from "./edits.js";
import { formatCount, formatTime } from "./format.js";
import { createMarks } from "./marks.js";
import { createSegmentTable } from "./segment-table.js";
import { createThreshold } from "./threshold.js";

const NEW_SEGMENT_SHARE = 1 / 20; // length of a new segment relative to the visible range
const MIN_NEW_LENGTH = 1; // seconds
const KEY_STEP = 0.1; // seconds that a segment is moved by a key

/** @typedef {Omit<VideoTimeline, "lanes" | "coloredLabels">} OpenedVideo */

/**
 * @param {object} options
 * @param {Config} options.config
 * @param {() => number} options.getTime The time of the player in seconds.
 * @param {() => Iterable<string>} options.getOtherClasses Classes that other videos have.
 * @param {(listeners: TimelineListeners, shortcuts: Shortcuts) => Timeline} options.createTimeline
 */
export function createEditor({ config, getTime, getOtherClasses, createTimeline }) {
  const { classes } = config;
  const canvas = getElement("timeline", HTMLCanvasElement);
  /** The session of the open video. @type {Session | null} */
  let session = null;
  /** The class of the next new segment. @type {number | null} */
  let currentLabel = null;
  /** The class that the user entered last, and for which video. @type {{ key: string, label: number } | null} */
  let enteredLabel = null;
  /** The edited segments that are drawn. @type {Segment[] | null} */
  let drawnSegments = null;
  /** The result of a drag, until it is released. @type {Edit | null} */
  let draft = null;
  /** The segment that is dragged, as it was. @type {Segment | null} */
  let dragged = null;

  const timeline = createTimeline(
    {
      onDrag: (segment, part, seconds) => {
        const list = segments();
        if (!list.includes(segment)) return; // another video was opened in the meantime
        draft = movePart(list, segment, part, seconds);
        dragged = segment;
        showSegments(draft.list);
        timeline.select(draft.segment);
      },
      onDragEnd: (isKept) => {
        const edit = draft;
        draft = null;
        if (!isKept || !edit?.segment) {
          showSegments(session?.segments || null);
          return timeline.select(dragged);
        }
        apply(edit);
        const { from, to } = timeline.range;
        if (edit.segment.start >= from && edit.segment.end <= to) timeline.announceSegment(edit.segment);
      },
      onDoubleClick: ({ block, segment, seconds }) => {
        if (!block?.editable || segment) return false;
        add(seconds);
        return true;
      },
      onSelect: showSelection,
      onRefresh: () => {
        table.show(timeline.visibleSegments());
        describe();
      },
      onSeek: () => {
        if (keys.isHolding && keys.drafts().length) showSegments(withDrafts());
      },
    },
    {
      a: () => add(timeline.playhead),
      m: () => mark(currentLabel, getTime(), getTime()),
      s: split,
      c: () => marks.toggleComplete(),
      r: () => marks.toggleReviewed(),
      "Shift+ArrowLeft": () => moveSelected(-KEY_STEP),
      "Shift+ArrowRight": () => moveSelected(KEY_STEP),
      l: () => classField.focus(),
      Delete: remove,
      Backspace: remove,
      "[": () => setEdge("start"),
      "]": () => setEdge("end"),
      z: undo,
      Z: redo,
    },
  );
  const table = createSegmentTable({
    box: getElement("segments-box", HTMLElement),
    table: getElement("segments-table", HTMLTableElement),
    body: getElement("segments", HTMLElement),
    classes,
    onChoose: (segment) => {
      timeline.reveal(segment);
      canvas.focus({ preventScroll: true });
    },
    onTime: enterTime,
  });
  const classField = createClassField({
    classes,
    getOtherClasses,
    onEnter: enterLabel,
    showStatus: timeline.showStatus,
  });
  const keys = createClassKeys({
    getTime,
    countClasses: () => classes.length,
    onMark: mark,
    onCancel: () => showSegments(session?.segments || null),
  });
  const marks = createMarks({
    getSession: () => session,
    getSegments: () => segments(),
    showStatus: timeline.showStatus,
  });
  const threshold = createThreshold({
    classes,
    getModel: () => config.model,
    labelOf: classField.labelOf,
    onChange: () => {
      showSegments(session?.segments || null);
      if (session?.segments) timeline.showStatus("The threshold applies to the model output, not to edited segments.");
    },
  });

  // ---- what is shown

  /** The segments that an edit changes. */
  const segments = () => session?.segments || threshold.select();

  /** The segments with what the keys that are held add. */
  const withDrafts = () =>
    keys.drafts().reduce((list, { label, start, end }) => {
      const edit = markSegment(list, label, start, end);
      return edit ? edit.list : list;
    }, segments());

  /**
   * @param {OpenedVideo} video
   * @param {Segment[] | null} edited
   * @returns {VideoTimeline}
   */
  function withLanes(video, edited) {
    const predictions = threshold.select();
    /** @type {Lane[]} */
    const lanes = edited
      ? [
          { name: "edited", segments: edited, outlined: true, editable: true },
          { name: "model output", segments: predictions, secondary: true },
        ]
      : [{ name: "model output", segments: predictions, editable: true }];
    const laneLabels = lanes.flatMap((lane) => lane.segments.map((segment) => segment.label));
    const coloredLabels = [...new Set([...laneLabels, ...video.casLabels])];
    const withKeys = classes.slice(0, CLASS_KEYS.length).map((_, label) => label);
    return { ...video, lanes, coloredLabels, labels: [...new Set([...withKeys, ...video.labels, ...laneLabels])] };
  }

  /** @param {Segment[] | null} edited null for the model output */
  function showSegments(edited) {
    const { selected } = timeline;
    drawnSegments = edited;
    timeline.update(withLanes(timeline.video, edited));
    if (!selected || draft) return;
    const visible = timeline.video.lanes.flatMap((lane) => lane.segments);
    if (visible.includes(selected)) return;
    const { label, start, end } = selected;
    timeline.select(visible.find((s) => s.label === label && (s.start === start || s.end === end)) || null);
  }

  function describe() {
    const { video } = timeline;
    const [lane] = video.lanes;
    const count = lane.segments.filter(timeline.isVisible).length;
    const proposals = video.proposals.filter(timeline.isVisible).length;
    const points = lane.segments.filter((segment) => isPoint(segment) && timeline.isVisible(segment)).length;
    const counts = [[count - points, "segment"], ...(points ? [[points, "point"]] : [])];
    const isMarked = session?.isComplete ? ", complete" : session?.isReviewed ? ", reviewed" : "";
    const parts = counts.map(([number, noun]) => formatCount(Number(number), String(noun)));
    const summary = `${parts.join(" and ")}, ${lane.name}${isMarked}`;
    getElement("caption", HTMLElement).textContent = count ? summary : describeEmpty();
    canvas.setAttribute(
      "aria-label",
      `Timeline of ${video.name}, ${formatTime(video.end)} long: ${summary}; ${formatCount(proposals, "proposal")}`,
    );
    const rest = classes.length - video.labels.length; // classes without a button
    getElement("more-classes", HTMLElement).hidden = !rest;
    setText(getElement("more-classes", HTMLElement), `${rest} more`);
  }

  /** Why no segment is visible, and what to do. */
  function describeEmpty() {
    const { video } = timeline;
    if (video.lanes[0].segments.length) return "All segments are hidden. Show their classes with the buttons above.";
    if (session?.segments) return `No segments, edited${session.isComplete ? ", complete" : ""}`;
    if (video.predictions.length) {
      return "No segment is above the threshold. Lower the confidence threshold, or add a segment.";
    }
    if (video.edges.length) return "The model found no segments. Add a segment where something happens.";
    return "No model output yet. Run detection, or add a segment.";
  }

  /** @param {Segment | null} selected */
  function showSelection(selected) {
    const segment = editable(selected);
    table.select(selected);
    if (segment) currentLabel = segment.label;
    classField.show(currentLabel);
    for (const id of ["split", "delete", "set-start", "set-end"]) {
      getElement(id, HTMLButtonElement).disabled = !segment;
    }
  }

  /** Call after the session has changed: updates the status, the buttons and, if necessary, the segments. */
  function update() {
    if (!session) return;
    if (session.segments !== drawnSegments && !draft) showSegments(session.segments);
    const status = getElement("save-status", HTMLElement);
    status.textContent = session.describeStatus();
    status.classList.toggle("problem", session.hasProblem);
    getElement("undo", HTMLButtonElement).disabled = !session.canUndo;
    getElement("redo", HTMLButtonElement).disabled = !session.canRedo;
    getElement("discard", HTMLButtonElement).disabled = !session.segments;
    marks.update();
    describe();
    const conflict = session.describeConflict();
    getElement("conflict", HTMLElement).hidden = !conflict;
    getElement("conflict-text", HTMLElement).textContent = conflict;
  }

  /**
   * @param {OpenedVideo} video
   * @param {Session} videoSession
   * @param {Record<string, number | null>} thresholds
   * @param {number} seconds
   */
  function open(video, videoSession, thresholds, seconds) {
    const isSameVideo = session?.key === videoSession.key;
    keys.cancel();
    session = videoSession;
    draft = null;
    threshold.open(session.key, video.predictions, thresholds);
    drawnSegments = session.segments;
    const opened = withLanes(video, drawnSegments);
    const keepsLabel = isSameVideo && enteredLabel?.key === session.key;
    currentLabel = keepsLabel && enteredLabel ? enteredLabel.label : likelyLabel(opened, video.labels);
    const { range } = timeline;
    const keepsRange = isSameVideo && opened.end === timeline.video.end;
    timeline.open(opened, seconds);
    if (keepsRange) timeline.showRange(range.from, range.to);
    showSelection(null);
    update();
  }

  /**
   * The class of the first segment, else the first class of the model output, else the class that was entered last.
   * @param {VideoTimeline} video
   * @param {number[]} predictedLabels
   */
  function likelyLabel(video, predictedLabels) {
    const [first, ...others] = video.lanes[0].segments;
    if (first) return others.reduce((a, b) => (b.start < a.start ? b : a), first).label;
    return predictedLabels.length ? predictedLabels[0] : (enteredLabel?.label ?? null);
  }

  // ---- edits

  /**
   * A segment if it can be edited, else null.
   * @param {Segment | null} segment
   */
  const editable = (segment) => (segment && timeline.video.lanes[0]?.segments.includes(segment) ? segment : null);

  /** The selected segment. Without one, tells the user to select it. */
  function requireSelected() {
    const segment = editable(timeline.selected);
    if (!segment) timeline.showStatus("Select a segment first: click it, or press the up or down arrow key.");
    return segment;
  }

  /** @param {Edit} edit */
  function apply(edit) {
    session?.edit(edit.list);
    timeline.select(edit.segment);
  }

  /**
   * @param {Segment[]} list
   * @param {Segment} segment
   * @param {Part} part
   * @param {number} seconds
   */
  function movePart(list, segment, part, seconds) {
    const { end } = timeline.video;
    return part === "whole" ? moveSegment(list, segment, seconds, end) : moveEdge(list, segment, part, seconds, end);
  }

  /** @param {number} seconds */
  function moveSelected(seconds) {
    const segment = requireSelected();
    if (!segment) return;
    const edit = moveSegment(segments(), segment, segment.start + seconds, timeline.video.end);
    apply(edit);
    timeline.showStatus(timeline.describeSegment(edit.segment));
  }

  /**
   * Add a point, or a segment if `end` is later.
   * @param {number | null} label
   * @param {number} start
   * @param {number} end
   */
  function mark(label, start, end) {
    if (!session) return;
    if (label === null) {
      classField.focus();
      return timeline.showStatus("Enter a class first.");
    }
    const edit = markSegment(segments(), label, start, Math.min(end, timeline.video.end));
    if (!edit) return timeline.showStatus(`There is already a point of ${classes[label]} here.`);
    const { isComplete } = session;
    apply(edit);
    const remark = isComplete && !session.isComplete ? " The timeline is not complete any more." : "";
    timeline.showStatus(`Added ${timeline.describeSegment(edit.segment)}.${remark}`);
  }

  /** @param {number} seconds */
  function add(seconds) {
    if (currentLabel === null) {
      classField.focus();
      return timeline.showStatus("Enter a class first.");
    }
    const { from, to } = timeline.range;
    const length = Math.max(MIN_NEW_LENGTH, (to - from) * NEW_SEGMENT_SHARE);
    const edit = addSegment(segments(), currentLabel, seconds, length, timeline.video.end);
    if (!edit) {
      const name = classes[currentLabel];
      return timeline.showStatus(`There is already a segment of ${name} here, or the video ends.`);
    }
    apply(edit);
    timeline.showStatus(`Added ${timeline.describeSegment(edit.segment)}`);
  }

  function split() {
    const segment = requireSelected();
    if (!segment) return;
    const edit = splitSegment(segments(), segment, timeline.playhead);
    if (!edit) return timeline.showStatus("Move the playhead into the selected segment to split it.");
    apply(edit);
    timeline.showStatus(`Split at ${formatTime(timeline.playhead)}`);
  }

  function remove() {
    const segment = requireSelected();
    if (!segment) return;
    apply(deleteSegment(segments(), segment));
    timeline.showStatus(`Deleted ${timeline.describeSegment(segment)}`);
  }

  /** @param {Edge} edge */
  function setEdge(edge) {
    const segment = requireSelected();
    if (segment) setTime(segment, edge, timeline.playhead);
  }

  /**
   * Set the time that was typed; returns whether it is valid.
   * @param {Segment} segment
   * @param {Edge} edge
   * @param {number | null} seconds
   */
  function enterTime(segment, edge, seconds) {
    if (seconds !== null && edge === "start" && isPoint(segment)) return movePoint(segment, seconds);
    if (seconds !== null) return setTime(segment, edge, seconds);
    timeline.showStatus("Not a time. Enter minutes and seconds such as 1:23.45, or seconds such as 83.45.");
    return false;
  }

  /**
   * Move a point exactly to a time; returns whether that is possible.
   * @param {Segment} point
   * @param {number} seconds
   */
  function movePoint(point, seconds) {
    if (point.start === seconds) return true;
    if (seconds > timeline.video.end) {
      timeline.showStatus("The point must be within the video.");
      return false;
    }
    const edit = moveSegment(segments(), point, seconds, timeline.video.end);
    apply(edit);
    timeline.showStatus(timeline.describeSegment(edit.segment));
    return true;
  }

  /**
   * Move an edge exactly to a time; returns whether that is possible.
   * @param {Segment} segment
   * @param {Edge} edge
   * @param {number} seconds
   */
  function setTime(segment, edge, seconds) {
    if (segment[edge] === seconds) return true;
    const edit = moveEdge(segments(), segment, edge, seconds, timeline.video.end);
    if (Math.abs(edit.segment[edge] - seconds) > 1e-9) {
      const limit = edge === "start" ? "before the end" : "after the start, and within the video";
      timeline.showStatus(`The ${edge} must be ${limit}.`);
      return false;
    }
    apply(edit);
    timeline.showStatus(timeline.describeSegment(edit.segment));
    return true;
  }

  /** @param {number} label */
  function enterLabel(label) {
    if (!session) return;
    currentLabel = label;
    enteredLabel = { key: session.key, label };
    classField.show(label);
    const segment = editable(timeline.selected);
    if (segment && segment.label !== label) apply(relabelSegment(segments(), segment, label));
    timeline.showStatus(`${segment ? "Class changed to" : "New segments have the class"} ${classes[label]}`);
  }

  function undo() {
    timeline.showStatus(session?.undo() ? "Undone" : "Nothing to undo");
  }
  function redo() {
    timeline.showStatus(session?.redo() ? "Redone" : "Nothing to redo");
  }
  function discard() {
    session?.edit(null);
    timeline.showStatus("Edits discarded. Undo restores them.");
  }

  // ---- controls

  for (const [id, action] of Object.entries({
    add: () => add(timeline.playhead),
    "add-point": () => mark(currentLabel, getTime(), getTime()),
    split,
    delete: remove,
    "set-start": () => setEdge("start"),
    "set-end": () => setEdge("end"),
    undo,
    redo,
    discard,
    "keep-theirs": () => session?.acceptRemote(),
    "keep-mine": () => session?.keepLocal(),
    "zoom-in": () => timeline.zoom(0.5),
    "zoom-out": () => timeline.zoom(2),
    fit: timeline.fit,
    "more-classes": classField.focus,
  })) {
    getElement(id, HTMLElement).addEventListener("click", action);
  }

  return {
    handleClassKey: keys.handleKeyDown,
    labelOf: classField.labelOf,
    open,
    redo,
    timeline,
    undo,
    update,
    get isDragging() {
      return draft !== null || keys.isHolding;
    },
    get session() {
      return session;
    },
    get threshold() {
      return threshold.value;
    },
  };
}
