/**
 * Mouse, pen, touch and keyboard input of a timeline.
 * @import { Edge, Segment, Shortcuts, TimelineInput, TimelineListeners } from "./types"
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
 * @property {{ segment: Segment, edge: Edge, offset: number } | null} resize offset from the pointer in seconds
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

  function endDrag() {
    drag = null;
    canvas.classList.remove("dragged");
  }

  /** Restore the state before the drag. */
  function cancelDrag() {
    if (drag?.hasMoved && drag.resize) listeners.onResizeEnd?.(false);
    else if (drag?.hasMoved) timeline.showRange(drag.from, drag.to);
    endDrag();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !isOpen()) return;
    drag = { x: event.offsetX, ...timeline.range, hasMoved: false, resize: null };
    if (listeners.onResize) {
      const hit = timeline.hitTest(event.offsetX, event.offsetY, event.pointerType === "touch");
      if (hit.segment && hit.edge) {
        drag.resize = { segment: hit.segment, edge: hit.edge, offset: hit.segment[hit.edge] - hit.seconds };
        timeline.select(hit.segment);
      }
    }
    canvas.setPointerCapture(event.pointerId);
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!isOpen()) return;
    const { offsetX: x, offsetY: y } = event;
    if (!drag) {
      const { segment, edge } = timeline.hitTest(x, y);
      canvas.classList.toggle("edge", Boolean(edge));
      timeline.hover(segment, x, y);
      return;
    }
    if (!drag.hasMoved && Math.abs(x - drag.x) < (drag.resize ? EDGE_DRAG_DISTANCE : DRAG_DISTANCE)) return;
    drag.hasMoved = true;
    timeline.hover(null);
    if (drag.resize) {
      const { segment, edge, offset } = drag.resize;
      listeners.onResize?.(segment, edge, timeline.hitTest(x, y).seconds + offset);
    } else {
      canvas.classList.add("dragged");
      timeline.pan(x - drag.x, drag);
    }
  });

  canvas.addEventListener("pointerup", (event) => {
    if (drag?.resize && drag.hasMoved) {
      listeners.onResizeEnd?.(true);
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
    "+": () => timeline.zoom(0.5, visiblePlayhead()),
    "=": () => timeline.zoom(0.5, visiblePlayhead()),
    "-": () => timeline.zoom(2),
    0: () => timeline.fit(),
    Escape: cancelDrag,
    ...shortcuts,
  };
  return (event) => {
    const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
    if (hasModifier || !Object.hasOwn(allShortcuts, event.key) || !isOpen()) return false;
    event.preventDefault();
    if (!drag?.hasMoved || event.key === "Escape") allShortcuts[event.key]();
    return true;
  };
}
