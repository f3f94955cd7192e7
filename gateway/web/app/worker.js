// @ts-check
// Registers the worker, and offers a new version of the app: only a tap takes it over, and then always reloads.
import {scriptURL} from './base/policy.js';

const HOUR = 3_600_000;
const PATIENCE = 2000;

export class Worker {
  #store;
  /** @type {ServiceWorkerRegistration | null} */
  #registration = null;
  #looked = Date.now();

  /** @param {import('./base/store.js').Store} store whose `update` says that a new version is ready */
  constructor(store) { this.#store = store; }

  async start() {
    if (!('serviceWorker' in navigator)) return;
    try {
      this.#registration = await navigator.serviceWorker.register(scriptURL('sw.js'), {scope: './', updateViaCache: 'none'});
    } catch {
      // A private window, or a policy of the browser: the app works, but not offline.
      return;
    }
    this.#look();
    this.#registration.addEventListener('updatefound', () => this.#look());
    document.addEventListener('visibilitychange', () => { this.#again(); });
  }

  #look() {
    const {waiting, installing, active} = this.#registration ?? {};
    if (waiting && active) this.#store.set({update: true});
    installing?.addEventListener('statechange', () => this.#look());
  }

  async #again() {
    if (document.hidden || Date.now() - this.#looked < HOUR) return;
    this.#looked = Date.now();
    try {
      await this.#registration?.update();
    } catch {
      // Offline: at the next return.
    }
  }

  /** Takes over the new version and reloads, also where the browser does not say that it did. */
  async reload() {
    const changed = new Promise((resolve) => {
      navigator.serviceWorker.addEventListener('controllerchange', resolve, {once: true});
      setTimeout(resolve, PATIENCE);
    });
    this.#registration?.waiting?.postMessage('take over');
    await changed;
    location.reload();
  }
}
