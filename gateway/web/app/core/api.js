// @ts-check
// Calls the service: one method for each call of AccountService and AuthenticatorService that an authenticator makes.

import { SHAPES, listed, shaped } from './answer.js';
import { fromBase64, toBase64 } from './bytes.js';
import { ApiError } from './errors.js';
import { proveSiteKey, signRegistration } from './keys.js';
import { writeReceipt } from './question.js';
import { Session } from './session.js';
import { KeptSites } from './sites.js';

export { ApiError };

/** @typedef {import('./types').Account} Account */
/** @typedef {import('./types').Device} DeviceJson */
/** @typedef {import('./types').Site} Site */

const ACCOUNT = 'account';
const ENROLLMENTS = 'authenticator/enrollments';

/** The service, as this device may call it. Every method may throw an ApiError, or a VaultError. */
export class Api {
  #session;
  #kept;
  /** @type {Map<string, string>} receipts that no answer came to, by what they answer */
  #receipts = new Map();

  /** @param {ConstructorParameters<typeof Session>[0]} parts */
  constructor(parts) {
    this.vault = parts.vault;
    this.device = parts.device;
    this.#session = new Session(parts);
    this.#kept = new KeptSites(parts.vault);
  }

  /** Resolves when the offset of the service's clock was read, as far as one is kept. */
  get ready() {
    return this.#session.ready;
  }

  /** Milliseconds since 1970 by the service's clock. */
  serviceNow() {
    return this.#session.serviceNow();
  }

  /** How far the service's clock is ahead of the phone's, milliseconds. */
  get clockOffset() {
    return this.#session.clockOffset;
  }

  // Account

  /**
   * Has a code sent to a number.
   *
   * @param {{phoneNumber: string, channel?: string, locale?: string, registrationProof?: string}} asked
   * @returns {Promise<import('./types').Verification>}
   */
  async startPhoneVerification(asked) {
    const body = { ...asked, purpose: 'PHONE_PURPOSE_REGISTER_DEVICE' };
    const answer = await this.#session.bare({ verb: 'POST', path: `${ACCOUNT}/phoneVerifications`, body });
    const { verificationId, expireTime } = shaped(answer, SHAPES.verification);
    const retryDelay = parseFloat(answer.retryDelay) || 0;
    const retryTime = Date.now() + retryDelay * 1000;
    await this.device.begin({ verificationId, expireTime, retryTime, phoneNumber: asked.phoneNumber });
    return { verificationId, expireTime, retryDelay };
  }

  /**
   * Makes this browser a device of the number's account. The same call again brings the same keys.
   *
   * @param {object} asked
   * @param {string} asked.verificationId
   * @param {string} asked.code
   * @param {string} asked.name
   * @param {string} [asked.platform]
   * @param {boolean} [asked.freshAccount]
   * @param {string} [asked.recoveryCode]
   * @returns {Promise<import('./types').Registered>}
   */
  async registerDevice(asked) {
    const keys = await this.device.newKeys(asked.verificationId);
    const body = {
      platform: 'DEVICE_PLATFORM_WEB',
      ...asked,
      signingKey: toBase64(keys.signingPoint),
      agreementKey: toBase64(keys.agreementPoint),
      signature: toBase64(await signRegistration(keys, asked.verificationId)),
    };
    const answer = await this.#session.bare({ verb: 'POST', path: `${ACCOUNT}/devices`, body, again: true });
    shaped(answer, SHAPES.registered);
    shaped(answer.device, SHAPES.device);
    this.#session.forget();
    await this.device.settle(keys, answer);
    const { device, otherDevices, accountCreateTime, recoveryCode } = answer;
    return { device, otherDevices, accountCreateTime, recoveryCode };
  }

