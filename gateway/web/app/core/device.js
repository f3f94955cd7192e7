// @ts-check
// Holds the device's state and keys: what it may do now, and the codes it makes, without network too.

import { agree, codeAt, deviceCheck, makeDeviceKeys, sign, siteCodeKey } from './keys.js';
import { fromBase64, utf8 } from './bytes.js';

/** @typedef {import('./types').Act} Act */
/** @typedef {import('./types').DeviceRecord} DeviceRecord */
/** @typedef {import('./types').NewKeys} NewKeys */
/** @typedef {import('./types').Registered} Registered */
/** @typedef {import('./types').Registration} Registration */
/** @typedef {import('./types').State} State */
/** @typedef {import('./vault.js').Vault} Vault */

/**
 * What each state allows. A screen asks this table, and keeps no flags.
 *
 * @type {Readonly<Record<State, readonly Act[]>>}
 */
export const ALLOWED = Object.freeze({
  none: ['register', 'showForeign'],
  registering: ['register', 'showForeign'],
  held: ['session', 'watch', 'listDevices', 'revokeSelf', 'showForeign'],
  active: ['session', 'watch', 'listDevices', 'revokeSelf', 'account', 'sites', 'codes', 'answer', 'showForeign'],
  removed: ['register', 'showForeign'],
  lost: ['register', 'showForeign'],
});

/** This browser as a device of an account. */
export class Device {
  /** @type {DeviceRecord | null} */
  #record = null;
  /** @type {Registration | null} */
  #registration = null;
  /** @type {import('./types').Marker | null} */
  #marker = null;
  /** @type {State} */
  #state = 'none';
  #check = '';
  /** @type {Map<string, Promise<CryptoKey>>} */
  #codeKeys = new Map();
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {BroadcastChannel} */
  #tabs;

  /** @param {Vault} vault */
  constructor(vault) {
    this.vault = vault;
    this.#tabs = new BroadcastChannel(`${vault.name}.device`);
    this.#tabs.onmessage = () => this.#read();
  }

