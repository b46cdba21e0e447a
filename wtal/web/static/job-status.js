/**
 * The state of detection in the open video, and the buttons that start and cancel it.
 * @import { VideoInfo } from "./api-types"
 * @import { VideoList } from "./video-list"
 */
import { ApiError, request } from "./api.js";
import { getElement, setText } from "./dom.js";
import { describeState } from "./video-list.js";

/** @param {VideoInfo} video */
function describeJob(video) {
  if (video.state === "failed") return `Detection failed: ${video.reason}.`;
  if (video.state === "cancelled") return `Detection was cancelled (${video.reason}).`;
  if (video.state === "new") return "This video has no model output yet.";
  return `${describeState(video)}.`;
}

/**
 * @param {object} options
 * @param {VideoList} options.videoList
 * @param {() => string | null} options.getOpenKey
 * @param {(message: string) => void} options.showStatus
 */
export function createJobStatus({ videoList, getOpenKey, showStatus }) {
  const progress = getElement("job-progress", HTMLProgressElement);
  const runButton = getElement("run-detection", HTMLButtonElement);
  const cancelButton = getElement("cancel-detection", HTMLButtonElement);
  const runAllButton = getElement("run-all", HTMLButtonElement);
  const newKeys = () => videoList.videos.filter((video) => video.state === "new").map((video) => video.key);

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async function send(method, path, body) {
    try {
      await request(method, path, body);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showStatus(`The request failed: ${error.message}.`);
    }
    await videoList.update();
  }

  /** Call after an update of the list, and when another video is opened. */
  function update() {
    const count = newKeys().length;
    getElement("run-all-box", HTMLElement).hidden = count < 2;
    setText(runAllButton, `Run detection on ${count} new videos`);
    const video = videoList.find(getOpenKey());
    getElement("job", HTMLElement).hidden = !video || video.state === "done";
    if (!video) return;
    setText(getElement("job-text", HTMLElement), describeJob(video));
    progress.hidden = video.state !== "running";
    if (video.duration) {
      progress.max = video.duration;
      progress.value = Math.min(video.position, video.duration);
    } else {
      progress.removeAttribute("value");
    }
    const isActive = video.state === "running" || video.state === "queued";
    runButton.hidden = isActive;
    cancelButton.hidden = !isActive;
    setText(runButton, video.state === "failed" ? "Try again" : "Run detection");
  }

  runButton.addEventListener("click", () => send("POST", "/api/jobs", { keys: [getOpenKey()] }));
  cancelButton.addEventListener("click", () => send("DELETE", `/api/jobs/${getOpenKey()}`));
  runAllButton.addEventListener("click", () => send("POST", "/api/jobs", { keys: newKeys() }));
  return { update };
}