  /** @returns {Promise<Account>} */
  async getAccount() {
    return shaped((await this.#get(ACCOUNT)).account, SHAPES.account);
  }

  /**
   * Changes what is given.
   *
   * @param {{newDevicePolicy?: string, phoneCodes?: boolean}} values
   * @returns {Promise<Account>}
   */
  async updateAccount({ newDevicePolicy, phoneCodes }) {
    const masks = { newDevicePolicy, phoneCodes };
    const updateMask = Object.entries(masks).flatMap(([name, value]) => (value === undefined ? [] : [name]));
    const names = [
      newDevicePolicy === undefined ? '-' : String(POLICIES.indexOf(newDevicePolicy)),
      phoneCodes === undefined ? '-' : String(Number(phoneCodes)),
    ];
    const body = { account: { newDevicePolicy, phoneCodes }, updateMask: updateMask.join(',') };
    const method = 'AccountService/UpdateAccount';
    return shaped((await this.#prove(`${ACCOUNT}:update`, method, names, body)).account, SHAPES.account);
  }

  /**
   * Moves the account to a number that was proven. The service does not have this call yet.
   *
   * @param {string} verificationId
   * @param {string} code
   * @returns {Promise<Account>}
   */
  async changePhone(verificationId, code) {
    const body = { verificationId, code };
    const method = 'AccountService/ChangePhone';
    return (await this.#prove(`${ACCOUNT}:changePhone`, method, [verificationId], body)).account;
  }

  /** Erases the account, and what this browser has of it. */
  async deleteAccount() {
    await this.#prove(`${ACCOUNT}:delete`, 'AccountService/DeleteAccount', []);
    await this.#forget();
  }

  /** Ends the session; the next call opens another. */
  async deleteSession() {
    await this.#post(`${ACCOUNT}/sessions:delete`, {});
    this.#session.forget();
  }

  /** @returns {Promise<DeviceJson[]>} the revoked ones of the last 30 days too */
  async listDevices() {
    /** @type {DeviceJson[]} */
    const devices = listed((await this.#get(`${ACCOUNT}/devices`)).devices, SHAPES.device);
    const own = devices.find((device) => device.current);
    if (own) await this.device.heard(own);
    return devices;
  }

  /**
   * @param {string} deviceId
   * @param {string} name
   * @returns {Promise<DeviceJson>}
   */
  async updateDevice(deviceId, name) {
    const path = devicePath(deviceId, 'update');
    const { device } =
      deviceId === this.device.deviceId
        ? await this.#post(path, { name }, true)
        : await this.#prove(path, 'AccountService/UpdateDevice', [deviceId, name], { name });
    shaped(device, SHAPES.device);
    if (deviceId === this.device.deviceId) await this.device.heard(device);
    return device;
  }

  /**
   * Says that the owner has seen that a device waits. For the screen that has just shown it.
   *
   * @param {string} deviceId
   * @returns {Promise<DeviceJson>}
   */
  async acknowledgeDevice(deviceId) {
    const path = devicePath(deviceId, 'acknowledge');
    return (await this.#prove(path, 'AccountService/AcknowledgeDevice', [deviceId])).device;
  }

  /**
   * Lets a device in.
   *
   * @param {string} deviceId
   * @param {string} check the six digits that it shows
   * @returns {Promise<DeviceJson>}
   */
  async approveDevice(deviceId, check) {
    const path = devicePath(deviceId, 'approve');
    return (await this.#prove(path, 'AccountService/ApproveDevice', [deviceId, check], { check })).device;
  }

  /**
   * Puts a device out. Where it is this one, its keys go too.
   *
   * @param {string} deviceId
   */
  async revokeDevice(deviceId) {
    await this.#prove(devicePath(deviceId, 'revoke'), 'AccountService/RevokeDevice', [deviceId]);
    if (deviceId === this.device.deviceId) await this.#forget();
  }

  // Sites

  /**
   * @param {string} token
   * @returns {Promise<import('./types').Offer>}
   */
  async openEnrollment(token) {
    const path = `${ENROLLMENTS}:open`;
    return shaped(await this.#session.call({ verb: 'POST', path, body: { token }, again: true, asks: true }), SHAPES.offer);
  }

  /**
   * Links the site, with a new key that is kept before the service hears of it.
   *
   * @param {string} token
   * @returns {Promise<Site>}
   */
  async acceptEnrollment(token) {
    const keys = this.#keys();
    const key = await this.#kept.newKey(token);
    const body = { token, ...(await proveSiteKey(keys, key, token)) };
    const { site } = await this.#post(`${ENROLLMENTS}:accept`, body, true);
    await this.#kept.put(token, key, shaped(site, SHAPES.site));
    return site;
  }

  /** @param {string} token */
  async rejectEnrollment(token) {
    await this.#post(`${ENROLLMENTS}:reject`, { token }, true);
    await this.vault.delete('newKeys', token);
  }

  /** @returns {Promise<Site[]>} kept for a start without network */
  async listSites() {
    /** @type {Site[]} */
    const sites = listed((await this.#get('authenticator/sites')).sites, SHAPES.site);
    await this.#kept.learn(sites);
    return sites;
  }

  /** @returns {Promise<import('./types').KeptSite[]>} what ListSites last said, without network */
  sites() {
    return this.#kept.all();
  }

  /**
   * Keeps what is this browser's alone.
   *
   * @param {string} siteId
   * @param {{pinned?: boolean, usedTime?: number}} values
   */
  keepSite(siteId, values) {
    return this.#kept.keep(siteId, values);
  }

  /**
   * Gives a site, linked by another device, a key of this one. For the site at hand alone: were all given at
   * once, all sites would hear of this device at one moment.
   *
   * @param {string} siteId
   * @returns {Promise<Site>}
   */
  async addSiteKey(siteId) {
    const keys = this.#keys();
    const key = await this.#kept.newKey(siteId);
    const body = await proveSiteKey(keys, key, siteId);
    const { site } = await this.#post(sitePath(siteId, '/keys'), body, true);
    await this.#kept.put(siteId, key, shaped(site, SHAPES.site));
    return site;
  }

  /**
   * @param {string} siteId
   * @param {string} label
   * @returns {Promise<Site>}
   */
  async updateSite(siteId, label) {
    const path = sitePath(siteId, ':update');
    const { site } = await this.#prove(path, 'AuthenticatorService/UpdateSite', [siteId, label], { label });
    await this.#kept.put('', null, shaped(site, SHAPES.site));
    return site;
  }

  /**
   * Ends the link, and drops its key.
   *
   * @param {string} siteId
   */
  async removeSite(siteId) {
    try {
      await this.#prove(sitePath(siteId, ':remove'), 'AuthenticatorService/RemoveSite', [siteId]);
    } catch (error) {
      // Removed already: by another device, or by a call whose answer was lost.
      if (!(error instanceof ApiError && error.reason === 'NOT_FOUND')) throw error;
    }
    await this.#kept.forget(siteId);
  }

  /**
   * @param {string} logoId
   * @returns {Promise<import('./types').Bytes>} a PNG
   */
  async getLogo(logoId) {
    const kept = await this.vault.get('logos', logoId);
    if (kept) return kept;
    const answer = await this.#get(`authenticator/logos/${encodeURIComponent(logoId)}`);
    const logo = fromBase64(shaped(answer, SHAPES.logo).logo);
    await this.vault.put('logos', logo, logoId);
    return logo;
  }

  // Questions

  /**
   * Answers a question; the site gets a key of this device first where it has none. Asked again after no answer
   * came, it sends the same receipt, which counts once.
   *
   * @param {import('./types').Question} question
   * @param {import('./types').Decision} decision
   * @param {{matchNumber?: string, userVerified?: boolean}} [how]
   * @returns {Promise<{state: string, attemptsRemaining: number}>}
   */
  async respondApproval(question, decision, { matchNumber = '', userVerified = false } = {}) {
    const { approvalId, siteId } = question;
    const answer = [approvalId, decision, matchNumber, userVerified].join(' ');
    const receipt = this.#receipts.get(answer) ?? (await this.#receipt(question, { decision, matchNumber, userVerified }));
    this.#receipts.set(answer, receipt);
    const path = `authenticator/approvals/${encodeURIComponent(approvalId)}:respond`;
    try {
      const told = shaped(await this.#post(path, { receipt }, true), SHAPES.respond);
      this.#receipts.delete(answer);
      await this.keepSite(siteId, { usedTime: Date.now() }).catch(() => {});
      return told;
    } catch (error) {
      const lost = error instanceof ApiError && ['UNREACHABLE', 'UNEXPECTED'].includes(error.reason);
      if (!lost) this.#receipts.delete(answer);
      throw error;
    }
  }

  /**
   * @param {{pageSize?: number, pageToken?: string}} [page]
   * @returns {Promise<{activities: import('./types').Activity[], nextPageToken: string}>} newest first
   */
  async listActivity({ pageSize = 100, pageToken = '' } = {}) {
    const page = new URLSearchParams({ pageSize: String(pageSize), pageToken });
    const { activities, nextPageToken } = await this.#get(`authenticator/activity?${page}`);
    return { activities: listed(activities, SHAPES.activity), nextPageToken };
  }

  /**
   * Opens the inbox: for `inbox.js`, which holds one for all tabs.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<Response>}
   */
  watchInbox(signal) {
    return this.#session.stream('authenticator/inbox:watch', signal);
  }

  /**
   * Learns the service's time from a message of the inbox.
   *
   * @param {string | undefined} serverTime
   */
  heard(serverTime) {
    this.#session.heard(serverTime);
  }

  /** @param {string} path */
  #get(path) {
    return this.#session.call({ verb: 'GET', path, again: true });
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {boolean} [again] whether it does no harm twice
   */
  #post(path, body, again = false) {
    return this.#session.call({ verb: 'POST', path, body, again });
  }

  /**
   * @param {string} path
   * @param {string} method
   * @param {string[]} names
   * @param {object} [body]
   */
  #prove(path, method, names, body = {}) {
    return this.#session.call({ verb: 'POST', path, body, method, names });
  }

  async #forget() {
    this.#session.forget();
    await this.device.forget();
  }

  #keys() {
    const { keys } = this.device;
    if (!keys) throw new ApiError('NO_DEVICE');
    return keys;
  }

  /**
   * @param {import('./types').Question} question
   * @param {{decision: import('./types').Decision, matchNumber: string, userVerified: boolean}} answer
   */
  async #receipt(question, answer) {
    let found = await this.#kept.key(question.siteId);
    if (!found) {
      await this.addSiteKey(question.siteId);
      found = await this.#kept.key(question.siteId);
    }
    if (!found) throw new ApiError('NO_DEVICE');
    // After the key: a session was opened by then, and the service's clock is known.
    return writeReceipt(question, found, { ...answer, seconds: Math.floor(this.serviceNow() / 1000) });
  }
}

// In the order of the contract's numbers, which a proof names.
const POLICIES = [
  'NEW_DEVICE_POLICY_UNSPECIFIED',
  'NEW_DEVICE_POLICY_ALLOW',
  'NEW_DEVICE_POLICY_HOLD',
  'NEW_DEVICE_POLICY_DENY',
];

/**
 * @param {string} deviceId
 * @param {string} verb
 */
function devicePath(deviceId, verb) {
  return `${ACCOUNT}/devices/${encodeURIComponent(deviceId)}:${verb}`;
}

/**
 * @param {string} siteId
 * @param {string} rest
 */
function sitePath(siteId, rest) {
  return `authenticator/sites/${encodeURIComponent(siteId)}${rest}`;
}
