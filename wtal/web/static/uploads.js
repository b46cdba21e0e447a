/**
 * Uploads of videos, one after another, with progress and errors. If several are uploaded at once, each is listed until
 * it is opened.
 * @import { Config } from "./api-types"
 */
import { createElement } from "./dom.js";

/** @typedef {Pick<Config, "video_suffixes" | "max_upload_bytes">} UploadLimits */

/** @param {number} bytes */
const formatSize = (bytes) => (bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

/**
 * Why a file cannot be uploaded; "" if it can.
 * @param {File} file
 * @param {UploadLimits} config
 */
function checkFile(file, { video_suffixes: suffixes, max_upload_bytes: maxBytes }) {
  const name = file.name.toLowerCase();
  if (!suffixes.some((suffix) => name.endsWith(suffix))) return `not a video; use one of ${suffixes.join(", ")}`;
  if (file.size > maxBytes) {
    return `${formatSize(file.size)} is more than ${formatSize(maxBytes)}; copy the file into the folder instead`;
  }
  return file.size ? "" : "the file is empty";
}

/**
 * An entry in the list of uploads.
 * @param {File} file
 */
function createEntry(file) {
  const { name } = file;
  const progress = createElement("progress", { max: 1, value: 0, ariaLabel: `upload of ${name}` });
  const message = createElement("span", { className: "small" });
  const button = createElement("button", { textContent: "Cancel", ariaLabel: `Cancel ${name}` });
  const item = createElement(
    "li",
    {},
    createElement("span", { textContent: name, title: name }),
    button,
    progress,
    message,
  );
  /** @param {string} text */
  function finish(text) {
    progress.hidden = true;
    message.textContent = text;
    button.textContent = "Dismiss";
    button.ariaLabel = `Dismiss ${name}`;
    button.onclick = () => item.remove();
  }
  return { file, item, progress, button, finish };
}
/** @typedef {ReturnType<typeof createEntry>} Entry */

/**
 * @param {object} options
 * @param {HTMLElement} options.list
 * @param {UploadLimits} options.config
 * @param {(key: string) => void} options.onOpen
 * @param {(key: string, isOnly: boolean) => void} options.onUploaded
 */
export function createUploads({ list, config, onOpen, onUploaded }) {
  /** Key to the entry of an uploaded video that was not opened yet. @type {Map<string, Entry>} */
  const finished = new Map();
  /** The keys of the videos that were opened; the list of videos may show one before its upload is answered. */
  const opened = new Set();
  /** @type {{ entry: Entry, isOnly: boolean }[]} */
  let queue = [];
  let isUploading = false;

  /**
   * @param {Entry} entry
   * @param {string} key
   */
  function offerToOpen(entry, key) {
    const { name } = entry.file;
    const button = createElement("button", { textContent: "Open", ariaLabel: `Open ${name}` });
    button.addEventListener("click", () => onOpen(key));
    entry.button.before(button);
    finished.set(key, entry);
    entry.finish("Uploaded");
  }

  /**
   * @param {Entry} entry
   * @param {boolean} isOnly
   * @returns {Promise<void>}
   */
  function upload(entry, isOnly) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest(); // fetch reports no progress of uploads
      entry.button.onclick = () => {
        request.abort();
        entry.item.remove();
      };
      request.upload.onprogress = (event) => {
        if (event.lengthComputable) entry.progress.value = event.loaded / event.total;
      };
      request.responseType = "json";
      request.onload = () => {
        const { response, status } = request;
        if (status !== 201) return entry.finish(`Not uploaded: ${response?.error || `HTTP status ${status}`}`);
        if (isOnly || opened.has(response.key)) entry.item.remove();
        else offerToOpen(entry, response.key);
        onUploaded(response.key, isOnly);
      };
      request.onerror = () => entry.finish("Not uploaded: the connection was lost; try again");
      request.onloadend = () => resolve();
      request.open("PUT", `/api/uploads/${encodeURIComponent(entry.file.name)}`);
      request.send(entry.file);
    });
  }

  /** @param {Iterable<File>} fileList */
  async function add(fileList) {
    const files = [...fileList];
    for (const file of files) {
      const entry = createEntry(file);
      list.append(entry.item);
      const problem = checkFile(file, config);
      if (problem) {
        entry.finish(`Not uploaded: ${problem}`);
        continue;
      }
      queue.push({ entry, isOnly: files.length === 1 });
      entry.button.onclick = () => {
        queue = queue.filter((queued) => queued.entry !== entry);
        entry.item.remove();
      };
    }
    if (isUploading) return;
    isUploading = true;
    for (let next = queue.shift(); next; next = queue.shift()) await upload(next.entry, next.isOnly);
    isUploading = false;
  }

  /**
   * Remove the entry of a video that was opened.
   * @param {string} key
   */
  function markOpened(key) {
    opened.add(key);
    finished.get(key)?.item.remove();
    finished.delete(key);
  }

  return {
    add,
    markOpened,
    get isUploading() {
      return isUploading;
    },
  };
}
