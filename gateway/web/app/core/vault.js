// @ts-check
// Keeps keys and settings in IndexedDB: one transaction a change, versions with upgrades, a probe.
//
// Each use opens its own connection, since phones let connections die while an app sleeps; one that is dead is
// tried once more anew. What holds keys is read back after it was written: some browsers take keys and lose them.

import { agree, codeAt, makeDeviceKeys, sign, siteCodeKey } from './keys.js';
import { utf8 } from './bytes.js';

/** @typedef {'device' | 'sites' | 'newKeys' | 'accounts' | 'logos' | 'settings'} Store */
/** @typedef {(db: IDBDatabase, transaction: IDBTransaction) => void} Step */
/**
 * What one transaction may do.
 *
 * @typedef {object} Access
 * @property {(store: Store, key: IDBValidKey) => Promise<any>} get undefined where there is none
 * @property {(store: Store) => Promise<any[]>} all
 * @property {(store: Store, value: unknown, key?: IDBValidKey) => Promise<unknown>} put
 * @property {(store: Store, key: IDBValidKey) => Promise<unknown>} delete
 * @property {(store: Store) => Promise<unknown>} clear
 */

const WAIT_MILLIS = 10_000;
/** @type {Store[]} */
const STORES = ['device', 'sites', 'newKeys', 'accounts', 'logos', 'settings'];
// One a version, never changed afterwards; each goes on from what the one before left, and deletes nothing.
/** @type {Step[]} */
const STEPS = [
  (db) => {
    db.createObjectStore('device');
    db.createObjectStore('sites', { keyPath: 'siteId' });
    db.createObjectStore('newKeys', { keyPath: 'name' });
    db.createObjectStore('accounts', { keyPath: 'id' });
    db.createObjectStore('logos');
    db.createObjectStore('settings');
  },
];

/** What is wrong with the browser's storage; `reason` says what to tell its owner. */
export class VaultError extends Error {
  /**
   * @param {'NO_STORAGE' | 'KEYS_REFUSED' | 'LOST_CONNECTION' | 'FULL' | 'NEWER' | 'UPGRADE_FAILED' | 'BLOCKED'} reason
   * @param {unknown} [cause]
   */
  constructor(reason, cause) {
    super(reason, { cause });
    this.name = 'VaultError';
    this.reason = reason;
  }
}

/**
 * @param {string} [name] of the database
 */
export function open(name = 'authenticator') {
  return new Vault(name);
}

/** The store of one browser. Every method may throw a VaultError. */
export class Vault {
  #opened = false;

  /**
   * @param {string} name of the database
   * @param {object} [how] what tests put in the place of the browser's
   * @param {IDBFactory} [how.factory]
   * @param {Step[]} [how.steps] from one version to the next
   * @param {number} [how.wait] milliseconds
   */
  constructor(name, { factory = globalThis.indexedDB, steps = STEPS, wait = WAIT_MILLIS } = {}) {
    this.name = name;
    this.factory = factory;
    this.steps = steps;
    this.wait = wait;
  }

  /**
   * Tries whether this browser keeps keys: makes some, stores them, reads them anew, uses them.
   *
   * @throws {VaultError} NO_STORAGE, KEYS_REFUSED and what else there is
   */
  async probe() {
    try {
      const { signing, signingPoint, agreement, agreementPoint } = await makeDeviceKeys();
      const base = await agree(agreement, agreementPoint);
      const made = { deviceId: '', signing, signingPoint, agreementPoint, serverPoint: agreementPoint, base, agreement };
      await this.put('device', made, 'probe');
      const kept = await this.get('device', 'probe');
      await sign(kept.signing, utf8('probe'));
      await agree(kept.agreement, agreementPoint);
      await codeAt(await siteCodeKey(kept, 'probe'), 0, { digits: 6, period: 30 });
      await this.delete('device', 'probe');
    } catch (error) {
      throw error instanceof VaultError ? error : new VaultError('KEYS_REFUSED', error);
    }
  }

  /**
   * @param {Store} store
   * @param {IDBValidKey} key
   * @returns {Promise<any>} undefined where there is none
   */
  get(store, key) {
    return this.#attempt('readonly', (access) => access.get(store, key));
  }

  /**
   * @param {Store} store
   * @returns {Promise<any[]>}
   */
  all(store) {
    return this.#attempt('readonly', (access) => access.all(store));
  }

  /**
   * @param {Store} store
   * @param {unknown} value
   * @param {IDBValidKey} [key] where the store does not take it from the value
   */
  async put(store, value, key) {
    await this.change((access) => access.put(store, value, key));
  }

  /**
   * @param {Store} store
   * @param {IDBValidKey} key
   */
  async delete(store, key) {
    await this.change((access) => access.delete(store, key));
  }

  /** Deletes all that is kept. */
  async erase() {
    await this.change((access) => Promise.all(STORES.map((store) => access.clear(store))));
  }

