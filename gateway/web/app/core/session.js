// @ts-check
// Speaks to the service: device token, proofs, the service's clock, deadlines, repeats of what may be repeated.

import { SHAPES, json, shaped } from './answer.js';
import { ApiError, refusal } from './errors.js';
import { alone } from './locks.js';
import { prove } from './keys.js';

/** @typedef {import('./device.js').Device} Device */
/** @typedef {'GET' | 'POST' | 'PUT'} Verb */
/**
 * One call.
 *
 * @typedef {object} Ask
 * @property {Verb} verb
 * @property {string} path below the base
 * @property {object} [body]
 * @property {boolean} [again] whether it does no harm twice
 * @property {boolean} [asks] whether it only asks: a GET does
 * @property {string} [method] such as `AccountService/RevokeDevice`, where it takes a DeviceProof
 * @property {string[]} [names] what the proof names
 */

const DEADLINE_MILLIS = 10_000;
// Two tries at most, see `#proven`.
const PROOF_MILLIS = 2 * DEADLINE_MILLIS + 2000;
const RENEW_MILLIS = 5 * 60_000;
// A last proof that far ahead of now was refused, and need not be passed.
const SKEW_MILLIS = 60_000;
const WAITS_MILLIS = [300, 1000];
// A message of a stream may have waited: its time can be past, but not by more than this.
const STALE_MILLIS = 30_000;
const KEPT_MILLIS = 500;

/** Calls by this device, and by nobody before there is one. */
export class Session {
  #token = '';
  #expires = 0;
  /** @type {Promise<string> | null} */
  #opening = null;
  #tokenOf = '';
  #offset = 0;
  #keptOffset = NaN;

  /**
   * @param {object} parts
   * @param {import('./vault.js').Vault} parts.vault
   * @param {Device} parts.device
   * @param {string} [parts.base] of the service's addresses, relative to the page
   * @param {typeof globalThis.fetch} [parts.fetch]
   * @param {() => number} [parts.now] the phone's clock, milliseconds
   */
  constructor({ vault, device, base = '../v1/', fetch = globalThis.fetch.bind(globalThis), now = Date.now }) {
    this.vault = vault;
    this.device = device;
    this.base = base;
    this.fetch = fetch;
    this.now = now;
    /** Resolves when the offset that was kept has been read, for a start without network. */
    this.ready = this.#recall().catch(() => {});
  }

  /** How far the service's clock is ahead of the phone's, milliseconds. */
  get clockOffset() {
    return this.#offset;
  }

  /** Milliseconds since 1970 by the service's clock, as far as is known. */
  serviceNow() {
    return this.now() + this.#offset;
  }

