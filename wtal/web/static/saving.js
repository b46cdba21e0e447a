"use strict";
// One video's corrections while this page is open: what was done, undone, saved. `now` is a list of segments, or null
// where nothing is corrected. Saved by itself; what cannot be saved is kept and tried again.

const session = ({ key, file, corrections, listOf, sentOf, changed }) => {
  const PAUSE = 1000, AGAIN = 5000, MOST = 500; // ms after the last change, and after a fault; steps that can be undone
  const place = () => `/api/videos/${key}/corrections`;
  const past = [], future = [];
  let revision = 0, saved = "", kept = null; // what the server has
  let now = null, busy = null, timer = 0, fault = "", lost = false; // lost: the server has no such video any more
  let theirs; // what somebody else saved, undefined: nobody

  const dirty = () => now !== kept;
  function have(told) {
    revision = told ? told.revision : 0; saved = told ? told.saved : "";
    now = kept = told ? listOf(told.segments) : null;
  }
  have(corrections);

  function later(ms) { clearTimeout(timer); if (dirty() && theirs === undefined) timer = setTimeout(save, ms); }
  function remember() { past.push(now); if (past.length > MOST) past.shift(); }
  function settle() { fault = ""; later(PAUSE); changed(); }

  function change(list) { remember(); future.length = 0; now = list; settle(); }
  function undo() { if (!past.length) return false; future.push(now); now = past.pop(); settle(); return true; }
  function redo() { if (!future.length) return false; past.push(now); now = future.pop(); settle(); return true; }

  // Save what is not saved yet; resolves when nothing more is under way.
  async function save() {
    clearTimeout(timer);
    if (busy) { await busy; return save(); }
    if (!dirty() || theirs !== undefined) return;
    busy = send(now);
    changed();
    await busy;
    busy = null;
    if (!fault) later(PAUSE);
    changed();
  }

  async function send(list) {
    const segments = list && sentOf(list);
    try {
      const told = list ? await server.ask("PUT", place(), { revision, segments, file })
        : revision ? await server.ask("DELETE", `${place()}?revision=${revision}`) : {};
      had(list, told);
    } catch (error) {
      const other = error.status === 409 ? error.told.corrections : undefined;
      if (other && list && edits.same(other.segments, segments)) had(list, other); // ours: its answer was lost
      else if (other === null && !list) had(null, {});
      else if (other !== undefined) theirs = other;
      else {
        lost = error.status === 404;
        fault = lost ? "the file is gone" : error.message;
        if (error.gone || error.status >= 500) timer = setTimeout(save, AGAIN);
      }
    }
  }
  function had(list, told) { kept = list; revision = told.revision || 0; saved = told.saved || ""; fault = ""; lost = false; }

  // The video has another key now.
  function follow(other) { key = other; lost = false; fault = ""; later(0); }

  // What the server holds as another page left it; of no matter while something here is not saved.
  function adopt(told) {
    if (dirty() || busy || (told ? told.revision : 0) === revision) return false;
    remember(); future.length = 0; have(told); changed();
    return true;
  }
  function take() { const told = theirs; theirs = undefined; remember(); future.length = 0; have(told); changed(); }
  function keep() {
    past.push(theirs ? listOf(theirs.segments) : null);
    revision = theirs ? theirs.revision : 0; theirs = undefined;
    return save();
  }

  const at = (iso) => {
    const when = new Date(iso), day = when.toDateString() === new Date().toDateString() ? "" : `${when.toLocaleDateString()} `;
    return day + when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  };
  const said = () => {
    if (theirs !== undefined) return "not saved: somebody else changed it";
    if (busy) return "saving";
    if (fault) return `not saved: ${fault}`;
    if (dirty()) return "not saved yet";
    return now ? `saved ${at(saved)}` : "";
  };
  const conflict = () => theirs === undefined ? "" : theirs ? `Somebody else saved this timeline at ${at(theirs.saved)}; yours is not saved.` : "Somebody else discarded these corrections; yours are not saved.";

  return {
    change, undo, redo, save, adopt, take, keep, dirty, said, conflict, follow, file, get key() { return key; },
    get now() { return now; }, get revision() { return revision; }, get faulty() { return Boolean(fault); }, get lost() { return lost; },
    get undoable() { return past.length > 0; }, get redoable() { return future.length > 0; },
  };
};
