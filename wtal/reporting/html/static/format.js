/** Times as text, and back. */

/** @param {number} value */
const twoDigits = (value) => String(value).padStart(2, "0");

/**
 * Minutes and seconds, with hours from one hour on.
 * @param {number} wholeSeconds
 * @param {string} fraction
 */
function joinTime(wholeSeconds, fraction) {
  const minutes = Math.floor(wholeSeconds / 60);
  const seconds = twoDigits(wholeSeconds % 60) + fraction;
  return minutes < 60 ? `${minutes}:${seconds}` : `${Math.floor(minutes / 60)}:${twoDigits(minutes % 60)}:${seconds}`;
}

/**
 * 83.25 -> "1:23.3"; "1:23" if `step`, the distance between times in seconds, is a whole number.
 * @param {number} seconds
 * @param {number} [step]
 */
export function formatTime(seconds, step = 0.1) {
  const tenths = Math.round(Math.max(0, seconds) * 10);
  return joinTime(Math.floor(tenths / 10), step < 1 ? `.${tenths % 10}` : "");
}

/**
 * 83.25 -> "1:23.25", to the millisecond.
 * @param {number} seconds
 */
export function formatExactTime(seconds) {
  const milliseconds = Math.round(seconds * 1000);
  const fraction = String(milliseconds % 1000)
    .padStart(3, "0")
    .replace(/0{1,2}$/, "");
  return joinTime(Math.floor(milliseconds / 1000), `.${fraction}`);
}

/**
 * "83.25", "1:23.25" or "0:01:23.25" -> 83.25; null if the text is not a time.
 * @param {string} text
 */
export function parseTime(text) {
  const pattern = /^(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)(?: *s)?$/;
  const match = text.trim().replace(",", ".").match(pattern);
  return match && (Number(match[1] || 0) * 60 + Number(match[2] || 0)) * 60 + Number(match[3]);
}

/**
 * "1 segment", "2 segments".
 * @param {number} count
 * @param {string} noun
 */
export const formatCount = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
