/**
 * The web page: opens videos, and updates them when the server or other pages change them.
 * @import { Config, ProjectInfo, VideoDetails, VideoInfo } from "./api-types"
 * @import { Segment } from "./types"
 * @import { Session } from "./session"
 */
import { ApiError, onConnectionChange, request } from "./api.js";
import { createBudget } from "./budget.js";
import { createClassColors } from "./class-colors.js";
import { CLASS_KEYS } from "./class-keys.js";
import { decodeTimeline, emptyTimeline, withLabels } from "./decode.js";
import { connectDialog, getElement, setText } from "./dom.js";
import { createEditor } from "./editor.js";
import { toApiSegments } from "./edits.js";
import { setUpExport } from "./export.js";
import { setUpFileDrop } from "./file-drop.js";
import { createImprove } from "./improve.js";
import { createJobStatus } from "./job-status.js";
import { createMoments } from "./moments.js";
import { createPlayback } from "./playback.js";
import { createProject } from "./project.js";
import { createReviewQueue } from "./review-queue.js";
import { createRouter } from "./router.js";
import { createSession } from "./session.js";
import { readThreshold, toApiThreshold } from "./threshold.js";
import { createTimeline } from "./timeline.js";
import { createUploads } from "./uploads.js";
import { createVideoList } from "./video-list.js";

