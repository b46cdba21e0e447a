/**
 * The edits of one video while the page is open: undo, redo, and saving. `segments` is the edited list, null if the
 * video shows the model output. Edits are saved automatically; if that fails, they are kept and saved again later.
 *
 * A timeline that is marked as complete is also reviewed. It has no points: adding one removes the mark.
 * @import { Segment } from "./types"
 * @import { ApiSegment, Corrections } from "./api-types"
 */
import { ApiError, request } from "./api.js";
import { areSameTimelines, isPoint } from "./edits.js";

const SAVE_DELAY = 1000; // ms after the last edit
const RETRY_DELAY = 5000; // ms
const MAX_UNDO_STEPS = 500;

/** @typedef {ReturnType<typeof createSession>} Session */
/** @typedef {{ segments: Segment[], complete: boolean, reviewed: boolean }} Edits */

/** @param {string} time ISO 8601 */
function formatTimeOfDay(time) {
  const date = new Date(time);
  const day = date.toDateString() === new Date().toDateString() ? "" : `${date.toLocaleDateString()} `;
  return day + date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

/**
 * @param {object} options
 * @param {string} options.key
 * @param {string} options.version the version of the video file
 * @param {Corrections | null} options.corrections
 * @param {(segments: ApiSegment[]) => Segment[]} options.fromApi
 * @param {(segments: Segment[]) => ApiSegment[]} options.toApi
 * @param {() => void} options.onChange
 */
export function createSession({ key, version, corrections, fromApi, toApi, onChange }) {
  /** @type {(Edits | null)[]} */
  const undoStack = [];
  /** @type {(Edits | null)[]} */
  const redoStack = [];
  /** @type {Edits | null} */
  let edits = null;
  // What the server has.
  /** @type {Edits | null} */
  let savedEdits = null;
  let revision = 0;
  let savedAt = "";
  /** What someone else saved in the meantime, undefined if nobody did. @type {Corrections | null | undefined} */
  let remote;
  /** @type {Promise<void> | null} */
  let saving = null;
  let timer = 0;
  let problem = "";
  let isLost = false; // the server has no such video any more

  const isDirty = () => edits !== savedEdits;
  /**
   * @param {Corrections} stored
   * @returns {Edits}
   */
  const fromStored = ({ segments, complete, reviewed }) => ({ segments: fromApi(segments), complete, reviewed });

  /**
   * @param {Edits | null} current
   * @param {Partial<Corrections> | null} stored
   */
  function setSaved(current, stored) {
    savedEdits = current;
    revision = stored?.revision || 0;
    savedAt = stored?.saved || "";
  }
  /** @param {Corrections | null} stored */
  function load(stored) {
    edits = stored && fromStored(stored);
    setSaved(edits, stored);
  }
  load(corrections);

  /** @param {number} delay in ms */
  function saveLater(delay) {
    clearTimeout(timer);
    if (isDirty() && remote === undefined) timer = setTimeout(save, delay);
  }

  function pushUndo() {
    undoStack.push(edits);
    if (undoStack.length > MAX_UNDO_STEPS) undoStack.shift();
  }
  function finishEdit() {
    problem = "";
    saveLater(SAVE_DELAY);
    onChange();
  }
  /** @param {Edits | null} changed */
  function change(changed) {
    pushUndo();
    redoStack.length = 0;
    edits = changed;
    finishEdit();
  }
  /** @param {Segment[] | null} list null to go back to the model output */
  function edit(list) {
    const { complete = false, reviewed = false } = edits || {};
    change(list && { segments: list, complete: complete && !list.some(isPoint), reviewed });
  }
  /**
   * @param {Segment[]} list
   * @param {{ complete: boolean, reviewed: boolean }} marks
   */
  const mark = (list, marks) => change({ segments: list, ...marks });
  /**
   * @param {(Edits | null)[]} from
   * @param {(Edits | null)[]} to
   */
  function step(from, to) {
    const previous = from.pop();
    if (previous === undefined) return false;
    to.push(edits);
    edits = previous;
    finishEdit();
    return true;
  }

  /**
   * Save the edits; resolves when nothing is being saved any more.
   * @returns {Promise<void>}
   */
  async function save() {
    clearTimeout(timer);
    if (saving) {
      await saving;
      return save();
    }
    if (!isDirty() || remote !== undefined) return;
    saving = send(edits).finally(() => {
      saving = null;
    });
    onChange();
    await saving;
    if (!problem) saveLater(SAVE_DELAY);
    onChange();
  }

  /** @param {Edits | null} sent */
  async function send(sent) {
    const path = `/api/videos/${key}/corrections`;
    const payload = sent && { ...sent, segments: toApi(sent.segments) };
    /** @param {Partial<Corrections> | null} stored */
    const succeed = (stored) => {
      setSaved(sent, stored);
      problem = "";
      isLost = false;
    };
    try {
      if (payload) succeed(await request("PUT", path, { revision, version, ...payload }));
      else succeed(revision ? await request("DELETE", `${path}?revision=${revision}`) : null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const current = error.status === 409 ? error.body.corrections : undefined;
      // An earlier request may have succeeded although its response was lost.
      if (current && payload && areSameTimelines(current, payload)) return succeed(current);
      if (current === null && !payload) return succeed(null);
      if (current !== undefined) {
        remote = current;
        return;
      }
      isLost = error.status === 404;
      problem = isLost ? "the video file is missing" : error.message;
      if (error.status === 0 || error.status >= 500) timer = setTimeout(save, RETRY_DELAY);
    }
  }

  /**
   * The video has another key now.
   * @param {string} newKey
   */
  function moveTo(newKey) {
    key = newKey;
    isLost = false;
    problem = "";
    saveLater(0);
  }

  /** @param {Corrections | null} stored */
  function replaceWith(stored) {
    pushUndo();
    redoStack.length = 0;
    load(stored);
    onChange();
  }

  /**
   * Show what the server has, unless there are unsaved edits. Returns whether it differs.
   * @param {Corrections | null} stored
   */
  function update(stored) {
    if (isDirty() || saving || (stored ? stored.revision : 0) === revision) return false;
    replaceWith(stored);
    return true;
  }

  /** Resolve a conflict with what someone else saved. */
  function acceptRemote() {
    const stored = remote || null;
    remote = undefined;
    replaceWith(stored);
  }
  /** Resolve a conflict with the edits of this page; undo leads to the other version. */
  function keepLocal() {
    undoStack.push(remote ? fromStored(remote) : null);
    revision = remote?.revision || 0;
    remote = undefined;
    return save();
  }

  function describeStatus() {
    if (remote !== undefined) return "Not saved: changed by someone else";
    if (saving) return "Saving";
    if (problem) return `Not saved: ${problem}`;
    if (isDirty()) return "Unsaved changes";
    return edits ? `Saved ${formatTimeOfDay(savedAt)}` : "";
  }
  function describeConflict() {
    if (remote === undefined) return "";
    if (!remote) return "Someone else discarded the edits of this video. Your changes are not saved.";
    return `Someone else edited this video at ${formatTimeOfDay(remote.saved)}. Your changes are not saved.`;
  }

  return {
    version,
    acceptRemote,
    describeConflict,
    describeStatus,
    edit,
    isDirty,
    keepLocal,
    mark,
    moveTo,
    redo: () => step(redoStack, undoStack),
    save,
    undo: () => step(undoStack, redoStack),
    update,
    get canRedo() {
      return redoStack.length > 0;
    },
    get canUndo() {
      return undoStack.length > 0;
    },
    get hasProblem() {
      return Boolean(problem) || remote !== undefined;
    },
    get isLost() {
      return isLost;
    },
    get key() {
      return key;
    },
    get revision() {
      return revision;
    },
    /** Whether nothing happens outside the segments. */
    get isComplete() {
      return edits?.complete || false;
    },
    get isReviewed() {
      return edits?.reviewed || false;
    },
    get segments() {
      return edits ? edits.segments : null;
    },
  };
}
