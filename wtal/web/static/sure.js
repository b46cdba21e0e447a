"use strict";
// How sure is sure enough: the thresholds that were chosen for the model, or one that the reader set by the slider. It is
// kept in this browser for each video until it is set back, as a download depends on it.

const sureness = ({ $, book, labelOf, moved }) => {
  let video = null;
  let thresholds = []; // label -> the score from which on it shows by default
  let sure = null; // what the reader set, null: the default

  const place = () => `how sure: ${video.key} by ${book.model}`;
  function recall() {
    try {
      const kept = localStorage.getItem(place());
      return kept !== null && video.results.length && Number.isFinite(Number(kept)) ? Number(kept) : null;
    } catch { return null; }
  }
  function keep() {
    try {
      if (sure === null) localStorage.removeItem(place()); else localStorage.setItem(place(), sure);
    } catch { /* a browser that keeps nothing */ }
  }

  // Another video, and what the server says its thresholds are.
  function open(one, told) {
    video = one; thresholds = [];
    // The page's scores are those of the server in fewer digits; so must be what they are held against.
    for (const [name, score] of Object.entries(told)) thresholds[labelOf(name)] = score === null ? Infinity : Math.fround(score);
    sure = recall();
    show();
  }

  function show() {
    const scores = video.results.map((segment) => segment.score), slider = $("least"), said = $("least-value");
    $("sure").hidden = !scores.length;
    if (!scores.length) return;
    const shows = thresholds.filter((score, label) => Number.isFinite(score) && video.classes.includes(label));
    slider.min = scores.reduce((a, b) => Math.min(a, b)); slider.max = scores.reduce((a, b) => Math.max(a, b));
    slider.value = sure === null ? Math.min(...shows, slider.max) : sure;
    said.textContent = sure === null ? "default" : sure.toFixed(2);
    said.title = sure === null ? $("default").title : "";
    slider.setAttribute("aria-valuetext", said.textContent);
    $("default").hidden = sure === null;
  }

  function set(score) { sure = score; keep(); show(); moved(); }
  $("least").addEventListener("input", (event) => set(+event.target.value));
  $("default").addEventListener("click", () => { set(null); $("least").focus(); });

  return {
    open,
    found: () => video.results.filter(({ label, score }) => score >= (sure === null ? thresholds[label] : sure)),
    get value() { return sure; },
  };
};
