/** Videos that are chosen with the file field, or dropped anywhere on the page. */
import { getElement } from "./dom.js";

/** @param {(files: Iterable<File>) => void} add */
export function setUpFileDrop(add) {
  const fileInput = getElement("file", HTMLInputElement);
  fileInput.addEventListener("change", () => {
    add(fileInput.files || []);
    fileInput.value = "";
  });
  /** @param {DragEvent} event */
  const hasFiles = (event) => Boolean(event.dataTransfer?.types.includes("Files"));
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!hasFiles(event)) return;
    event.preventDefault();
    add(event.dataTransfer?.files || []);
  });
}
