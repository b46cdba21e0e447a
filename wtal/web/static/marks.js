/**
 * The marks of a timeline: complete (nothing happens outside its segments) and reviewed (a person has finished with the
 * video). Marking a video without edits confirms the model output.
 * @import { Segment } from "./types"
 * @import { Session } from "./session"
 */
import { getElement, setAttribute } from "./dom.js";
import { isPoint } from "./edits.js";

/**
 * @param {object} options
 * @param {() => Session | null} options.getSession
 * @param {() => Segment[]} options.getSegments The segments that are shown.
 * @param {(message: string) => void} options.showStatus
 */
export function createMarks({ getSession, getSegments, showStatus }) {
  const completeButton = getElement("mark-complete", HTMLButtonElement);
  const reviewedButton = getElement("mark-reviewed", HTMLButtonElement);

  function toggleComplete() {
    const session = getSession();
    if (!session) return;
    const segments = getSegments();
    if (!session.isComplete && segments.some(isPoint)) {
      return showStatus("A timeline with points cannot be complete. Give each point a start and an end, or delete it.");
    }
    const complete = !session.isComplete;
    session.mark(segments, { complete, reviewed: complete || session.isReviewed });
    showStatus(complete ? "Marked as complete: nothing else happens in this video." : "Not complete any more.");
  }

  function toggleReviewed() {
    const session = getSession();
    if (!session) return;
    const reviewed = !session.isReviewed;
    session.mark(getSegments(), { complete: reviewed && session.isComplete, reviewed });
    showStatus(reviewed ? "Marked as reviewed." : "Not reviewed any more.");
  }

  completeButton.addEventListener("click", toggleComplete);
  reviewedButton.addEventListener("click", toggleReviewed);

  return {
    toggleComplete,
    toggleReviewed,
    /** Call after the session has changed. */
    update() {
      setAttribute(completeButton, "aria-pressed", String(getSession()?.isComplete || false));
      setAttribute(reviewedButton, "aria-pressed", String(getSession()?.isReviewed || false));
    },
  };
}
