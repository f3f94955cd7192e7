// @ts-check
// Holds the inbox: one stream for all tabs, while one of them is seen; tells them what waits and what has changed.

import { ApiError, fromStatus } from './errors.js';
import { readPending } from './question.js';
import { events } from './stream.js';

/** @typedef {import('./types').InboxState} InboxState */
/** @typedef {import('./types').InboxMessage} InboxMessage */

const FIRST_MILLIS = 1000;
const LONGEST_MILLIS = 30_000;

/** @type {Readonly<InboxState>} */
const NOTHING = Object.freeze({
  connection: 'off',
  retryTime: 0,
  questions: [],
  refused: [],
  revisions: { sites: '', devices: '', activity: '' },
  leader: false,
});

/** What waits for the owner of this device. */
export class Inbox {
  #state = NOTHING;
  #told = key(NOTHING);
  /** @type {Set<(state: InboxState) => void>} */
  #listeners = new Set();
  /** @type {Set<(what: any) => void>} */
  #hearers = new Set();
  /** @type {BroadcastChannel | null} */
  #tabs = null;
  /** @type {AbortController | null} */
  #watching = null;
  /** @type {AbortController | null} */
  #started = null;
  #hurry = () => {};
  /** @type {Set<string>} */
  #looked = new Set();

  /**
   * @param {object} parts
   * @param {import('./api.js').Api} parts.api
   * @param {import('./device.js').Device} parts.device
   * @param {Document} [parts.page] whose tab is seen or not; always where there is none
   * @param {number} [parts.silence] milliseconds after which a stream is dead
   */
  constructor({ api, device, page = globalThis.document, silence }) {
    this.api = api;
    this.device = device;
    this.page = page;
    this.silence = silence;
  }

  /** What is known now. */
  get state() {
    return this.#state;
  }

  /**
   * @param {(state: InboxState) => void} listener called at once, and with each change
   * @returns {() => void} ends it
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    listener(this.#state);
    return () => this.#listeners.delete(listener);
  }

  /** Watches from now on whenever this tab is seen. */
  start() {
    if (this.#started) return;
    this.#started = new AbortController();
    const { signal } = this.#started;
    this.#tabs = new BroadcastChannel(`${this.device.vault.name}.inbox`);
    this.#tabs.onmessage = ({ data }) => this.#heard(data);
    this.#tabs.postMessage({ kind: 'ask' });
    const look = () => this.#look();
    this.page?.addEventListener('visibilitychange', look, { signal });
    globalThis.addEventListener?.('pageshow', (event) => event.persisted && look(), { signal });
    globalThis.addEventListener?.('online', () => this.again(), { signal });
    let known = '';
    const changed = () => {
      const { deviceId, state } = this.device;
      if (known !== `${deviceId} ${state}`) this.#look();
      known = `${deviceId} ${state}`;
    };
    signal.addEventListener('abort', this.device.subscribe(changed));
    changed();
  }

  /** Ends it. */
  stop() {
    this.#started?.abort();
    this.#started = null;
    this.#end();
    this.#tabs?.close();
    this.#tabs = null;
  }

  /** Tries now what would be tried later. */
  again() {
    this.#hurry();
  }

  /**
   * Tells the other tabs something small.
   *
   * @param {any} what
   */
  tell(what) {
    this.#tabs?.postMessage({ kind: 'tell', what });
  }

  /**
   * @param {(what: any) => void} hearer of what other tabs tell
   * @returns {() => void} ends it
   */
  heard(hearer) {
    this.#hearers.add(hearer);
    return () => this.#hearers.delete(hearer);
  }

  /** Opens the stream anew where this tab is seen, and ends it where it is not. */
  #look() {
    this.#end();
    if (!this.#started || this.page?.visibilityState === 'hidden') return;
    if (!this.device.can('watch')) {
      this.#set({ ...NOTHING });
      return;
    }
    const watching = new AbortController();
    this.#watching = watching;
    this.#lead(watching.signal).catch(() => {});
  }

  #end() {
    this.#watching?.abort();
    this.#watching = null;
    this.#set({ connection: 'off', leader: false });
  }

