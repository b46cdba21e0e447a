"use strict";
// Taking the open video's timeline along: a file in one of the formats, what it cannot hold, and what to do with it.

const taking = ({ $, formats, session, sure, found }) => {
  for (const { name, title, ending } of formats) {
    const option = document.createElement("option");
    option.value = name; option.textContent = `${title} (${ending})`;
    $("format").append(option);
  }

  async function take() {
    const own = session(), least = sure();
    if (!own.now && !found()) return remark("There is nothing to download yet: find what happens, or add a segment.");
    // The server has the scores in more digits than the page: one that is rounded up here must not be left out there.
    const only = !own.now && least !== null ? `?least=${least - 1e-7 * Math.abs(least)}` : "";
    const { name, hint } = formats.find((format) => format.name === $("format").value);
    $("export").disabled = true;
    try {
      await own.save();
      const { file, remarks, content } = await server.ask("GET", `/api/videos/${own.key}/export/${name}${only}`);
      hand(file, content);
      remark(`${file} is downloaded${own.dirty() ? ", without what is not saved" : ""}.`, hint, remarks);
    } catch (error) { remark(`Nothing was downloaded: ${error.message}.`); } finally { $("export").disabled = false; }
  }

  function hand(file, content) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)), link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes])); link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  const made = (tag, text) => { const element = document.createElement(tag); element.textContent = text; return element; };
  function remark(text, hint = "", losses = []) {
    const parts = [text, hint, losses.length ? "What this format cannot hold:" : ""].filter(Boolean).map((part) => made("p", part));
    const all = document.createElement("ul");
    all.append(...losses.map((loss) => made("li", loss)));
    $("remarks").replaceChildren(...parts, ...(losses.length ? [all] : []));
  }

  $("export").addEventListener("click", take);
};
