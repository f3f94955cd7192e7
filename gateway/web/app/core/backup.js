// @ts-check
// Writes accounts of other services into a file that a password opens, and reads such files.

import { identity } from './accounts.js';
import { fromBase64, toBase64 } from './bytes.js';
import { checked, writeOtpauth } from './otpauth.js';
import { isPair, makeBackupKey, rewrap, unlock, unseal } from './seal.js';

/** @typedef {import('./types').AccountRecord} AccountRecord */
/** @typedef {import('./types').BackupKey} BackupKey */
/** @typedef {import('./types').Draft} Draft */
/** @typedef {{issuer: string, account: string, outcome: 'added' | 'have' | 'refused', reason: string}} Result */

const FORMAT = 'authenticator-backup';
const VERSION = 1;
const MOST_CHARACTERS = 1_000_000;
const MOST_ACCOUNTS = 1000;

/** Why there is no backup, or none can be read. */
export class BackupError extends Error {
  /**
   * @param {'WRONG_PASSWORD' | 'NOT_A_BACKUP' | 'TOO_LARGE' | 'NEWER' | 'NO_PASSWORD' | 'HAS_PASSWORD' | 'DAMAGED'} reason
   * @param {unknown} [cause]
   */
  constructor(reason, cause) {
    super(reason, { cause });
    this.name = 'BackupError';
    this.reason = reason;
  }
}

/** Backups of this browser's accounts. */
export class Backup {
  /**
   * @param {import('./vault.js').Vault} vault
   * @param {import('./accounts.js').Accounts} accounts
   */
  constructor(vault, accounts) {
    this.vault = vault;
    this.accounts = accounts;
  }

  /** Whether a password was set, so that what is added from now on can be backed up. */
  async ready() {
    return (await this.vault.get('settings', 'backup')) !== undefined;
  }

  /**
   * Sets the password, once. What was added before has no copy.
   *
   * @param {string} password
   * @throws {BackupError} NO_PASSWORD, HAS_PASSWORD
   */
  async setPassword(password) {
    if (!password) throw new BackupError('NO_PASSWORD');
    await this.#adopt(await makeBackupKey(password), true);
  }

  /**
   * @param {string} before
   * @param {string} after
   * @throws {BackupError} NO_PASSWORD, WRONG_PASSWORD
   */
  async changePassword(before, after) {
    if (!after) throw new BackupError('NO_PASSWORD');
    const backup = await this.#key();
    const changed = await rewrap(backup, before, after).catch(wrong);
    await this.vault.put('settings', changed, 'backup');
  }

  /**
   * Writes the file, and reads it back before it answers.
   *
   * @param {string} password
   * @returns {Promise<{text: string, count: number, left: number}>} the file, how many accounts are in it, and how
   *   many are left out, since they have no copy
   * @throws {BackupError} NO_PASSWORD, WRONG_PASSWORD, DAMAGED
   */
  async write(password) {
    const backup = await this.#key();
    const records = await this.#records();
    const sealed = records.filter((record) => record.sealed);
    const file = { format: FORMAT, version: VERSION, key: textual(backup), accounts: sealed.map(entryOf) };
    const text = JSON.stringify(file, null, 1);
    const read = parse(text);
    const privateKey = await unlock(read.key, password).catch(wrong);
    const [first] = read.entries;
    if (read.entries.length !== sealed.length) throw new BackupError('DAMAGED');
    if (first) await open(privateKey, first);
    return { text, count: sealed.length, left: records.length - sealed.length };
  }

