/**
 * *Train*: starts, shows and stops the steps from tagged videos to timelines.
 * @import { ProjectInfo, TrainingInfo } from "./api-types"
 */
import { createElement, getElement, setText } from "./dom.js";

/** The steps that are listed, by name; the ones before them take no time. @type {Record<string, string>} */
const TITLES = {
  features: "Extract features",
  model: "Train the model",
  calibration: "Choose thresholds",
  predictions: "Predict timelines",
};

/**
 * What is shown below the button.
 * @param {ProjectInfo} project
 */
function describe({ training, has_model: hasModel, can_train: canTrain }) {
  const { state, error, is_current: isCurrent, can_stop: canStop } = training;
  if (state === "running") {
    return canStop ? "You can go on tagging, and close this window." : "Another program works on this project.";
  }
  if (state === "opening") return "The timelines are being opened.";
  if (state === "failed") return `Failed: ${error}`;
  if (state === "stopped") return "Stopped. What is done is kept; Train continues.";
  if (!canTrain) return "Tag some videos first: each class in at least 5 videos, and some videos without it.";
  if (!hasModel) return "Makes a timeline of each video: when each class happens.";
  return isCurrent ? "The timelines are up to date." : "Tags or videos have changed since the last training.";
}

/**
 * @param {object} options
 * @param {() => void} options.onStart
 * @param {() => void} options.onStop
 */
export function createTraining({ onStart, onStop }) {
  const startButton = getElement("train", HTMLButtonElement);
  const stopButton = getElement("stop-training", HTMLButtonElement);
  const progress = getElement("training-progress", HTMLProgressElement);
  const list = getElement("training-steps", HTMLElement);
  startButton.addEventListener("click", onStart);
  stopButton.addEventListener("click", onStop);

  /** @param {TrainingInfo} training */
  function showSteps({ steps, step, state }) {
    const index = state === "done" || state === "opening" ? steps.length : steps.indexOf(step);
    const items = Object.entries(TITLES).map(([name, textContent]) => {
      const number = steps.indexOf(name);
      const item = createElement("li", { textContent });
      item.dataset.state = number < index ? "done" : number === index ? "current" : "later";
      if (number === index) item.ariaCurrent = "step";
      return item;
    });
    if (items.map((item) => item.outerHTML).join("") !== list.innerHTML) list.replaceChildren(...items);
  }

  return {
    /** @param {ProjectInfo} project */
    show(project) {
      const { training, has_model: hasModel, can_train: canTrain } = project;
      const isRunning = training.state === "running" || training.state === "opening";
      startButton.hidden = isRunning;
      startButton.disabled = !canTrain;
      setText(startButton, hasModel ? "Train again" : "Train");
      startButton.classList.toggle("primary", !hasModel || !training.is_current);
      stopButton.hidden = training.state !== "running" || !training.can_stop;
      list.hidden = !isRunning && !["failed", "stopped"].includes(training.state);
      showSteps(training);
      progress.hidden = !isRunning;
      if (training.state === "running" && training.total) {
        progress.max = training.total;
        progress.value = training.done;
      } else progress.removeAttribute("value");
      setText(getElement("training-message", HTMLElement), training.state === "running" ? training.message : "");
      setText(getElement("training-text", HTMLElement), describe(project));
    },
  };
}
