"use strict";
// What the reader's hands do to a timeline of lanes.js: mouse, pen and finger, wheel, keys.
// The page may take what it wants first: on.stretch and on.stretched (an edge is dragged), on.twice (a double click).

const hands = ({ lanes, canvas, overview, on, keys }) => {
  let grip = null;
  const loose = () => { grip = null; canvas.classList.remove("dragged"); };
  // Let go, all being as it was before.
  function cancel() {
    if (grip && grip.moved) { if (grip.edge) on.stretched(false); else lanes.show(grip.from, grip.to); }
    loose();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !lanes.video) return;
    const { segment, edge, seconds } = on.stretch ? lanes.spot(event.offsetX, event.offsetY, event.pointerType === "touch") : {};
    grip = { x: event.offsetX, ...lanes.window, moved: false, segment, edge, beside: edge ? segment[edge] - seconds : 0 };
    if (edge) lanes.mark(segment);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!lanes.video) return;
    const { offsetX: x, offsetY: y } = event;
    if (!grip) {
      const { segment, edge } = lanes.spot(x, y);
      canvas.classList.toggle("edge", Boolean(edge));
      return lanes.hover(segment, x, y);
    }
    if (!grip.moved && Math.abs(x - grip.x) < (grip.edge ? 2 : 4)) return;
    grip.moved = true; lanes.hover(null);
    if (grip.edge) return on.stretch(grip.segment, grip.edge, lanes.spot(x, y).seconds + grip.beside);
    canvas.classList.add("dragged");
    lanes.drag(x - grip.x, grip);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (grip && grip.edge && grip.moved) on.stretched(true);
    else if (grip && !grip.moved) {
      const { segment, seconds } = lanes.spot(event.offsetX, event.offsetY);
      lanes.mark(segment);
      lanes.go(seconds);
      if (segment) lanes.tell(segment);
    }
    loose();
  });
  canvas.addEventListener("pointercancel", cancel);
  canvas.addEventListener("pointerleave", () => { if (!grip) lanes.hover(null); });
  canvas.addEventListener("dblclick", (event) => {
    if (!lanes.video) return;
    const spot = lanes.spot(event.offsetX, event.offsetY);
    if (!(on.twice && on.twice(spot))) lanes.zoom(0.5, spot.seconds);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!lanes.video) return;
    const along = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
    if (event.ctrlKey || event.metaKey) lanes.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.005), lanes.spot(event.offsetX, event.offsetY).seconds);
    else if (Math.abs(along) > Math.abs(event.shiftKey ? 0 : event.deltaY)) lanes.drag(-along, lanes.window);
    else return;
    event.preventDefault();
  }, { passive: false });

  overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); if (lanes.video) lanes.centre(event.offsetX); });
  overview.addEventListener("pointermove", (event) => { if (event.buttons && lanes.video) lanes.centre(event.offsetX); });

  const near = () => { const { from, to } = lanes.window; return lanes.head >= from && lanes.head <= to ? lanes.head : undefined; };
  const all = {
    ArrowLeft: () => lanes.stepSnippet(-1), ArrowRight: () => lanes.stepSnippet(1),
    ArrowUp: () => lanes.stepSegment(-1), ArrowDown: () => lanes.stepSegment(1),
    "+": () => lanes.zoom(0.5, near()), "=": () => lanes.zoom(0.5), "-": () => lanes.zoom(2),
    0: () => lanes.show(0, lanes.video.end), Escape: cancel, ...keys,
  };
  // Whether a key meant something here; while something is dragged only Escape does.
  return (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(all, event.key) || !lanes.video) return false;
    event.preventDefault();
    if (!grip || !grip.moved || event.key === "Escape") all[event.key]();
    return true;
  };
};