  /**
   * Makes one change, whole or not at all.
   *
   * @template T
   * @param {(access: Access) => Promise<T>} work awaits nothing but `access`: else the transaction ends. It may
   *   be run twice.
   * @returns {Promise<T>} what `work` returned, once it is kept
   */
  async change(work) {
    /** @type {[Store, IDBValidKey, string[]][]} */
    let keys = [];
    const answer = await this.#attempt('readwrite', (access) => {
      keys = [];
      return work({
        ...access,
        put: async (store, value, key) => {
          const at = /** @type {IDBValidKey} */ (await access.put(store, value, key));
          keys.push([store, at, keysIn(value)]);
        },
      });
    });
    for (const [store, at, names] of keys) await this.#readBack(store, at, names);
    return answer;
  }

  /**
   * @param {Store} store
   * @param {IDBValidKey} at
   * @param {string[]} names of the fields with keys
   */
  async #readBack(store, at, names) {
    if (names.length === 0) return;
    const kept = await this.get(store, at);
    // Gone altogether may mean that another tab was quicker, but then the key that was made is of no use.
    if (names.some((name) => !(kept?.[name] instanceof CryptoKey))) throw new VaultError('KEYS_REFUSED');
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(access: Access) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #attempt(mode, work) {
    try {
      return await this.#once(mode, work);
    } catch (error) {
      if (!(error instanceof VaultError && error.reason === 'LOST_CONNECTION')) throw error;
    }
    return this.#once(mode, work);
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(access: Access) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #once(mode, work) {
    const db = await this.#connect();
    /** @type {IDBTransaction | undefined} */
    let transaction;
    try {
      transaction = db.transaction(STORES, mode);
      const done = completed(transaction);
      done.catch(() => {});
      const answer = work(accessOf(transaction));
      return await within(this.wait, Promise.all([answer, done]).then(([value]) => value));
    } catch (error) {
      try {
        transaction?.abort();
      } catch {
        // It has ended by itself.
      }
      throw read(error, 'LOST_CONNECTION');
    } finally {
      db.close();
    }
  }

  /** @returns {Promise<IDBDatabase>} */
  async #connect() {
    const state = { blocked: false, broken: false, late: false };
    try {
      const db = await within(this.wait, this.#open(state));
      this.#opened = true;
      return db;
    } catch (error) {
      state.late = true;
      if (state.broken) throw new VaultError('UPGRADE_FAILED', error);
      if (state.blocked) throw new VaultError('BLOCKED', error);
      throw read(error, this.#opened ? 'LOST_CONNECTION' : 'NO_STORAGE');
    }
  }

  /**
   * @param {{blocked: boolean, broken: boolean, late: boolean}} state
   * @returns {Promise<IDBDatabase>}
   */
  #open(state) {
    return new Promise((resolve, reject) => {
      const request = this.factory.open(this.name, this.steps.length);
      request.onupgradeneeded = ({ oldVersion }) => {
        const transaction = /** @type {IDBTransaction} */ (request.transaction);
        try {
          for (const step of this.steps.slice(oldVersion)) step(request.result, transaction);
        } catch {
          // All of the upgrade is undone: the data stay those of the old version.
          state.broken = true;
          transaction.abort();
        }
      };
      request.onblocked = () => (state.blocked = true);
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const db = request.result;
        db.onversionchange = () => db.close();
        if (state.late) db.close();
        else resolve(db);
      };
    });
  }
}

/**
 * @param {IDBTransaction} transaction
 * @returns {Access}
 */
function accessOf(transaction) {
  return {
    get: (store, key) => answered(transaction.objectStore(store).get(key)),
    all: (store) => answered(transaction.objectStore(store).getAll()),
    put: (store, value, key) => answered(transaction.objectStore(store).put(value, key)),
    delete: (store, key) => answered(transaction.objectStore(store).delete(key)),
    clear: (store) => answered(transaction.objectStore(store).clear()),
  };
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function answered(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {IDBTransaction} transaction
 * @returns {Promise<void>}
 */
function completed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new DOMException('aborted', 'AbortError'));
  });
}

/**
 * @template T
 * @param {number} millis
 * @param {Promise<T>} waited
 * @returns {Promise<T>}
 */
function within(millis, waited) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new DOMException('no answer', 'TimeoutError')), millis);
    waited.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/**
 * @param {unknown} error
 * @param {'LOST_CONNECTION' | 'NO_STORAGE'} otherwise what it is where its name says nothing else
 * @returns {unknown} a VaultError for what the browser threw; what `work` threw as it is
 */
function read(error, otherwise) {
  if (error instanceof DOMException) {
    if (error.name === 'QuotaExceededError') return new VaultError('FULL', error);
    if (error.name === 'VersionError') return new VaultError('NEWER', error);
    if (error.name === 'DataCloneError') return new VaultError('KEYS_REFUSED', error);
    return new VaultError(otherwise, error);
  }
  // Without IndexedDB `factory` is undefined.
  return otherwise === 'NO_STORAGE' && error instanceof TypeError ? new VaultError('NO_STORAGE', error) : error;
}

/** @param {unknown} value */
function keysIn(value) {
  return Object.entries(Object(value)).flatMap(([name, field]) => (field instanceof CryptoKey ? [name] : []));
}
