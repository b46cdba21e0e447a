"use strict";
// The address names the open video and the moment, so that it can be kept and sent. Each video that the reader opens is a
// step, from which the browser's back goes to the one before.

const address = ({ where, changed }) => {
  const PAUSE = 500; // ms
  let timer = 0;

  // `how`: pushState or replaceState. Where nothing is open, or another video is being opened, there is nothing to write.
  function write(how) {
    clearTimeout(timer); timer = 0;
    const now = where(), hash = now && `#${new URLSearchParams(now)}`;
    if (now && location.hash !== hash) history[how](null, "", hash);
  }
  function read() {
    const said = new URLSearchParams(location.hash.slice(1));
    return { name: said.get("video"), seconds: Number(said.get("t")) || 0 };
  }

  addEventListener("hashchange", () => {
    const to = read();
    if (to.name === null) return; // it names no video, as a link within the page
    clearTimeout(timer); timer = 0;
    changed(to);
  });
  return {
    read, step: () => write("pushState"), moved: () => { if (!timer) timer = setTimeout(write, PAUSE, "replaceState"); },
  };
};
