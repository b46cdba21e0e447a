/**
 * Labels while the video plays: a short press of a number key adds a point, holding the key marks a segment from the
 * time of pressing it to the time of releasing it. Several keys can be held at once.
 */

export const CLASS_KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
const HOLD_TIME = 300; // ms from which on a press is held

/**
 * The digit of a key, also on keyboards whose digits need Shift; undefined for other keys.
 * @param {KeyboardEvent} event
 */
export const digitOf = ({ code, shiftKey }) => (shiftKey ? undefined : code.match(/^(?:Digit|Numpad)([0-9])$/)?.[1]);

/**
 * The index of the class of a key; -1 if the key is none of them.
 * @param {KeyboardEvent} event
 */
const labelOfKey = (event) => CLASS_KEYS.indexOf(digitOf(event) || event.key);

/**
 * @param {object} options
 * @param {() => number} options.getTime The time of the video in seconds.
 * @param {() => number} options.countClasses
 * @param {(label: number, start: number, end: number) => void} options.onMark `end` is `start` after a short press.
 * @param {() => void} options.onCancel
 */
export function createClassKeys({ getTime, countClasses, onMark, onCancel }) {
  /** Code of the key to what it marks. @type {Map<string, { label: number, start: number, pressedAt: number }>} */
  const held = new Map();

  /** @param {number} pressedAt */
  const isHeldLong = (pressedAt, now = performance.now()) => now - pressedAt >= HOLD_TIME;

  /**
   * @param {string} code
   * @param {number} now When the key was released, which may be before it is handled here.
   */
  function release(code, now) {
    const press = held.get(code);
    if (!press) return;
    held.delete(code);
    onMark(press.label, press.start, isHeldLong(press.pressedAt, now) ? getTime() : press.start);
  }

  /** Forget the keys that are held. */
  function cancel() {
    if (!held.size) return;
    held.clear();
    onCancel();
  }

  /**
   * Returns whether the key belongs to a class.
   * @param {KeyboardEvent} event
   */
  function handleKeyDown(event) {
    if (event.key === "Escape" && held.size) {
      cancel();
      return true;
    }
    const label = labelOfKey(event);
    if (event.altKey || label < 0 || label >= countClasses()) return false;
    event.preventDefault();
    if (!event.repeat && !held.has(event.code))
      held.set(event.code, { label, start: getTime(), pressedAt: event.timeStamp });
    return true;
  }

  addEventListener("keyup", (event) => release(event.code, event.timeStamp));
  // The key is released in another window.
  addEventListener("blur", (event) => [...held.keys()].forEach((code) => release(code, event.timeStamp)));

  return {
    cancel,
    handleKeyDown,
    /** What the keys that are held mark so far. */
    drafts() {
      const end = getTime();
      return [...held.values()]
        .filter(({ start, pressedAt }) => isHeldLong(pressedAt) && end > start)
        .map(({ label, start }) => ({ label, start, end }));
    },
    get isHolding() {
      return held.size > 0;
    },
  };
}
