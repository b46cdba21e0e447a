"use strict";
// Asking the server: every fault is an Error with the server's sentence, `status`, and `told` (what else it said);
// `gone` where nothing answered.

const server = (() => {
  const PATIENCE = 30000; // ms
  let reached = () => {};

  async function ask(method, path, value, headers = {}) {
    let answer;
    try {
      const body = value === undefined ? undefined : JSON.stringify(value);
      answer = await fetch(path, { method, body, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      answer.told = answer.status === 304 ? null : await answer.json();
    } catch (error) {
      reached("The server does not answer. What is changed here is kept, and saved when it is back.");
      throw Object.assign(new Error("the server does not answer"), { gone: true });
    }
    reached(answer.status === 401 ? answer.told.error : "");
    if (!answer.ok && answer.status !== 304) throw Object.assign(new Error(answer.told.error), { status: answer.status, told: answer.told });
    return answer;
  }

  return {
    ask: async (method, path, value) => (await ask(method, path, value)).told,
    // What changed since an earlier answer's tag: {tag, told}, told null where nothing did.
    news: async (path, tag) => {
      const answer = await ask("GET", path, undefined, tag ? { "If-None-Match": tag } : {});
      return { tag: answer.headers.get("etag"), told: answer.told };
    },
    onReached: (listener) => { reached = listener; },
  };
})();