  /**
   * Reads what the vault has, and tries each key once.
   *
   * @param {Vault} vault
   * @returns {Promise<Device>} `lost` where the keys are not good
   * @throws {import('./vault.js').VaultError}
   */
  static async load(vault) {
    const device = new Device(vault);
    await device.#read();
    // Where there is no room for it, codes are shown all the same.
    if (device.#record && device.#state !== 'removed' && device.#state !== 'lost') await device.#seen().catch(() => {});
    return device;
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** Empty where there is none. */
  get deviceId() {
    return this.#marker?.deviceId ?? '';
  }

  /** As its owner named it. */
  get name() {
    return this.#marker?.name ?? '';
  }

  /** When the keys were last good at a start: milliseconds since 1970, 0 for never. */
  get seenTime() {
    return this.#marker?.seenTime ?? 0;
  }

  /** Until when a device that was let in by time is limited: milliseconds since 1970, 0 for not. */
  get limitedUntil() {
    return this.#record?.limitedUntil ?? 0;
  }

  /** The six digits to type into the device that lets this one in; empty unless it waits. */
  get check() {
    return this.#state === 'held' ? this.#check : '';
  }

  /** Of the code that was asked for last, as long as no device was made of it. */
  get registration() {
    const { verificationId, phoneNumber, expireTime, retryTime } = this.#registration ?? {};
    return verificationId ? { verificationId, phoneNumber, expireTime, retryTime } : null;
  }

  /** What signs; null where there are no good keys. */
  get keys() {
    return this.#state === 'held' || this.#state === 'active' ? this.#record : null;
  }

  /** @param {Act} act */
  can(act) {
    return ALLOWED[this.#state].includes(act);
  }

  /**
   * @param {() => void} listener called after each change of state, in other tabs too
   * @returns {() => void} ends it
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The code of a site.
   *
   * @param {import('./types').Site} site
   * @param {number} millis by the service's clock
   * @returns {Promise<import('./types').Code | null>} null where the site would not take one of this device
   */
  async code(site, millis) {
    const record = this.#record;
    if (!site.hasKey || !record || !this.can('codes')) return null;
    const { siteId, codeDigits: digits, codePeriodSeconds: period } = site;
    const known = this.#codeKeys.get(siteId) ?? siteCodeKey(record, siteId);
    this.#codeKeys.set(siteId, known);
    return codeAround(await known, millis, { digits, period });
  }

  /**
   * Keeps that a code was asked for, so that a page loaded again goes on there.
   *
   * @param {Registration} registration
   */
  async begin(registration) {
    await this.vault.put('device', registration, 'registering');
    await this.#changed();
  }

  /** Forgets the code that was asked for. */
  async abandon() {
    await this.vault.delete('device', 'registering');
    await this.#changed();
  }

  /**
   * The keys to register by: the same ones for the same verification, kept before the service hears of them.
   *
   * @param {string} verificationId
   * @returns {Promise<NewKeys>}
   */
  async newKeys(verificationId) {
    const made = await makeDeviceKeys();
    return this.vault.change(async (access) => {
      const kept = await access.get('device', 'registering');
      const known = kept?.verificationId === verificationId ? kept : { verificationId };
      if (known.signing) return known;
      const registration = { phoneNumber: '', expireTime: '', retryTime: 0, ...known, ...made };
      await access.put('device', registration, 'registering');
      return registration;
    });
  }

  /**
   * Takes the service's answer to a registration. The key that agreed is dropped.
   *
   * @param {NewKeys} made
   * @param {Registered & {serverAgreementKey: string}} answer
   */
  async settle(made, answer) {
    const serverPoint = fromBase64(answer.serverAgreementKey);
    const base = await agree(made.agreement, serverPoint);
    const { signing, signingPoint, agreementPoint } = made;
    const { deviceId, name } = answer.device;
    const kept = { deviceId, signing, signingPoint, agreementPoint, serverPoint, base, name };
    await this.vault.change(async (access) => {
      const now = standing(answer.device);
      await access.put('device', { ...kept, ...now, state: now.state ?? 'held' }, 'current');
      await access.put('settings', { deviceId, name, seenTime: Date.now() }, 'registered');
      // Keys for sites, and proofs, are of the device that was here before.
      await Promise.all([access.clear('sites'), access.clear('newKeys'), access.clear('logos')]);
      await Promise.all([access.delete('settings', 'lastProof'), access.delete('settings', 'view.acknowledged')]);
      await access.delete('device', 'registering');
    });
    await this.#changed();
  }

  /**
   * Takes what the service says of this device.
   *
   * @param {import('./types').Device} told
   */
  async heard(told) {
    const record = this.#record;
    const now = standing(told);
    // What this version has no word for changes nothing here.
    if (!record || !now.state || told.deviceId !== record.deviceId || record.state === 'removed') return;
    if (record.state === now.state && record.limitedUntil === now.limitedUntil && record.name === told.name) return;
    await this.#change({ ...now, name: told.name });
  }

  /** Keeps that the service knows this device no more. */
  async removed() {
    if (this.#record && this.#record.state !== 'removed') await this.#change({ state: 'removed' });
  }

  /** Drops the keys of device and sites; accounts of other services stay. */
  async forget() {
    await this.vault.change(async (access) => {
      // Logos tell which sites these were.
      await Promise.all([access.clear('device'), access.clear('sites'), access.clear('newKeys'), access.clear('logos')]);
      await Promise.all(['registered', 'lastProof', 'view.acknowledged'].map((key) => access.delete('settings', key)));
    });
    await this.#changed();
  }

  /** @param {Partial<DeviceRecord>} values */
  async #change(values) {
    await this.vault.change(async (access) => {
      const [kept, marker] = await Promise.all([access.get('device', 'current'), access.get('settings', 'registered')]);
      if (!kept) return;
      await access.put('device', { ...kept, ...values }, 'current');
      await access.put('settings', { ...marker, name: values.name ?? kept.name }, 'registered');
    });
    await this.#changed();
  }

  async #changed() {
    await this.#read();
    this.#tabs.postMessage('changed');
  }

  async #read() {
    const { vault } = this;
    const [record, registration, marker] = await Promise.all([
      vault.get('device', 'current'),
      vault.get('device', 'registering'),
      vault.get('settings', 'registered'),
    ]);
    this.#record = record ?? null;
    this.#registration = registration ?? null;
    this.#marker = marker ?? null;
    this.#codeKeys.clear();
    this.#state = await this.#judge();
    for (const listener of [...this.#listeners]) listener();
  }

  /** @returns {Promise<State>} */
  async #judge() {
    const record = this.#record;
    const removed = record?.state === 'removed';
    if (record && !removed && (await this.#good(record))) return record.state;
    if (this.#registration) return 'registering';
    if (removed) return 'removed';
    return record || this.#marker ? 'lost' : 'none';
  }

  /** @param {DeviceRecord} record */
  async #good(record) {
    try {
      await sign(record.signing, utf8('start'));
      await siteCodeKey(record, 'start');
      this.#check = await deviceCheck(record);
      return true;
    } catch {
      return false;
    }
  }

  async #seen() {
    const marker = { ...this.#marker, seenTime: Date.now() };
    this.#marker = /** @type {import('./types').Marker} */ (marker);
    await this.vault.put('settings', marker, 'registered');
  }
}

/**
 * The code of a moment, and the one after it.
 *
 * @param {CryptoKey} key
 * @param {number} millis
 * @param {{digits: number, period: number}} form
 * @returns {Promise<import('./types').Code>}
 */
export async function codeAround(key, millis, { digits, period }) {
  const seconds = Math.floor(millis / 1000);
  const [code, next] = await Promise.all([
    codeAt(key, seconds, { digits, period }),
    codeAt(key, seconds + period, { digits, period }),
  ]);
  return { code, next, secondsLeft: period - (seconds % period), period };
}

/** @param {import('./types').Device} told */
function standing({ state, limitedUntil }) {
  const known = { DEVICE_STATE_HELD: 'held', DEVICE_STATE_REVOKED: 'removed', DEVICE_STATE_ACTIVE: 'active' };
  return {
    state: /** @type {DeviceRecord['state'] | undefined} */ (Object.hasOwn(known, state) ? known[state] : undefined),
    limitedUntil: Date.parse(limitedUntil ?? '') || 0,
  };
}
