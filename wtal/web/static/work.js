"use strict";
// Looking for what happens: how far the server is with the open video, and every way to ask for it, or to leave it.

const work = ({ $, list, opened, say }) => {
  const fresh = () => list.videos.filter((video) => video.state === "new").map((video) => video.key);

  // Ask the server to find what happens ("POST"), or not to ("DELETE").
  async function ask(method, path, value) {
    try {
      await server.ask(method, path, value);
    } catch (error) { say(`The server refused: ${error.message}.`); }
    await list.look();
  }

  function sentence(video) {
    if (video.state === "failed") return `The search failed: ${video.reason}.`;
    if (video.state === "cancelled") return `The search was ${list.state({ ...video, corrected: false })}.`;
    if (video.state === "waiting") return `It ${list.state(video)}.`;
    if (video.state === "working") return video.duration ? `What happens is being looked for: ${list.state(video)}.` : "The video is being opened.";
    return "Nobody has looked for anything in this video yet.";
  }

  function showOpened() {
    const video = list.of(opened()), done = !video || video.state === "done";
    $("job").hidden = done;
    if (done) return;
    const { state, second, duration } = video, text = sentence(video), runs = state === "working" || state === "waiting";
    if ($("job-text").textContent !== text) $("job-text").textContent = text;
    $("job-progress").hidden = state !== "working";
    if (duration) { $("job-progress").max = duration; $("job-progress").value = Math.min(second, duration); } else $("job-progress").removeAttribute("value");
    $("job-ask").hidden = runs; $("job-cancel").hidden = !runs;
    $("job-ask").textContent = state === "failed" ? "try again" : "find what happens";
  }

  // After each look at the list, and when another video is open.
  function show() {
    const many = fresh().length;
    $("all-new").hidden = many < 2;
    $("ask-all").textContent = `find what happens in all ${many} new ones`;
    showOpened();
  }

  $("job-ask").addEventListener("click", () => ask("POST", `/api/videos/${opened()}/job`));
  $("job-cancel").addEventListener("click", () => ask("DELETE", `/api/videos/${opened()}/job`));
  $("ask-all").addEventListener("click", () => ask("POST", "/api/jobs", { keys: fresh() }));
  return { show };
};
