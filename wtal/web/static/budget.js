/**
 * *Time budget*: how often and how long each class occurs, and how well the model agrees with corrected timelines.
 * @import { AgreementScores, Budget } from "./api-types"
 */
import { ApiError, request } from "./api.js";
import { createElement, getElement, setText } from "./dom.js";
import { downloadFile } from "./export.js";
import { formatCount, formatTime } from "./format.js";

/** @param {number | null} value */
const formatNumber = (value) => (value === null ? "" : value.toFixed(2));
/** @param {number | null} share */
const formatPercent = (share) => (share === null ? "" : (100 * share).toFixed(1));
/** @param {string} word */
const capitalize = (word) => word[0].toUpperCase() + word.slice(1);

/**
 * @param {string} name
 * @param {string[]} cells
 */
const createRow = (name, cells) =>
  createElement(
    "tr",
    {},
    createElement("th", { scope: "row", textContent: name, title: name }),
    ...cells.map((textContent) => createElement("td", { textContent })),
  );

/** @param {AgreementScores} scores */
const agreementCells = ({ kappa, matched, events, reference_events: reference, precision, recall, f1 }) => [
  formatNumber(kappa),
  String(events),
  String(reference),
  String(matched),
  formatPercent(precision),
  formatPercent(recall),
  formatPercent(f1),
];

/**
 * @param {object} options
 * @param {() => Promise<unknown>} options.saveAll Saves the edits of all videos.
 * @param {() => { key: string, name: string } | null} options.getOpenVideo
 * @param {() => Record<string, number>} options.getThresholds The thresholds that the user set, by key of the video.
 */
export function createBudget({ saveAll, getOpenVideo, getThresholds }) {
  const dialog = getElement("budget", HTMLDialogElement);
  const ofVideo = getElement("budget-video", HTMLInputElement);
  const ofAll = getElement("budget-all", HTMLInputElement);
  const download = getElement("download-budget", HTMLButtonElement);
  const message = getElement("budget-message", HTMLElement);
  let requestNumber = 0;

  function readScope() {
    const video = ofVideo.checked ? getOpenVideo() : null;
    return { key: video && video.key, name: video ? video.name : "all videos", thresholds: getThresholds() };
  }

  /**
   * The response for the chosen videos, null if it failed or if others were chosen in the meantime.
   * @param {string} path
   */
  async function send(path) {
    requestNumber += 1;
    const number = requestNumber;
    setText(message, "Loading");
    try {
      await saveAll();
      const { key, thresholds } = readScope();
      const response = await request("POST", path, { key, thresholds });
      if (number !== requestNumber) return null;
      setText(message, "");
      return response;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (number === requestNumber) setText(message, `The time budget cannot be computed: ${error.message}.`);
      return null;
    }
  }

  /** @param {Budget} budget */
  function show({ videos, duration, classes, agreement, remarks }) {
    const length = duration === null ? "" : `, ${formatTime(duration)}`;
    setText(getElement("budget-caption", HTMLElement), `${formatCount(videos, "video")} with a timeline${length}`);
    const hasPoints = classes.some((of) => of.points);
    getElement("budget-points", HTMLElement).hidden = !hasPoints;
    getElement("budget-classes", HTMLElement).replaceChildren(
      ...classes.map((of) => {
        const counts = hasPoints ? [String(of.bouts), String(of.points)] : [String(of.bouts)];
        const times = [formatTime(of.total), formatNumber(of.mean), formatNumber(of.median), formatPercent(of.share)];
        return createRow(of.label, [...counts, ...times]);
      }),
    );
    if (!classes.length) setText(message, "No segments. Run detection, or add a segment.");
    getElement("budget-table", HTMLElement).hidden = !classes.length;
    getElement("budget-agreement", HTMLElement).hidden = !agreement;
    const notes = [...remarks, ...(agreement?.notes || [])].map((text) => `${capitalize(text)}.`);
    const items = notes.map((textContent) => createElement("li", { textContent }));
    getElement("budget-notes", HTMLElement).replaceChildren(...items);
    getElement("budget-definitions", HTMLElement).hidden = !notes.length;
    if (!agreement) return;
    const rows = agreement.classes.map((of) => createRow(of.label, agreementCells(of)));
    const all = createRow("all classes", agreementCells(agreement.overall));
    all.className = "total";
    const byVideo = agreement.videos.map((of) => createRow(`${of.name} (${of.mark})`, agreementCells(of)));
    getElement("agreement-classes", HTMLElement).replaceChildren(...rows, all);
    getElement("agreement-videos", HTMLElement).replaceChildren(...(ofAll.checked ? byVideo : []));
  }

  async function update() {
    const budget = await send("/api/budget");
    if (budget) show(budget);
  }

  async function open() {
    const video = getOpenVideo();
    ofVideo.disabled = !video;
    if (!video) ofAll.checked = true;
    dialog.showModal();
    await update();
  }

  getElement("show-budget", HTMLElement).addEventListener("click", open);
  getElement("close-budget", HTMLElement).addEventListener("click", () => dialog.close());
  for (const choice of [ofVideo, ofAll]) choice.addEventListener("change", update);
  download.addEventListener("click", async () => {
    const { name } = readScope();
    const table = await send("/api/budget.csv");
    if (!table) return;
    downloadFile(`time budget of ${name.replace(/.*\//, "")}.csv`, [table.content]);
    setText(message, "Downloaded.");
  });

  return { open };
}