  /**
   * Waits for the other tabs to hold it no more.
   *
   * @param {AbortSignal} signal
   */
  async #lead(signal) {
    const hold = () => this.#hold(signal);
    if (!navigator.locks) return hold();
    this.#tabs?.postMessage({ kind: 'ask' });
    return navigator.locks.request(`${this.device.vault.name}.inbox`, { signal }, hold);
  }

  /**
   * Holds the stream until it is no more to be held.
   *
   * @param {AbortSignal} signal
   */
  async #hold(signal) {
    let failures = 0;
    let hurried = -LONGEST_MILLIS;
    while (!signal.aborted && this.device.can('watch')) {
      /** @type {ApiError | null} */
      let failure = null;
      this.#set({ connection: 'connecting', retryTime: 0, leader: true });
      try {
        for await (const message of this.#messages(signal)) {
          await this.#take(message, signal);
          failures = 0;
        }
      } catch (error) {
        failure = error instanceof ApiError ? error : new ApiError('UNEXPECTED', { cause: error });
      }
      if (signal.aborted || !this.device.can('watch')) break;
      // A server that stops says so, and another is there; where that one stops too, it is not asked at once again.
      const hurry = failure?.reason === 'DRAINING' && failures === 0 && performance.now() - hurried > LONGEST_MILLIS;
      if (hurry) hurried = performance.now();
      const wait = hurry ? 0 : pause(failures, failure?.retryDelay ?? 0);
      failures += 1;
      if (wait) await this.#wait(wait, signal);
    }
    if (!signal.aborted) this.#set({ ...NOTHING });
  }

  /**
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<InboxMessage, void, void>}
   */
  async *#messages(signal) {
    const response = await this.api.watchInbox(signal);
    for await (const { event, data } of events(response, { silence: this.silence, signal })) {
      if (event === 'error') throw fromStatus(JSON.parse(data), 200);
      if (event === 'end') return;
      if (event === 'message') yield JSON.parse(data);
    }
  }

  /**
   * @param {InboxMessage} message
   * @param {AbortSignal} signal
   */
  async #take(message, signal) {
    this.api.heard(message.serverTime);
    const revisions = {
      sites: message.sitesRevision,
      devices: message.devicesRevision,
      activity: message.activityRevision,
    };
    const grown = revisions.devices !== this.#state.revisions.devices;
    if (this.device.state === 'held' && grown) await this.api.listDevices();
    const known = await this.#sites(message);
    const questions = [];
    const refused = [];
    for (const envelope of message.approvals ?? []) {
      try {
        if (!known.has(envelope.siteId)) throw new Error('of no site of this account');
        questions.push(readPending(envelope));
      } catch {
        refused.push(envelope.approvalId);
      }
    }
    if (!signal.aborted) this.#set({ connection: 'open', questions, refused, revisions });
  }

  /**
   * The sites of this account; asked for anew where a question is of one that was not heard of.
   *
   * @param {InboxMessage} message
   * @returns {Promise<Set<string>>} their ids
   */
  async #sites({ approvals = [] }) {
    if (approvals.length === 0) return new Set();
    const kept = new Set((await this.api.sites()).map((site) => site.siteId));
    const unknown = approvals.filter(({ siteId }) => !kept.has(siteId) && !this.#looked.has(siteId));
    if (unknown.length === 0) return kept;
    const listed = (await this.api.listSites()).map((site) => site.siteId);
    // Once each, or a question of no site would have the list asked for with every message.
    for (const { siteId } of unknown) if (!listed.includes(siteId)) this.#looked.add(siteId);
    return new Set(listed);
  }

  /**
   * @param {number} millis
   * @param {AbortSignal} signal
   * @returns {Promise<void>} when they have passed, or `again` was called
   */
  #wait(millis, signal) {
    this.#set({ connection: 'waiting', retryTime: Date.now() + millis });
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, millis);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
      signal.addEventListener('abort', () => this.#hurry());
    });
  }

  /** @param {any} data */
  #heard({ kind, state, what }) {
    if (kind === 'tell') for (const hearer of [...this.#hearers]) hearer(what);
    if (kind === 'ask' && this.#state.leader) this.#tabs?.postMessage({ kind: 'state', state: this.#state });
    if (kind === 'state' && !this.#state.leader && this.#watching) this.#set({ ...state, leader: false });
  }

  /** @param {Partial<InboxState>} values */
  #set(values) {
    const state = { ...this.#state, ...values };
    const told = key(state);
    if (told === this.#told) return;
    this.#told = told;
    this.#state = state;
    if (state.leader) this.#tabs?.postMessage({ kind: 'state', state });
    for (const listener of [...this.#listeners]) listener(state);
  }
}

/**
 * @param {InboxState} state
 * @returns {string} the same for states of which the second tells nothing new
 */
function key({ questions, ...rest }) {
  return JSON.stringify([questions.map((question) => question.approvalId), Object.entries(rest).sort()]);
}

/**
 * @param {number} failures
 * @param {number} seconds that the service asks for
 */
function pause(failures, seconds) {
  const wait = Math.min(FIRST_MILLIS * 2 ** failures, LONGEST_MILLIS);
  // Phones that were cut at once must not come back at once.
  return Math.max(seconds * 1000, wait * (0.5 + Math.random() / 2));
}
