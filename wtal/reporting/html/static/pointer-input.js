/**
 * Mouse, pen, touch and keyboard input of a timeline.
 * @import { Hit, Part, Segment, Shortcuts, TimelineInput, TimelineListeners } from "./types"
 */

const DRAG_DISTANCE = 4; // pixels from which on a movement is a drag, not a click
const EDGE_DRAG_DISTANCE = 2;
const MAX_WHEEL_DELTA = 60;
const WHEEL_ZOOM = 0.005;

/**
 * @typedef {object} Drag
 * @property {number} x where it began
 * @property {number} from the visible range when it began
 * @property {number} to
 * @property {boolean} hasMoved
 * @property {{ segment: Segment, part: Part, offset: number } | null} target what is moved, and its offset from the
 *   pointer in seconds; null for the visible range
 */

/**
 * @param {object} options
 * @param {TimelineInput} options.timeline
 * @param {HTMLCanvasElement} options.canvas
 * @param {HTMLCanvasElement} options.overview
 * @param {TimelineListeners} options.listeners
 * @param {Shortcuts} options.shortcuts
 * @returns {(event: KeyboardEvent) => boolean} Handles a key; returns whether it is a shortcut.
 */
export function attachInput({ timeline, canvas, overview, listeners, shortcuts }) {
  /** @type {Drag | null} */
  let drag = null;
  const isOpen = () => timeline.video.end > 0;

  /** @param {Drag} started */
  const minDistance = ({ target }) => (target && target.part !== "whole" ? EDGE_DRAG_DISTANCE : DRAG_DISTANCE);

  function endDrag() {
    drag = null;
    canvas.classList.remove("dragged");
  }

  /** Restore the state before the drag. */
  function cancelDrag() {
    if (drag?.hasMoved && drag.target) listeners.onDragEnd?.(false);
    else if (drag?.hasMoved) timeline.showRange(drag.from, drag.to);
    endDrag();
  }

  /**
   * What a drag from a position moves. A finger moves a whole segment only if it is selected, so that it can also pan.
   * @param {Hit} hit
   * @param {boolean} isTouch
   * @returns {Part | null}
   */
  function draggedPart({ block, segment, edge }, isTouch) {
    if (!block?.editable || !segment) return null;
    return edge || (isTouch && segment !== timeline.selected ? null : "whole");
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !isOpen()) return;
    drag = { x: event.offsetX, ...timeline.range, hasMoved: false, target: null };
    if (listeners.onDrag) {
      const isTouch = event.pointerType === "touch";
      const hit = timeline.hitTest(event.offsetX, event.offsetY, isTouch);
      const part = draggedPart(hit, isTouch);
      if (hit.segment && part) {
        const time = hit.segment[part === "end" ? "end" : "start"];
        drag.target = { segment: hit.segment, part, offset: time - hit.seconds };
        if (hit.edge) timeline.select(hit.segment);
      }
    }
    canvas.setPointerCapture(event.pointerId);
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!isOpen()) return;
    const { offsetX: x, offsetY: y } = event;
    if (!drag) {
      const hit = timeline.hitTest(x, y);
      const { segment, edge } = hit;
      canvas.classList.toggle("edge", Boolean(edge));
      canvas.classList.toggle("whole", Boolean(listeners.onDrag) && draggedPart(hit, false) === "whole");
      timeline.hover(segment, x, y);
      return;
    }
    if (!drag.hasMoved && Math.abs(x - drag.x) < minDistance(drag)) return;
    drag.hasMoved = true;
    timeline.hover(null);
    if (drag.target) {
      const { segment, part, offset } = drag.target;
      listeners.onDrag?.(segment, part, timeline.hitTest(x, y).seconds + offset);
    } else {
      canvas.classList.add("dragged");
      timeline.pan(x - drag.x, drag);
    }
  });

  canvas.addEventListener("pointerup", (event) => {
    if (drag?.target && drag.hasMoved) {
      listeners.onDragEnd?.(true);
    } else if (drag && !drag.hasMoved) {
      const { segment, seconds } = timeline.hitTest(event.offsetX, event.offsetY);
      timeline.select(segment);
      timeline.seek(seconds);
      if (segment) timeline.announceSegment(segment);
    }
    endDrag();
  });
  canvas.addEventListener("pointercancel", cancelDrag);
  canvas.addEventListener("pointerleave", () => {
    if (!drag) timeline.hover(null);
  });

  canvas.addEventListener("dblclick", (event) => {
    if (!isOpen()) return;
    const hit = timeline.hitTest(event.offsetX, event.offsetY);
    if (!listeners.onDoubleClick?.(hit)) timeline.zoom(0.5, hit.seconds);
  });

  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!isOpen()) return;
      const horizontal = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
      const vertical = event.shiftKey ? 0 : event.deltaY;
      if (event.ctrlKey || event.metaKey) {
        const delta = Math.max(-MAX_WHEEL_DELTA, Math.min(MAX_WHEEL_DELTA, event.deltaY));
        timeline.zoom(Math.exp(delta * WHEEL_ZOOM), timeline.hitTest(event.offsetX, event.offsetY).seconds);
      } else if (Math.abs(horizontal) > Math.abs(vertical)) {
        timeline.pan(-horizontal, timeline.range);
      } else {
        return;
      }
      event.preventDefault();
    },
    { passive: false },
  );

  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    if (isOpen()) timeline.centerAt(event.offsetX);
  });
  overview.addEventListener("pointermove", (event) => {
    if (event.buttons && isOpen()) timeline.centerAt(event.offsetX);
  });

  /** The playhead if it is visible, as the center of a zoom. */
  const visiblePlayhead = () => {
    const { from, to } = timeline.range;
    return timeline.playhead >= from && timeline.playhead <= to ? timeline.playhead : undefined;
  };
  /** @type {Shortcuts} */
  const allShortcuts = {
    ArrowLeft: () => timeline.stepSnippet(-1),
    ArrowRight: () => timeline.stepSnippet(1),
    ArrowUp: () => timeline.stepSegment(-1),
    ArrowDown: () => timeline.stepSegment(1),
    "Shift+ArrowLeft": () => timeline.stepSnippet(-1),
    "Shift+ArrowRight": () => timeline.stepSnippet(1),
    "+": () => timeline.zoom(0.5, visiblePlayhead()),
    "=": () => timeline.zoom(0.5, visiblePlayhead()),
    "-": () => timeline.zoom(2),
    0: () => timeline.fit(),
    Escape: cancelDrag,
    ...shortcuts,
  };
  return (event) => {
    const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
    const key = event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key;
    if (hasModifier || !Object.hasOwn(allShortcuts, key) || !isOpen()) return false;
    event.preventDefault();
    if (!drag?.hasMoved || key === "Escape") allShortcuts[key]();
    return true;
  };
}
