/**
 * Exports the open video as a file in one of the formats.
 * @import { Config } from "./api-types"
 * @import { Session } from "./session"
 */
import { ApiError, request } from "./api.js";
import { createElement, getElement } from "./dom.js";
import { toApiThreshold } from "./threshold.js";

const REVOKE_DELAY = 60000; // ms until the memory of a download is freed

/**
 * @param {string} name
 * @param {BlobPart[]} content
 */
export function downloadFile(name, content) {
  const link = createElement("a", { href: URL.createObjectURL(new Blob(content)), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_DELAY);
}

/**
 * @param {object} options
 * @param {Config["formats"]} options.formats
 * @param {() => Session} options.getSession The session of the open video.
 * @param {() => number | null} options.getThreshold
 * @param {() => boolean} options.hasPrediction
 */
export function setUpExport({ formats, getSession, getThreshold, hasPrediction }) {
  const select = getElement("format", HTMLSelectElement);
  const button = getElement("export", HTMLButtonElement);
  for (const { name, title, suffix } of formats) {
    select.append(createElement("option", { value: name, textContent: `${title} (${suffix})` }));
  }

  /**
   * @param {string[]} paragraphs
   * @param {string[]} [items]
   */
  function showMessage(paragraphs, items = []) {
    const elements = paragraphs.map((text) => createElement("p", { textContent: text }));
    const list = createElement("ul", {}, ...items.map((text) => createElement("li", { textContent: text })));
    getElement("export-status", HTMLElement).replaceChildren(...elements, ...(items.length ? [list] : []));
  }

  button.addEventListener("click", async () => {
    const session = getSession();
    const threshold = getThreshold();
    if (!session.segments && !hasPrediction()) {
      return showMessage(["No segments to export. Run detection, or add a segment."]);
    }
    const query = !session.segments && threshold !== null ? `?threshold=${toApiThreshold(threshold)}` : "";
    const format = formats.find(({ name }) => name === select.value);
    button.disabled = true;
    try {
      await session.save();
      const { file, remarks, content } = await request(
        "GET",
        `/api/videos/${session.key}/export/${select.value}${query}`,
      );
      downloadFile(file, [Uint8Array.from(atob(content), (character) => character.charCodeAt(0))]);
      const message = `Exported ${file}${session.isDirty() ? " without the unsaved changes" : ""}.`;
      const title = remarks.length ? "This format does not store everything:" : "";
      showMessage([message, format?.hint || "", title].filter(Boolean), remarks);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showMessage([`Export failed: ${error.message}.`]);
    } finally {
      button.disabled = false;
    }
  });

  return { clearMessage: () => showMessage([]) };
}
