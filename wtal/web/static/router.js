/**
 * Keeps the open video and the position in the address, so that they can be bookmarked and shared. Each video that the
 * user opens is a step in the history of the browser.
 */

const UPDATE_DELAY = 500; // ms

/**
 * @param {object} options
 * @param {() => Record<string, string> | null} options.getState The parameters of the address, null to leave it.
 * @param {(address: { video: string, seconds: number }) => void} options.onNavigate
 */
export function createRouter({ getState, onNavigate }) {
  let timer = 0;

  function stopTimer() {
    clearTimeout(timer);
    timer = 0;
  }

  /** @param {"pushState" | "replaceState"} method */
  function write(method) {
    stopTimer();
    const state = getState();
    const hash = state && `#${new URLSearchParams(state)}`;
    if (hash && location.hash !== hash) history[method](null, "", hash);
  }

  function read() {
    const parameters = new URLSearchParams(location.hash.slice(1));
    const video = parameters.get("video");
    return video === null ? null : { video, seconds: Number(parameters.get("t")) || 0 };
  }

  addEventListener("hashchange", () => {
    const address = read();
    if (!address) return; // a link within the page
    stopTimer();
    onNavigate(address);
  });

  return {
    read,
    push: () => write("pushState"),
    replaceSoon: () => {
      if (!timer) timer = setTimeout(write, UPDATE_DELAY, "replaceState");
    },
  };
}
