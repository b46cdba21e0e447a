/** Requests to the server. */

const TIMEOUT = 30000; // ms

/** An error response; `status` is 0 if the server did not answer. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} [status]
   * @param {any} [body] the JSON of the response
   */
  constructor(message, status = 0, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** Receives "" if the server answers, else what is wrong. @type {(problem: string) => void} */
let reportConnection = () => {};

/** @param {typeof reportConnection} listener */
export function onConnectionChange(listener) {
  reportConnection = listener;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 */
async function send(method, path, body, headers = {}) {
  let response, json;
  try {
    response = await fetch(path, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers,
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    json = response.status === 304 ? null : await response.json();
  } catch {
    reportConnection("The server does not answer. Your changes are kept and will be saved when it is available again.");
    throw new ApiError("the server does not answer");
  }
  reportConnection(response.status === 401 ? json.error : "");
  if (!response.ok && response.status !== 304) throw new ApiError(json.error, response.status, json);
  return { json, etag: response.headers.get("etag") || "" };
}

/**
 * The JSON of a response. Throws ApiError.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 */
export async function request(method, path, body) {
  return (await send(method, path, body)).json;
}

/**
 * The JSON of a resource and its ETag; null as JSON if it has not changed since the given ETag. Throws ApiError.
 * @param {string} path
 * @param {string} etag
 */
export function requestIfChanged(path, etag) {
  return send("GET", path, undefined, etag ? { "If-None-Match": etag } : {});
}
