"use strict";
// Videos on their way to the server, one after another: how far each is, a button that stops it, and why it failed. Of
// several that were sent at once each stays, to be opened.

const uploads = ({ list, about, open, arrived }) => {
  const added = new Map(); // key -> the entry of a video that is there, until it is opened
  const waiting = [];
  let busy = false;

  const size = (bytes) => (bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

  function refusal(file) {
    const { suffixes, most } = about();
    if (!suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix))) return `its name must end in one of ${suffixes.join(", ")}`;
    if (file.size > most) return `it has ${size(file.size)}; ${size(most)} is the most. Copy it into the folder by hand`;
    return file.size ? "" : "it is empty";
  }

  function entry(file) {
    const item = document.createElement("li"), name = document.createElement("span"), progress = document.createElement("progress");
    const said = document.createElement("span"), stop = document.createElement("button");
    name.textContent = name.title = file.name; said.className = "small";
    progress.max = 1; progress.value = 0; progress.setAttribute("aria-label", `${file.name}: share that is sent`);
    stop.textContent = "cancel"; stop.setAttribute("aria-label", `cancel ${file.name}`);
    item.append(name, stop, progress, said);
    list.append(item);
    const one = { file, item, progress, request: null };
    one.end = (text) => {
      progress.hidden = true; said.textContent = text;
      stop.textContent = "dismiss"; stop.setAttribute("aria-label", `dismiss ${file.name}`);
      stop.onclick = () => item.remove();
    };
    one.fail = (why) => one.end(`not added: ${why}`);
    one.offer = (key) => {
      const button = document.createElement("button");
      button.textContent = "open"; button.setAttribute("aria-label", `open ${file.name}`);
      button.onclick = () => open(key);
      stop.before(button);
      added.set(key, item);
      one.end("added");
    };
    stop.onclick = () => {
      if (waiting.includes(one)) waiting.splice(waiting.indexOf(one), 1);
      if (one.request) one.request.abort();
      item.remove();
    };
    return one;
  }

  function send(one, alone) {
    return new Promise((done) => {
      const request = one.request = new XMLHttpRequest();
      request.upload.onprogress = (event) => { if (event.lengthComputable) one.progress.value = event.loaded / event.total; };
      request.responseType = "json";
      request.onload = () => {
        if (request.status !== 201) return one.fail((request.response && request.response.error) || `the server said ${request.status}`);
        const { key } = request.response;
        if (alone) one.item.remove(); else one.offer(key);
        arrived(key, alone);
      };
      request.onerror = () => one.fail("the connection broke off; send it again");
      request.onloadend = done;
      request.open("PUT", `/api/uploads/${encodeURIComponent(one.file.name)}`);
      request.send(one.file);
    });
  }

  async function take(files) {
    const alone = files.length === 1;
    for (const file of files) {
      const one = entry(file), why = refusal(file);
      if (why) one.fail(why); else waiting.push(one);
    }
    if (busy) return;
    busy = true;
    while (waiting.length) await send(waiting.shift(), alone);
    busy = false;
  }

  function opened(key) { if (added.has(key)) added.get(key).remove(); added.delete(key); }

  return { take, opened, get busy() { return busy; } };
};
