/**
 * Tagging: what happens in each video of a project. Each change is sent at once; the server combines it with those of
 * other people.
 * @import { ProjectInfo, TagChange, TaggedVideo } from "./api-types"
 */
import { ApiError, request } from "./api.js";
import { digitOf } from "./class-keys.js";
import { connectDialog, getElement, setText } from "./dom.js";
import { findClass } from "./edits.js";
import { formatCount } from "./format.js";
import { createTagClasses } from "./tag-classes.js";
import { createTagGrid } from "./tag-grid.js";
import { createTraining } from "./training.js";

/** Filters that are no classes. */
const ALL = "all";
const NOT_TAGGED = "not tagged";

/**
 * The change that undoes another one.
 * @param {string[] | null} before
 * @param {string[] | null} after
 * @returns {TagChange}
 */
const inverse = (before, after) => ({
  add: (before || []).filter((label) => !after?.includes(label)),
  remove: (after || []).filter((label) => !before?.includes(label)),
  tagged: before !== null,
});

/**
 * @param {object} options
 * @param {(project: ProjectInfo) => void} options.onUpdate Called with each answer of the server.
 */
export function createTagging({ onUpdate }) {
  const view = getElement("tagging", HTMLElement);
  const status = getElement("tag-status", HTMLElement);
  const field = getElement("tag-class", HTMLInputElement);
  const filter = getElement("tag-filter", HTMLSelectElement);
  const undoButton = getElement("tag-undo", HTMLButtonElement);
  const shortcuts = getElement("tag-shortcuts", HTMLDialogElement);
  /** @type {ProjectInfo} */
  let project;
  /**
   * The keys that the filter shows, null for all. A video that is tagged now stays until the filter is used again.
   * @type {Set<string> | null}
   */
  let filtered = null;
  /** @type {Map<string, TaggedVideo>} */
  let videos = new Map();
  /** Changes that undo the latest ones. @type {Record<string, TagChange>[]} */
  const undoStack = [];
  /** Requests, one after another, so that each sees the result of the one before. */
  let queue = Promise.resolve();
  let requestCount = 0;

  const grid = createTagGrid({ list: getElement("tag-grid", HTMLElement), onSelect: () => project && drawSelection() });
  const classes = createTagClasses({
    field,
    onToggle: toggle,
    onRename: (old, name) =>
      send(
        () => request("PUT", `/api/project/classes/${encodeURIComponent(old)}`, { name }),
        () => (name ? `${old} is ${name} now.` : `${old} was removed.`),
      ),
  });
  const training = createTraining({
    onStart: () =>
      send(
        () => request("POST", "/api/project/training"),
        () => "Training was started.",
      ),
    onStop: () =>
      send(
        () => request("DELETE", "/api/project/training"),
        () => "Training was stopped.",
      ),
  });

  // ---- what is shown

  /** @param {ProjectInfo} latest */
  function show(latest) {
    project = latest;
    const earlier = videos;
    videos = new Map(project.videos.map((video) => [video.key, video]));
    if (filtered) for (const key of videos.keys()) if (!earlier.has(key) && matches(key)) filtered.add(key);
    draw();
    onUpdate(project);
  }

  function draw() {
    const total = project.videos.length;
    const tagged = project.videos.filter((video) => video.labels !== null).length;
    setText(getElement("tag-summary", HTMLElement), `${project.summary}.`);
    const progress = getElement("tag-progress", HTMLProgressElement);
    progress.max = Math.max(1, total);
    progress.value = tagged;
    const error = getElement("tag-error", HTMLElement);
    error.hidden = !project.error;
    setText(error, project.error ? `The tags cannot be read: ${project.error}.` : "");
    grid.show(project.videos.filter((video) => !filtered || filtered.has(video.key)));
    drawFilter();
    drawSelection();
    training.show(project);
    getElement("tag-empty", HTMLElement).hidden = total > 0;
  }

  function drawFilter() {
    const names = [ALL, NOT_TAGGED, ...project.classes.map(({ name }) => name)];
    if ([...filter.options].map((option) => option.text).join("\n") === names.join("\n")) return;
    const index = filter.selectedIndex;
    const chosen = filter.options[index]?.text;
    filter.replaceChildren(...names.map((name, number) => new Option(name, String(number))));
    filter.selectedIndex = Math.max(0, index < 2 ? index : names.indexOf(chosen, 2));
  }

  function drawSelection() {
    const { selection } = grid;
    /** @param {string} name */
    const shareOf = (name) =>
      selection.filter((key) => videos.get(key)?.labels?.includes(name)).length / Math.max(1, selection.length);
    classes.show(project.classes, shareOf);
    const text = selection.length ? `${selection.length} selected` : "Select videos, then choose their classes.";
    setText(getElement("tag-selection", HTMLElement), text);
    undoButton.disabled = !undoStack.length;
    const tags = selection.map((key) => videos.get(key)?.labels);
    const isNothing = tags.length > 0 && tags.every((labels) => labels && !labels.length);
    getElement("tag-nothing", HTMLElement).ariaPressed = String(isNothing);
  }

  /** @param {string} key */
  function matches(key) {
    const labels = videos.get(key)?.labels ?? null;
    if (filter.selectedIndex <= 0) return true;
    return filter.selectedIndex === 1 ? labels === null : Boolean(labels?.includes(filter.selectedOptions[0].text));
  }

  // ---- changes

  /**
   * @param {() => Promise<ProjectInfo | void> | undefined} action
   * @param {() => string} message
   */
  function send(action, message) {
    requestCount += 1;
    queue = queue.then(async () => {
      try {
        const answer = await action();
        if (!answer) return;
        show(answer);
        setText(status, message());
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        setText(status, `Not done: ${error.message}.`);
      }
    });
    return queue;
  }

  /**
   * Change the tags of the selected videos.
   * @param {(selected: TaggedVideo[]) => TagChange | ((video: TaggedVideo) => TagChange)} decide
   * @param {string} what
   */
  function change(decide, what) {
    const keys = grid.selection;
    if (!keys.length) {
      setText(status, "Select videos first.");
      return;
    }
    let count = 0;
    send(
      () => {
        const selected = keys.flatMap((key) => videos.get(key) || []);
        if (!selected.length) return;
        const decided = decide(selected);
        const changes = Object.fromEntries(
          selected.map((video) => [video.key, typeof decided === "function" ? decided(video) : decided]),
        );
        count = selected.length;
        return submit(changes, selected);
      },
      () => `${what}: ${formatCount(count, "video")}.`,
    );
  }

  /**
   * @param {Record<string, TagChange>} changes
   * @param {TaggedVideo[]} before
   */
  async function submit(changes, before) {
    /** @type {ProjectInfo} */
    const answer = await request("POST", "/api/project/tags", { changes });
    const after = new Map(answer.videos.map((video) => [video.key, video.labels]));
    undoStack.push(Object.fromEntries(before.map(({ key, labels }) => [key, inverse(labels, after.get(key) ?? null)])));
    return answer;
  }

  /**
   * Add a class to the selected videos, or remove it if all have it.
   * @param {string} name
   */
  function toggle(name) {
    change((selected) => {
      const isRemoved = selected.every((video) => video.labels?.includes(name));
      return isRemoved ? { remove: [name], tagged: true } : { add: [name] };
    }, name);
  }

  const markNothing = () => change(() => (video) => ({ remove: video.labels || [], tagged: true }), "Nothing happens");
  const clear = () => change(() => (video) => ({ remove: video.labels || [], tagged: false }), "Tags removed");

  /** Undo the latest change of videos that are still there. It can be repeated if the server does not answer. */
  function undo() {
    send(
      async () => {
        const canUndo = undoStack.map((changes) => Object.keys(changes).some((key) => videos.has(key)));
        const index = canUndo.lastIndexOf(true);
        if (index < 0) return setText(status, "Nothing to undo.");
        const present = Object.entries(undoStack[index]).filter(([key]) => videos.has(key));
        /** @type {ProjectInfo} */
        const answer = await request("POST", "/api/project/tags", { changes: Object.fromEntries(present) });
        undoStack.length = index;
        return answer;
      },
      () => "Undone.",
    );
  }

  function selectNext() {
    const key = grid.findNext((candidate) => videos.get(candidate)?.labels === null);
    if (key) grid.reveal(key);
    else setText(status, "All videos here are tagged.");
  }

  /** Add the class in the field to the selected videos; without a selection, to the list of classes. */
  function enterClass() {
    const known = project.classes.map((other) => other.name);
    const name = findClass(known, field.value.trim());
    if (!name) return;
    classes.clearSearch();
    if (grid.selection.length) return change(() => ({ add: [name] }), name);
    let exists = false;
    send(
      () => {
        exists = project.classes.some((other) => other.name === name);
        return request("POST", "/api/project/classes", { name });
      },
      () => (exists ? `${name} already exists.` : `${name} was added.`),
    );
  }

  // ---- events

  getElement("new-class", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    enterClass();
  });
  filter.addEventListener("change", () => {
    filtered = filter.selectedIndex ? new Set([...videos.keys()].filter(matches)) : null;
    draw();
  });
  getElement("tag-nothing", HTMLElement).addEventListener("click", markNothing);
  getElement("tag-clear", HTMLElement).addEventListener("click", clear);
  getElement("tag-all", HTMLElement).addEventListener("click", grid.selectAll);
  getElement("tag-next", HTMLElement).addEventListener("click", selectNext);
  undoButton.addEventListener("click", undo);
  connectDialog(
    shortcuts,
    getElement("show-tag-shortcuts", HTMLElement),
    getElement("close-tag-shortcuts", HTMLElement),
  );

  /** Keys that work everywhere in this view. @type {Record<string, () => void>} */
  const keys = {
    0: markNothing,
    Delete: clear,
    Backspace: clear,
    z: undo,
    n: selectNext,
    c: () => field.focus(),
    p: grid.togglePreview,
    "?": () => shortcuts.showModal(),
  };

  /** @param {KeyboardEvent} event */
  function handleKey(event) {
    const target = /** @type {Element} */ (event.target);
    if (view.hidden || shortcuts.open) return;
    if (target === field && event.key === "Escape") {
      classes.clearSearch();
      getElement("tag-grid", HTMLElement).querySelector("li")?.focus();
      return;
    }
    if (target === field && event.key === "ArrowDown") classes.focus();
    if (target.closest("input, select")) return;
    const isControl = event.ctrlKey || event.metaKey;
    if (target.closest("button, a, summary, label") && [" ", "Enter"].includes(event.key)) return;
    const key = digitOf(event) ?? (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const name = isControl || event.altKey ? undefined : classes.classOfKey(key);
    if (name !== undefined) toggle(name);
    else if (isControl && key === "z") undo();
    else if (!isControl && !event.altKey && Object.hasOwn(keys, key)) keys[key]();
    else if (!grid.handleKey(event)) return;
    event.preventDefault();
  }
  addEventListener("keydown", handleKey);

  return {
    show,
    /** Changes with each request: what was read before is outdated then. */
    get requestCount() {
      return requestCount;
    },
    /** Resolves when no change is being sent. */
    settled: () => queue,
    stopPreview: grid.stopPreview,
    /** @param {string} message */
    showStatus: (message) => setText(status, message),
  };
}
