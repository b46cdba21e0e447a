/**
 * Exports the open video as a file in one of the formats.
 * @import { Config } from "./api-types"
 * @import { Session } from "./session"
 */
import { ApiError, request } from "./api.js";
import { createElement, getElement } from "./dom.js";

const REVOKE_DELAY = 60000; // ms until the memory of a download is freed

/**
 * @param {string} name
 * @param {string} base64
 */
function download(name, base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const link = createElement("a", { href: URL.createObjectURL(new Blob([bytes])), download: name });
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
    // The scores of the server have more digits: a score that is rounded up on the page must not be left out.
    const query = !session.segments && threshold !== null ? `?threshold=${threshold - 1e-7 * Math.abs(threshold)}` : "";
    const format = formats.find(({ name }) => name === select.value);
    button.disabled = true;
    try {
      await session.save();
      const { file, remarks, content } = await request(
        "GET",
        `/api/videos/${session.key}/export/${select.value}${query}`,
      );
      download(file, content);
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
}
