/**
 * *Improve model*: starts, shows and cancels the training of a new model, and lists all models.
 * @import { Improvement, ModelEntry } from "./api-types"
 */
import { ApiError, request } from "./api.js";
import { connectDialog, createElement, getElement, setText } from "./dom.js";
import { formatCount } from "./format.js";

// ms between requests
const BUSY_INTERVAL = 1000; // while a model is trained
const IDLE_INTERVAL = 10000;

/** @type {Intl.DateTimeFormatOptions} */
const DATE_FORMAT = { dateStyle: "medium", timeStyle: "short", hour12: false };
const CANNOT_MEASURE =
  "The gain cannot be measured yet. Mark at least two timelines as complete: one of them, and later one of four, is " +
  "kept for measuring and never used for training. A video is not kept if it is the last one with a class, or if the " +
  "first model was trained on its times.";

/** @param {number} share */
const toPercent = (share) => Math.round(1000 * share) / 10;

/** @param {Improvement["labels"]} labels */
function describeLabels({ videos, segments, points, complete }) {
  if (!videos) return "none";
  const kinds = [segments && formatCount(segments, "segment"), points && formatCount(points, "point")];
  const counts = kinds.filter(Boolean).join(" and ") || "no segments";
  return `${counts} in ${formatCount(videos, "video")}${complete ? `, ${complete} complete` : ""}`;
}

/**
 * "91.2 → 96.0 (+4.8)"
 * @param {ModelEntry} model
 * @param {"map" | "f1"} score
 */
function describeGain({ before, after }, score) {
  if (!before || !after) return "";
  const [from, to] = [toPercent(before[score]), toPercent(after[score])];
  const difference = `${to < from ? "−" : "+"}${Math.abs(to - from).toFixed(1)}`;
  return `${from.toFixed(1)} → ${to.toFixed(1)} (${difference})`;
}

/**
 * @param {object} options
 * @param {() => Promise<unknown>} options.saveAll Saves the edits of all videos.
 * @param {() => unknown} options.onModelChange
 * @param {(message: string) => void} options.showStatus
 */
export function createImprove({ saveAll, onModelChange, showStatus }) {
  const dialog = getElement("improve", HTMLDialogElement);
  const opener = getElement("show-improve", HTMLButtonElement);
  const startButton = getElement("start-improvement", HTMLButtonElement);
  const cancelButton = getElement("cancel-improvement", HTMLButtonElement);
  const progress = getElement("improvement-progress", HTMLProgressElement);
  const message = getElement("improvement-message", HTMLElement);
  const body = getElement("models", HTMLElement);
  let timer = 0;
  let wasRunning = false;
  /** The result of the last improvement that this page has seen. */
  let result = "";
  /** What the table of models shows. */
  let shownModels = "";

  /** @param {Improvement} improvement */
  function show(improvement) {
    const { state, stage, share, error, unavailable, labels, measured_on: measured, models } = improvement;
    const isRunning = state === "running";
    if (wasRunning && state === "idle") announce(models[0]);
    setText(opener, isRunning ? `Improving: ${Math.round(100 * share)} %` : "Improve model");
    setText(getElement("improvement-labels", HTMLElement), `Labels so far: ${describeLabels(labels)}.`);
    const names = measured.join(", ");
    const kept = `Kept for measuring, and not used for training: ${formatCount(measured.length, "video")} (${names}).`;
    setText(getElement("improvement-measuring", HTMLElement), measured.length ? kept : CANNOT_MEASURE);
    startButton.hidden = isRunning;
    startButton.disabled = Boolean(unavailable);
    cancelButton.hidden = progress.hidden = !isRunning;
    progress.value = share;
    if (isRunning) setText(message, `${stage}, ${Math.round(100 * share)} %. You can close this window and go on.`);
    else if (state === "failed") setText(message, `The model could not be improved: ${error}.`);
    else if (state === "cancelled") setText(message, "Cancelled.");
    else if (unavailable) setText(message, `Not available: ${unavailable}.`);
    else setText(message, models[0].active ? result : "");
    wasRunning = isRunning;
    showModels(models);
  }

  /** @param {ModelEntry} model */
  function announce(model) {
    const videos = formatCount(model.measured_on?.length || 0, "complete video");
    const scores = `Mean average precision ${describeGain(model, "map")}, F1 ${describeGain(model, "f1")}`;
    const gain = model.after ? `${scores}, on ${videos} not used for training` : "The gain could not be measured";
    const skipped = Object.entries(model.skipped || {}).map(([name, reason]) => ` ${name} was not used: ${reason}.`);
    const isWorse = model.before && model.after && model.after.map < model.before.map;
    const advice = isWorse ? " That is lower than before: choose Use below to go back." : "";
    result = `The new model is in use. ${gain}.${advice}${skipped.join("")}`;
    showStatus(`The model was improved. ${gain}.`);
    onModelChange();
  }

  /** @param {ModelEntry[]} models */
  function showModels(models) {
    const text = JSON.stringify(models);
    if (text === shownModels) return; // keeps the focus
    shownModels = text;
    body.replaceChildren(
      ...models.map((model) => {
        const use = createElement("button", { textContent: model.active ? "In use" : "Use", disabled: model.active });
        use.ariaLabel = model.active ? `${model.title} is in use` : `Use ${model.title}`;
        use.addEventListener("click", () => send("PUT", "/api/model", { id: model.id }).then(onModelChange));
        const date = model.created ? new Date(model.created).toLocaleString([], DATE_FORMAT) : "";
        const measured = model.measured_on || [];
        const cells = [
          date,
          model.labels ? describeLabels(model.labels) : "the data set alone",
          describeGain(model, "map"),
          describeGain(model, "f1"),
          measured.length ? formatCount(measured.length, "video") : "",
        ].map((textContent) => createElement("td", { textContent }));
        cells[4].title = measured.join("\n");
        const title = createElement("th", { scope: "row", textContent: model.title });
        return createElement("tr", {}, title, ...cells, createElement("td", {}, use));
      }),
    );
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [content]
   */
  async function send(method, path, content) {
    try {
      await request(method, path, content);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(message, `The request failed: ${error.message}.`);
      return;
    }
    await update();
  }

  async function update() {
    clearTimeout(timer);
    let interval = IDLE_INTERVAL;
    try {
      show(await request("GET", "/api/improvement"));
      if (wasRunning) interval = BUSY_INTERVAL;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(message, `The state is not known: ${error.message}.`);
    }
    clearTimeout(timer);
    timer = setTimeout(update, interval);
  }

  startButton.addEventListener("click", async () => {
    await saveAll();
    await send("POST", "/api/improvement");
  });
  cancelButton.addEventListener("click", () => send("DELETE", "/api/improvement"));
  opener.addEventListener("click", async () => {
    await saveAll();
    update();
  });
  connectDialog(dialog, opener, getElement("close-improve", HTMLElement));
  update();
}