/** @param {Config} config */
function startApp(config) {
  const player = getElement("player", HTMLVideoElement);
  const canvas = getElement("timeline", HTMLCanvasElement);
  const viewer = getElement("viewer", HTMLElement);
  const editorBox = getElement("editor", HTMLElement);
  const missing = getElement("missing", HTMLElement);
  const playerError = getElement("player-error", HTMLElement);
  const connectionError = getElement("connection-error", HTMLElement);
  const timelines = getElement("timelines", HTMLElement);
  const shortcutsDialog = getElement("shortcuts", HTMLDialogElement);
  const fileInput = getElement("file", HTMLInputElement);

  /** Key to the edits of all videos that were opened. @type {Map<string, Session>} */
  const sessions = new Map();
  /** The video that is open. @type {string | null} */
  let openKey = null;
  /** The video that is being opened, or the open one. @type {string | null} */
  let requestedKey = null;
  /** The list entry of the open video when it was loaded or last compared. @type {VideoInfo | null} */
  let openInfo = null;
  /** The video whose first moment is to be shown. @type {string | null} */
  let momentKey = null;
  /** Whether the length of the open video is known, from the browser or from the model. */
  let hasDuration = false;
  /** The revision that was made for another file with this name, null if there is none. @type {number | null} */
  let replacedRevision = null;

  getElement("folder", HTMLElement).textContent = config.folder;
  function showModel() {
    getElement("run", HTMLElement).textContent = `Model: ${config.run}`;
    getElement("threshold-help", HTMLElement).textContent = config.thresholds;
  }
  showModel();
  config.keys = CLASS_KEYS;
  config.customColors = new Map(Object.entries(config.custom_colors));
  fileInput.accept = config.video_suffixes.join(",");

  /** Go to the first moment of a video that was opened for review, once its length is known. */
  function openMoment() {
    if (momentKey === openKey) moments.openNext();
    momentKey = null;
  }
  function togglePlayback() {
    if (player.paused)
      player.play().catch(() => {}); // the error event is handled below
    else player.pause();
  }
  /** The time of the player, which the playhead follows a frame later. */
  const getTime = () => (player.paused ? timeline.playhead : player.currentTime);
  const playback = createPlayback({
    player,
    getTime,
    seek: (seconds) => timeline.seek(seconds),
    showStatus: (message) => timeline.showStatus(message),
  });
  const editor = createEditor({
    config,
    getTime,
    getOtherClasses: () => videoList.videos.flatMap((video) => video.labels),
    createTimeline: (listeners, shortcuts) =>
      createTimeline({
        canvas,
        overview: getElement("overview", HTMLCanvasElement),
        tooltip: getElement("tooltip", HTMLElement),
        chips: getElement("chips", HTMLElement),
        player,
        clock: getElement("clock", HTMLElement),
        status: getElement("status", HTMLElement),
        config,
        listeners: {
          ...listeners,
          onSeek: (seconds) => {
            listeners.onSeek?.(seconds);
            router.replaceSoon();
          },
        },
        shortcuts: {
          " ": togglePlayback,
          n: () => openNeighbor(1),
          p: () => openNeighbor(-1),
          b: () => budget.open(),
          v: () => review.openNext(),
          "?": () => shortcutsDialog.showModal(),
          g: () => moments.openNext(),
          ...playback.shortcuts,
          ...shortcuts,
        },
      }),
  });
  const { timeline } = editor;
  const { showStatus } = timeline;
  const review = createReviewQueue({
    getVideoList: () => videoList,
    getOpenKey: () => openKey,
    isReviewed: (key) => sessions.get(key)?.isReviewed,
    onOpen: async (key) => {
      await navigateTo(key, true);
      momentKey = openKey === key && moments.count ? key : null;
      if (hasDuration) openMoment();
    },
    showStatus,
  });
  const moments = createMoments({ getTime, seek: timeline.seek, showStatus });
  const videoList = createVideoList({
    list: getElement("videos", HTMLElement),
    search: getElement("search", HTMLInputElement),
    count: getElement("count", HTMLElement),
    sort: review.sort,
    onOpen: (key) => navigateTo(key, true),
    onUpdate: handleUpdate,
  });
  const jobStatus = createJobStatus({ videoList, getOpenKey: () => openKey, showStatus });
  const uploads = createUploads({
    list: getElement("uploads", HTMLElement),
    config,
    onOpen: (key) => navigateTo(key, true),
    onUploaded: async (key, isOnly) => {
      await videoList.update();
      if (isOnly) navigateTo(key, true);
    },
  });
  const router = createRouter({
    getState: () =>
      openKey !== null && openKey === requestedKey
        ? { video: timeline.video.name, t: timeline.playhead.toFixed(1) }
        : null,
    onNavigate: ({ video, seconds }) => {
      const info = findByName(video);
      if (info) openVideo(info.key, seconds);
    },
  });
  const exporter = setUpExport({
    formats: config.formats,
    getSession: () => /** @type {Session} */ (editor.session),
    getThreshold: () => editor.threshold,
    hasPrediction: () => timeline.video.edges.length > 0,
  });

  // ---- opening a video

  /** @param {string} name */
  const findByName = (name) => videoList.videos.find((video) => video.name === name);
  const openSession = () => (openKey === null ? undefined : sessions.get(openKey));

  const getOpenVideo = () => (openKey === null ? null : { key: openKey, name: timeline.video.name });
  /** The thresholds that the user set, by key of the video. */
  function getThresholds() {
    /** @type {Record<string, number>} */
    const thresholds = {};
    for (const { key } of videoList.videos) {
      const threshold = readThreshold(key, config.model);
      if (threshold !== null) thresholds[key] = toApiThreshold(threshold);
    }
    return thresholds;
  }

  /** @param {string} key */
  const requestVideo = (key) => /** @type {Promise<VideoDetails>} */ (request("GET", `/api/videos/${key}`));

  /**
   * Returns whether the video is open now: another one may be opened in the meantime.
   * @param {string} key
   */
  async function openVideo(key, seconds = 0) {
    requestedKey = key;
    videoList.markCurrent(key);
    videoList.revealCurrent();
    const session = sessions.get(key);
    const revision = session?.revision;
    if (key !== openKey) openSession()?.save();
    try {
      const details = await requestVideo(key);
      if (requestedKey !== key) return false;
      // If the revision is another one, the session was saved while the request was running.
      if (session?.version === details.version && session.revision === revision) session.update(details.corrections);
      showVideo(details, seconds);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showStatus(`The video could not be opened: ${error.message}.`);
      if (requestedKey === key) {
        requestedKey = openKey;
        videoList.markCurrent(openKey);
      }
      return false;
    }
  }

  /**
   * Open a video as a step in the history of the browser.
   * @param {string} key
   */
  async function navigateTo(key, focusTimeline = false) {
    const isStep = openKey !== null && key !== openKey;
    if (!(await openVideo(key))) return;
    if (isStep) router.push();
    if (!focusTimeline) return;
    canvas.focus({ preventScroll: true });
    if (viewer.getBoundingClientRect().top > innerHeight / 2) viewer.scrollIntoView();
  }

  /** @param {1 | -1} direction */
  function openNeighbor(direction) {
    const key = openKey === null ? null : videoList.neighborOf(openKey, direction);
    if (key !== null && key !== openKey) navigateTo(key);
  }

  /**
   * @param {VideoDetails} details
   * @param {number} seconds
   */
  function showVideo(details, seconds) {
    const { key, name, version, packed, duration } = details;
    const previous = sessions.get(key);
    const losesEdits = Boolean(previous && previous.version !== version && previous.isDirty());
    const session = getSession(details);
    const info = videoList.find(key) || null;
    const isNewFile = key !== openKey || info?.version !== openInfo?.version;
    if (key !== openKey) exporter.clearMessage();
    openKey = key;
    openInfo = info;
    getElement("welcome", HTMLElement).hidden = true;
    viewer.hidden = false;
    getElement("name", HTMLElement).textContent = name;
    document.title = `${name} · ${config.folder}`;
    if (isNewFile) loadPlayer(key);

    const lastEnd = (session.segments || []).reduce((end, segment) => Math.max(end, segment.end), 0);
    const playerDuration = !isNewFile && Number.isFinite(player.duration) ? player.duration : 0;
    const length = duration || playerDuration;
    hasDuration = length > 0;
    // The page may know more classes than the model, in another order.
    const labels = details.classes.map(editor.labelOf);
    const decoded = packed ? withLabels(decodeTimeline(packed), labels) : emptyTimeline();
    const video = { ...decoded, name, end: Math.max(length, lastEnd) };
    playback.setFrameRate(details.fps);
    moments.show(details.moments);
    editor.open(video, session, details.thresholds, seconds);
    replacedRevision = details.replaced ? session.revision : null;
    editorBox.hidden = !video.end;
    if (!video.end) getElement("clock", HTMLElement).textContent = "";
    timeline.resize();
    uploads.markOpened(key);
    showProblems();
    router.replaceSoon();
    if (losesEdits) {
      showStatus("The file was replaced by another one. Unsaved changes to the previous file were dropped.");
    }
  }

  /** @param {string} key */
  function loadPlayer(key) {
    getElement("job", HTMLElement).hidden = true;
    getElement("export-status", HTMLElement).replaceChildren();
    showStatus("");
    player.hidden = false;
    player.src = `/api/videos/${key}/file`;
  }

  /**
   * The session of a video, created at the first time, and again if the file was replaced.
   * @param {VideoDetails} details
   */
  function getSession({ key, version, corrections }) {
    const existing = sessions.get(key);
    if (existing?.version === version) return existing;
    const session = createSession({
      key,
      version,
      corrections,
      fromApi: (segments) =>
        segments.map(({ label, ...segment }) => {
          /** @type {Segment["kind"]} */
          const kind = segment.score === null ? "edited" : "prediction";
          return { kind, label: editor.labelOf(label), ...segment };
        }),
      toApi: (segments) => toApiSegments(segments, config.classes),
      onChange: () => {
        if (editor.session !== session) return;
        editor.update();
        showProblems();
      },
    });
    sessions.set(key, session);
    return session;
  }

  // A video without model output has the length that the browser reports.
  player.addEventListener("loadedmetadata", () => {
    if (openKey === null || hasDuration || !Number.isFinite(player.duration)) return;
    hasDuration = true;
    timeline.update({ ...timeline.video, end: Math.max(timeline.video.end, player.duration) });
    editorBox.hidden = false;
    timeline.fit();
    timeline.resize();
    openMoment();
  });
  player.addEventListener("error", () => {
    if (player.hidden || !player.getAttribute("src")) return;
    player.hidden = true;
    showProblems();
  });

  // ---- problems

  /** Show the state of detection, and what is wrong with the file of the open video. */
  function showProblems() {
    if (openKey === null) return jobStatus.update();
    const session = openSession();
    if (!session) return; // its video is being opened under another key
    const info = videoList.find(openKey);
    const isMissing = !info || session.isLost;
    jobStatus.update();
    getElement("replaced", HTMLElement).hidden = replacedRevision === null || session.revision !== replacedRevision;
    missing.hidden = !isMissing;
    const advice = session.isDirty() ? " Put the file back to save your changes." : "";
    if (isMissing) setText(missing, `${timeline.video.name} is not in the folder any more.${advice}`);
    playerError.hidden = isMissing || !player.hidden;
    if (!info || playerError.hidden) return;
    let consequence = ".";
    if (!editorBox.hidden) consequence = ". You can still edit its timeline.";
    else if (info.state === "new") consequence = ". Run detection to see its timeline.";
    setText(playerError, `This browser cannot play the file${consequence}`);
  }

  onConnectionChange((problem) => {
    const isReconnected = !connectionError.hidden && !problem;
    connectionError.hidden = !problem;
    setText(connectionError, problem);
    if (isReconnected) saveAll();
  });

  const saveAll = () => Promise.all([...sessions.values()].map((session) => session.save()));

  // ---- updates of the list of videos

  /** Move sessions to the current keys of renamed videos. Returns whether the open video is one of these. */
  function followMovedVideos() {
    for (const [oldKey, session] of [...sessions]) {
      const newKey = videoList.moved[oldKey];
      if (!newKey || !videoList.find(newKey) || sessions.has(newKey)) continue;
      session.moveTo(newKey);
      sessions.set(newKey, session);
      sessions.delete(oldKey);
    }
    if (openKey === null || requestedKey !== openKey || editor.isDragging || sessions.has(openKey)) return false;
    return sessions.has(videoList.moved[openKey]);
  }

  async function handleUpdate() {
    review.update();
    const { model } = videoList;
    if (model && (model.model !== config.model || model.run !== config.run)) {
      config.run = model.run;
      config.model = model.model;
      config.thresholds = model.thresholds;
      // The previous output stays until there is another one.
      if (videoList.find(openKey)?.state === "done") openInfo = null;
      showModel();
    }
    if (openKey !== null && followMovedVideos()) return openVideo(videoList.moved[openKey], timeline.playhead);
    showProblems();
    for (const session of sessions.values()) if (session.isLost && videoList.find(session.key)) session.save();
    if (requestedKey === null) return openFirst();
    const info = videoList.find(openKey);
    const session = openSession();
    if (!info) openInfo = null; // loaded again if it comes back
    if (!info || !session || openKey === null || requestedKey !== openKey || editor.isDragging) return;
    const isFinished = info.state === "done" && openInfo?.state !== "done";
    if (info.version !== openInfo?.version || isFinished) return openVideo(openKey, timeline.playhead);
    openInfo = info;
    const { revision } = session;
    if (session.isDirty() || info.revision === revision) return;
    const details = await requestVideo(openKey);
    if (details.key !== openKey || session.revision !== revision || editor.isDragging) return;
    if (session.update(details.corrections)) showStatus("Someone else edited this video. Their version is shown.");
  }

  function openFirst() {
    const address = router.read();
    const requested = address && findByName(address.video);
    const { videos } = videoList;
    const first = requested || videos.find((video) => video.state === "done") || videos[0];
    if (first) return openVideo(first.key, requested ? address.seconds : 0);
    getElement("welcome-text", HTMLElement).textContent =
      `There are no videos in ${config.folder} yet. Drop a video here, or copy it into the folder.`;
  }

  // ---- keyboard

  /** @param {KeyboardEvent} event */
  function handleControlKey(event) {
    const key = event.key.toLowerCase();
    const target = /** @type {Element} */ (event.target);
    const isTextField = target.closest("input:not([type=range])");
    const { session } = editor;
    if (!session || !["s", "z", "y"].includes(key) || (key !== "s" && isTextField)) return;
    event.preventDefault();
    if (editor.isDragging) return;
    if (target.matches("input")) target.dispatchEvent(new Event("change")); // also save what is being typed
    if (key === "s") session.save();
    else if (key === "z" && !event.shiftKey) editor.undo();
    else editor.redo();
  }

  addEventListener("keydown", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (document.querySelector("dialog[open]") || timelines.hidden) return;
    if (event.ctrlKey || event.metaKey) return handleControlKey(event);
    if (viewer.hidden || editorBox.hidden) return;
    // Keys that the focused element uses itself.
    if (target.closest("input:not([type=range]), select:not(#speed), .sidebar")) return;
    if (editor.handleClassKey(event)) return;
    if (target.closest("video, select") && (event.key === " " || event.key.startsWith("Arrow"))) return;
    if (target.closest("button, a, summary") && [" ", "Enter"].includes(event.key)) return;
    if (target.closest(".scroll, input") && event.key.startsWith("Arrow")) return;
    timeline.handleKey(event);
  });
  getElement("skip", HTMLElement).addEventListener("click", (event) => {
    event.preventDefault();
    canvas.focus();
  });
  createImprove({ saveAll, onModelChange: () => videoList.update(), showStatus });
  const budget = createBudget({ saveAll, getOpenVideo, getThresholds });
  createClassColors({ config, getColor: timeline.lightColor, onChange: timeline.recolor });
  connectDialog(shortcutsDialog, getElement("show-shortcuts", HTMLElement), getElement("close-shortcuts", HTMLElement));

  // ---- files

  setUpFileDrop(uploads.add);

  // ---- the page

  addEventListener("focus", () => videoList.update());
  addEventListener("visibilitychange", () => {
    if (document.hidden) saveAll();
  });
  addEventListener("beforeunload", (event) => {
    if (uploads.isUploading || [...sessions.values()].some((session) => session.isDirty())) event.preventDefault();
  });
  new ResizeObserver(timeline.resize).observe(viewer);
  videoList.update();
}

try {
  /** @type {ProjectInfo | null} */
  const project = await request("GET", "/api/project");
  if (project) createProject(project);
  if (!project || project.has_model) startApp(await request("GET", "/api/config"));
} catch (error) {
  getElement("welcome-text", HTMLElement).textContent =
    `The page cannot be shown: ${/** @type {Error} */ (error).message}.`;
  throw error;
}
