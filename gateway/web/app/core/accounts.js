// @ts-check
// Keeps accounts of other services: their seeds as keys that cannot be exported, and as copies sealed for a backup.

import { join, toBase64Url } from './bytes.js';
import { codeAround } from './device.js';
import { codeOf, importCodeKey, sha256 } from './keys.js';
import { seal } from './seal.js';

/** @typedef {import('./types').AccountRecord} AccountRecord */
/** @typedef {import('./types').Draft} Draft */
/** @typedef {import('./types').Foreign} Foreign */

const MOST = 1000;
const RESTS_MILLIS = 30 * 24 * 3_600_000;

/** There is no room for another account. */
export class AccountsError extends Error {
  constructor() {
    super('FULL');
    this.name = 'AccountsError';
    this.reason = 'FULL';
  }
}

/** The accounts of other services in this browser. */
export class Accounts {
  /** @type {Map<string, CryptoKey>} */
  #keys = new Map();

  /**
   * @param {import('./vault.js').Vault} vault
   * @param {() => number} [now] milliseconds
   */
  constructor(vault, now = Date.now) {
    this.vault = vault;
    this.now = now;
  }

  /** @returns {Promise<Foreign[]>} in the order in which they came */
  async list() {
    return (await this.#all()).filter((record) => !record.removedTime).map(shown);
  }

  /** @returns {Promise<Foreign[]>} those that rest, 30 days long, the last first */
  async removed() {
    const resting = (await this.#all()).filter((record) => record.removedTime);
    return resting.sort((one, other) => other.removedTime - one.removedTime).map(shown);
  }

  /**
   * Adds an account, and overwrites none. What was removed comes back as it was.
   *
   * @param {Draft} draft its secret becomes a key at once
   * @param {{label?: string, pinned?: boolean}} [more]
   * @returns {Promise<{added: boolean, account: Foreign}>} `added` is false where it was there
   * @throws {AccountsError} FULL
   */
  async add(draft, { label = '', pinned = false } = {}) {
    const { secret, ...said } = draft;
    const id = await identity(draft);
    const key = await importCodeKey(secret, draft.hash);
    const backup = await this.vault.get('settings', 'backup');
    const sealed = backup ? await seal(backup.point, secret, id) : null;
    const times = { addedTime: this.now(), removedTime: 0 };
    const made = { ...said, id, label, pinned, key, sealed, ...times };
    return this.vault.change(async (access) => {
      /** @type {AccountRecord | undefined} */
      const kept = await access.get('accounts', id);
      if (kept && !kept.removedTime && (kept.sealed || !sealed)) return { added: false, account: shown(kept) };
      if (!kept && (await access.all('accounts')).length >= MOST) throw new AccountsError();
      const record = kept ? { ...kept, removedTime: 0, sealed: kept.sealed ?? sealed } : made;
      await access.put('accounts', record);
      return { added: !kept || kept.removedTime > 0, account: shown(record) };
    });
  }

  /**
   * @param {string} id
   * @param {string} label
   */
  rename(id, label) {
    return this.#change(id, () => ({ label }));
  }

  /**
   * @param {string} id
   * @param {boolean} pinned
   */
  pin(id, pinned) {
    return this.#change(id, () => ({ pinned }));
  }

  /**
   * Takes an account out of the list; it rests 30 days.
   *
   * @param {string} id
   */
  remove(id) {
    return this.#change(id, () => ({ removedTime: this.now() }));
  }

  /** @param {string} id */
  restore(id) {
    return this.#change(id, () => ({ removedTime: 0 }));
  }

  /**
   * Goes on to the next code of an account that counts.
   *
   * @param {string} id
   * @returns {Promise<Foreign | undefined>} as it is now; undefined where it is there no more
   */
  advance(id) {
    return this.#change(id, ({ type, counter }) => (type === 'hotp' ? { counter: counter + 1 } : {}));
  }

  /**
   * @param {Foreign} account
   * @param {number} millis
   * @returns {Promise<import('./types').Code | null>} of an account that counts: the code of its counter, and no
   *   next; null where it is there no more
   */
  async code(account, millis) {
    const key = this.#keys.get(account.id) ?? (await this.vault.get('accounts', account.id))?.key;
    if (!key) return null;
    this.#keys.set(account.id, key);
    if (account.type === 'totp') return codeAround(key, millis, account);
    return { code: await codeOf(key, account.counter, account.digits), next: '', secondsLeft: 0, period: 0 };
  }

  /** @returns {Promise<AccountRecord[]>} */
  async #all() {
    /** @type {AccountRecord[]} */
    const records = await this.vault.all('accounts');
    const old = records.filter(({ removedTime }) => removedTime && removedTime < this.now() - RESTS_MILLIS);
    if (old.length) {
      await this.vault.change((access) => Promise.all(old.map(({ id }) => access.delete('accounts', id))));
    }
    return records.filter((record) => !old.includes(record)).sort((one, other) => one.addedTime - other.addedTime);
  }

  /**
   * @param {string} id
   * @param {(record: AccountRecord) => Partial<AccountRecord>} change
   */
  async #change(id, change) {
    return this.vault.change(async (access) => {
      /** @type {AccountRecord | undefined} */
      const record = await access.get('accounts', id);
      if (!record) return undefined;
      const changed = { ...record, ...change(record) };
      await access.put('accounts', changed);
      return shown(changed);
    });
  }
}

/**
 * Names an account by all that makes its codes: the same name at the same issuer may have another secret.
 *
 * @param {Draft} draft
 */
export async function identity({ type, issuer, account, hash, digits, period, secret }) {
  const said = JSON.stringify([type, issuer, account, hash, digits, period]);
  return toBase64Url((await sha256(join(`authenticator account v1\n${said}\n`, secret))).slice(0, 16));
}

/**
 * @param {AccountRecord} record
 * @returns {Foreign}
 */
function shown({ key, sealed, ...rest }) {
  return { ...rest, sealed: sealed !== null };
}
