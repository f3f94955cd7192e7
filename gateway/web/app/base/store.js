// @ts-check
// One state of the app, and who is told when it changes.

export class Store {
  /** @type {Record<string, any>} */
  #state;
  /** @type {Set<(state: Record<string, any>) => void>} */
  #told = new Set();

  /** @param {Record<string, any>} state */
  constructor(state) { this.#state = Object.freeze({...state}); }

  get state() { return this.#state; }

  /**
   * Takes over what is given, and tells all subscribers if something is another value than before.
   * @param {Record<string, any>} change
   */
  set(change) {
    if (Object.entries(change).every(([name, value]) => Object.is(this.#state[name], value))) return;
    this.#state = Object.freeze({...this.#state, ...change});
    for (const each of [...this.#told]) each(this.#state);
  }

  /**
   * Calls back now, and with each change.
   * @param {(state: Record<string, any>) => void} callback
   * @returns {() => void} ends it
   */
  subscribe(callback) {
    this.#told.add(callback);
    callback(this.#state);
    return () => { this.#told.delete(callback); };
  }
}