  async #recall() {
    const kept = await this.vault.get('settings', 'offset');
    // What the service has said meanwhile is newer.
    if (Number.isFinite(kept) && Number.isNaN(this.#keptOffset)) this.#offset = this.#keptOffset = kept;
  }

  /**
   * Learns the service's time from a message of a stream.
   *
   * @param {string | undefined} serverTime RFC 3339
   */
  heard(serverTime) {
    if (!serverTime) return;
    const offset = Date.parse(serverTime) - this.now();
    if (offset > this.#offset || offset < this.#offset - STALE_MILLIS) this.#learn(offset);
  }

  /** Drops the token: the next call opens a session. */
  forget() {
    this.#token = '';
    this.#expires = 0;
  }

  /**
   * Calls without a credential.
   *
   * @param {Ask} ask
   * @returns {Promise<any>} the answer
   * @throws {ApiError}
   */
  bare(ask) {
    return this.#repeat(ask, () => this.#send(ask, ''));
  }

  /**
   * Calls with the device's token, and with a proof where its `method` names what is proven.
   *
   * @param {Ask} ask
   * @returns {Promise<any>} the answer
   * @throws {ApiError}
   */
  call(ask) {
    return this.#repeat(ask, () => this.#withToken((token) => this.#once(ask, token)));
  }

  /**
   * Opens a stream.
   *
   * @param {string} path
   * @param {AbortSignal} signal
   * @returns {Promise<Response>} whose body is the stream
   * @throws {ApiError}
   */
  stream(path, signal) {
    return this.#withToken(async (token) => {
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), DEADLINE_MILLIS);
      try {
        return await this.#fetch({ verb: 'GET', path }, token, AbortSignal.any([signal, late.signal]));
      } finally {
        clearTimeout(timer);
      }
    });
  }

  /**
   * @param {Ask} ask
   * @param {() => Promise<any>} attempt
   */
  async #repeat(ask, attempt) {
    const end = performance.now() + DEADLINE_MILLIS;
    for (let tries = 0; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        const lost = error instanceof ApiError && (error.undone || (ask.again && error.reason === 'UNREACHABLE'));
        if (!lost || tries === WAITS_MILLIS.length || performance.now() > end) throw error;
      }
      const wait = /** @type {number} */ (WAITS_MILLIS[tries]);
      await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
    }
  }

  /**
   * @template T
   * @param {(token: string) => Promise<T>} attempt
   * @returns {Promise<T>}
   */
  async #withToken(attempt) {
    await this.ready;
    const token = await this.#goodToken('');
    try {
      return await attempt(token);
    } catch (error) {
      if (!(error instanceof ApiError && error.reason === 'BAD_CREDENTIAL')) throw error;
    }
    return attempt(await this.#goodToken(token));
  }

  /**
   * @param {string} refused a token that the service did not take
   * @returns {Promise<string>}
   */
  #goodToken(refused) {
    const good = this.#token !== refused && this.#tokenOf === this.device.deviceId;
    if (good && this.serviceNow() < this.#expires - RENEW_MILLIS) return Promise.resolve(this.#token);
    this.#opening ??= this.#create().finally(() => (this.#opening = null));
    return this.#opening;
  }

  /** @returns {Promise<string>} */
  async #create() {
    const { deviceId } = this.#keys();
    /** @type {Ask} */
    const ask = { verb: 'POST', path: 'account/sessions', method: 'AccountService/CreateSession', body: { deviceId } };
    let answer;
    try {
      answer = shaped(await this.#once(ask, ''), SHAPES.session);
    } catch (error) {
      if (error instanceof ApiError) {
        // By its own key it is nobody any more. That the service is another one looks the same.
        if (error.reason === 'BAD_CREDENTIAL' && this.device.deviceId === deviceId) await this.device.removed();
        error.before = true;
      }
      throw error;
    }
    this.#token = answer.deviceToken;
    this.#tokenOf = deviceId;
    this.#expires = Date.parse(answer.expireTime);
    this.#learn(Date.parse(answer.serverTime) - this.now());
    return this.#token;
  }

  /**
   * @param {Ask} ask
   * @param {string} token
   * @returns {Promise<any>}
   */
  #once(ask, token) {
    if (!ask.method) return this.#send(ask, token);
    // The service takes proofs only in the order of their times: one at a time, over all tabs.
    return alone(`${this.vault.name}.proof`, () => this.#proven(ask, token), PROOF_MILLIS);
  }

  /**
   * @param {Ask} ask
   * @param {string} token
   * @returns {Promise<any>}
   */
  async #proven(ask, token) {
    const before = await this.vault.get('settings', 'lastProof');
    try {
      return await this.#send(await this.#prove(ask), token);
    } catch (error) {
      if (!(error instanceof ApiError && error.reason === 'CLOCK_SKEW')) throw error;
      const told = Number(error.metadata.server_time);
      if (!told) throw error;
      this.#learn(told - this.now());
      // The one that was refused need not be passed, but the one before it.
      await this.vault.put('settings', before ?? 0, 'lastProof');
    }
    return this.#send(await this.#prove(ask), token);
  }

  /**
   * @param {Ask} ask
   * @returns {Promise<Ask>} with its proof
   */
  async #prove(ask) {
    const keys = this.#keys();
    const now = Math.floor(this.serviceNow());
    const time = await this.vault.change(async (access) => {
      const last = (await access.get('settings', 'lastProof')) ?? 0;
      const next = last <= now + SKEW_MILLIS ? Math.max(now, last + 1) : now;
      await access.put('settings', next, 'lastProof');
      return next;
    });
    const proof = await prove(keys, /** @type {string} */ (ask.method), time, ask.names ?? []);
    return { ...ask, body: { ...ask.body, proof } };
  }

  #keys() {
    const { keys } = this.device;
    if (!keys) throw new ApiError('NO_DEVICE');
    return keys;
  }

  /**
   * @param {Ask} ask
   * @param {string} token
   * @returns {Promise<any>}
   */
  async #send(ask, token) {
    const offline = globalThis.navigator?.onLine === false;
    try {
      return shaped(await json(await this.#fetch(ask, token, AbortSignal.timeout(DEADLINE_MILLIS))), {});
    } catch (error) {
      if (error instanceof ApiError) error.before = offline || ask.asks === true || ask.verb === 'GET';
      throw error;
    }
  }

  /**
   * @param {Ask} ask
   * @param {string} token
   * @param {AbortSignal} signal
   * @returns {Promise<Response>} that is `ok`
   */
  async #fetch({ verb, path, body }, token, signal) {
    /** @type {Record<string, string>} */
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    if (verb !== 'GET') headers['content-type'] = 'application/json';
    let response;
    try {
      response = await this.fetch(this.base + path, {
        method: verb,
        headers,
        body: verb === 'GET' ? undefined : JSON.stringify(body ?? {}),
        signal,
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
        referrerPolicy: 'no-referrer',
      });
    } catch (error) {
      throw new ApiError('UNREACHABLE', { cause: error });
    }
    if (!response.ok) throw refusal(response, await json(response).catch(() => null));
    return response;
  }

  /** @param {number} offset milliseconds */
  #learn(offset) {
    if (!Number.isFinite(offset)) return;
    this.#offset = offset;
    if (Math.abs(offset - this.#keptOffset) < KEPT_MILLIS) return;
    this.#keptOffset = offset;
    // For a start without network: where it cannot be kept, nothing else is lost.
    this.vault.put('settings', offset, 'offset').catch(() => {});
  }
}
