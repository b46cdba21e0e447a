/**
 * A project on the page: requests its state at regular intervals, and switches between its tags and its timelines.
 * @import { ProjectInfo } from "./api-types"
 */
import { ApiError, onConnectionChange, requestIfChanged } from "./api.js";
import { getElement, setText } from "./dom.js";
import { setUpFileDrop } from "./file-drop.js";
import { createTagging } from "./tagging.js";
import { createUploads } from "./uploads.js";

// ms between requests
const BUSY_INTERVAL = 1000; // while a model is trained
const IDLE_INTERVAL = 4000;
const PATIENCE = 5000; // ms without input after which the timelines are shown when they are ready
const NO_CONNECTION = "The server does not answer. Your tags are stored; start it again to continue.";

/**
 * Show a project. Without a model there are only its tags.
 * @param {ProjectInfo} first
 */
export function createProject(first) {
  const view = getElement("tagging", HTMLElement);
  const timelines = getElement("timelines", HTMLElement);
  const switchButton = getElement("show-tagging", HTMLButtonElement);
  const doneBanner = getElement("timelines-ready", HTMLElement);
  const uploadList = getElement("uploads", HTMLElement);
  const uploadBox = /** @type {HTMLElement} */ (uploadList.parentElement);
  const afterUploads = uploadList.nextElementSibling;
  let etag = "";
  let timer = 0;
  let lastInput = -Infinity;
  let isTraining = first.training.state === "running";

  const tagging = createTagging({
    onUpdate(project) {
      isTraining = ["running", "opening"].includes(project.training.state);
      const isReady = !first.has_model && project.has_model;
      // Somebody who is tagging is not interrupted.
      if (isReady && performance.now() - lastInput > PATIENCE) location.reload();
      doneBanner.hidden = !isReady;
      switchButton.hidden = !first.has_model;
    },
  });

  /** @param {boolean} showsTags */
  function showView(showsTags) {
    view.hidden = !showsTags;
    timelines.hidden = showsTags;
    document.body.classList.toggle("tags-shown", showsTags);
    setText(switchButton, showsTags ? "Timelines" : "Tags");
    switchButton.title = showsTags ? "Show the timelines" : "Say what happens in each video, and train again";
    if (showsTags) getElement("tag-uploads", HTMLElement).append(uploadList);
    else uploadBox.insertBefore(uploadList, afterUploads);
    if (!showsTags) tagging.stopPreview();
  }

  async function update() {
    clearTimeout(timer);
    try {
      await tagging.settled();
      const { requestCount } = tagging;
      const response = await requestIfChanged("/api/project", etag);
      if (response.json && tagging.requestCount === requestCount) {
        ({ etag } = response);
        tagging.show(response.json);
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
    clearTimeout(timer);
    timer = setTimeout(update, isTraining ? BUSY_INTERVAL : IDLE_INTERVAL);
  }

  if (!first.has_model) {
    const banner = getElement("connection-error", HTMLElement);
    onConnectionChange((problem) => {
      banner.hidden = !problem;
      setText(banner, problem && NO_CONNECTION);
    });
    getElement("folder", HTMLElement).textContent = first.folder;
    document.title = first.folder;
    getElement("file", HTMLInputElement).accept = first.video_suffixes.join(",");
    const uploads = createUploads({
      list: uploadList,
      config: first,
      onOpen: () => {},
      onUploaded(key) {
        uploads.markOpened(key); // the grid shows it
        update();
      },
    });
    setUpFileDrop(uploads.add);
  }
  switchButton.addEventListener("click", () => showView(Boolean(view.hidden)));
  getElement("show-timelines", HTMLElement).addEventListener("click", () => location.reload());
  addEventListener("focus", update);
  for (const type of ["keydown", "pointerdown"]) addEventListener(type, () => (lastInput = performance.now()));
  tagging.show(first);
  showView(!first.has_model);
  update();
}