  /**
   * All that has a copy, in clear text: for another app, behind a warning.
   *
   * @param {string} password
   * @returns {Promise<string[]>} `otpauth` URIs
   * @throws {BackupError} NO_PASSWORD, WRONG_PASSWORD
   */
  async plain(password) {
    const privateKey = await unlock(await this.#key(), password).catch(wrong);
    const sealed = (await this.#records()).filter((record) => record.sealed);
    return Promise.all(
      sealed.map(async (record) => {
        const secret = await unseal(privateKey, /** @type {import('./types').Sealed} */ (record.sealed), record.id);
        return writeOtpauth({ ...record, secret });
      }),
    );
  }

  /**
   * Reads a file, and adds what is not there yet. Where no password was set here, the file's is.
   *
   * @param {string} text
   * @param {string} password of the file
   * @returns {Promise<{results: Result[]}>} one for each account in it
   * @throws {BackupError} TOO_LARGE, NOT_A_BACKUP, NEWER, WRONG_PASSWORD, DAMAGED
   */
  async read(text, password) {
    const { key, entries } = parse(text);
    const privateKey = await unlock(key, password).catch(wrong);
    // What is added from now on is sealed to it: it has to open again.
    if (!(await isPair(key, privateKey))) throw new BackupError('DAMAGED');
    if (!(await this.ready())) await this.#adopt(key, false);
    /** @type {Result[]} */
    const results = [];
    for (const entry of entries) {
      const named = { issuer: textOf(entry?.issuer), account: textOf(entry?.account) };
      try {
        const { draft, label, pinned } = await open(privateKey, entry);
        const { added } = await this.accounts.add(draft, { label, pinned });
        results.push({ ...named, outcome: added ? 'added' : 'have', reason: '' });
      } catch (error) {
        results.push({ ...named, outcome: 'refused', reason: /** @type {any} */ (error).reason ?? 'DAMAGED' });
      }
    }
    return { results };
  }

  /**
   * @param {BackupKey} key
   * @param {boolean} first whether there must be none
   */
  async #adopt(key, first) {
    await this.vault.change(async (access) => {
      const has = await access.get('settings', 'backup');
      if (has && first) throw new BackupError('HAS_PASSWORD');
      if (!has) await access.put('settings', key, 'backup');
    });
  }

  /** @returns {Promise<BackupKey>} */
  async #key() {
    const key = await this.vault.get('settings', 'backup');
    if (!key) throw new BackupError('NO_PASSWORD');
    return key;
  }

  /** @returns {Promise<AccountRecord[]>} */
  async #records() {
    /** @type {AccountRecord[]} */
    const records = await this.vault.all('accounts');
    return records.filter((record) => !record.removedTime).sort((one, other) => one.addedTime - other.addedTime);
  }
}

/**
 * @param {unknown} error
 * @returns {never}
 */
function wrong(error) {
  throw new BackupError('WRONG_PASSWORD', error);
}

/** @param {AccountRecord} record */
function entryOf({ id, type, issuer, account, label, hash, digits, period, counter, pinned, sealed }) {
  const said = { id, type, issuer, account, label, hash, digits, period, counter, pinned };
  return { ...said, sealed: textual(/** @type {import('./types').Sealed} */ (sealed)) };
}

/**
 * Reads the form of a file, and nothing that is locked in it.
 *
 * @param {string} text
 * @returns {{key: BackupKey, entries: any[]}}
 */
function parse(text) {
  if (text.length > MOST_CHARACTERS) throw new BackupError('TOO_LARGE');
  try {
    const { format, version, key, accounts } = JSON.parse(text);
    if (format !== FORMAT || !Number.isInteger(version) || !Array.isArray(accounts)) throw new RangeError('form');
    if (version > VERSION) throw new BackupError('NEWER');
    if (accounts.length > MOST_ACCOUNTS) throw new BackupError('TOO_LARGE');
    return { key: keyOf(binary(key)), entries: accounts };
  } catch (error) {
    throw error instanceof BackupError ? error : new BackupError('NOT_A_BACKUP', error);
  }
}

/**
 * @param {any} key
 * @returns {BackupKey}
 * @throws {RangeError} where it lacks something
 */
function keyOf({ point, rounds, salt, iv, wrapped }) {
  const whole = [point, salt, iv, wrapped].every((value) => value instanceof Uint8Array) && Number.isInteger(rounds);
  if (!whole) throw new RangeError('not a key');
  return { point, rounds, salt, iv, wrapped };
}

/**
 * Opens one entry: what it says must be what was sealed.
 *
 * @param {CryptoKey} privateKey
 * @param {any} entry
 * @returns {Promise<{draft: Draft, label: string, pinned: boolean}>}
 */
async function open(privateKey, entry) {
  const { id, type, issuer, account, hash, digits, period, counter } = entry;
  const secret = await unseal(privateKey, /** @type {any} */ (binary(entry.sealed)), id);
  const draft = checked({ type, issuer, account, secret, hash, digits, period, counter });
  if ((await identity(draft)) !== id) throw new BackupError('DAMAGED');
  return { draft, label: textOf(entry.label).slice(0, 40), pinned: entry.pinned === true };
}

/** @param {unknown} value */
const textOf = (value) => (typeof value === 'string' ? value : '');

/** @param {object} values bytes as base64 */
function textual(values) {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value instanceof Uint8Array ? toBase64(value) : value]),
  );
}

/** @param {Record<string, unknown>} values */
function binary(values) {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? fromBase64(value) : value]),
  );
}
