/** Values that the browser keeps between visits. A browser that does not allow storage keeps none. */

/**
 * A stored value, null if there is none.
 * @param {string} key
 */
export function readStored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * Store a value; null removes it.
 * @param {string} key
 * @param {string | null} value
 */
export function store(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // not allowed
  }
}
