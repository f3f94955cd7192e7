// @ts-check
// Seals secrets to a public key, so that one can be added without the password that reads them back.

import { equal, join, utf8 } from './bytes.js';

/** @typedef {import('./types').BackupKey} BackupKey */
/** @typedef {import('./types').Sealed} Sealed */
/** @typedef {import('./types').Bytes} Bytes */

const ECDH = { name: 'ECDH', namedCurve: 'P-256' };
const AES = { name: 'AES-GCM', length: 256 };
const ROUNDS = 600_000;
// What others wrote is not worked on for minutes, nor taken for locked where it is not.
const MOST_ROUNDS = 20_000_000;
const LEAST_ROUNDS = 100_000;
const LEAST_MILLIS = 300;

/**
 * Makes a key whose private half the password alone gives back.
 *
 * @param {string} password
 * @returns {Promise<BackupKey>}
 */
export async function makeBackupKey(password) {
  const pair = await crypto.subtle.generateKey(ECDH, true, ['deriveKey']);
  const point = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  return { point, ...(await wrap(pair.privateKey, password, point)) };
}

/**
 * Wraps the private half by another password.
 *
 * @param {BackupKey} backup
 * @param {string} before
 * @param {string} after
 * @returns {Promise<BackupKey>}
 * @throws {DOMException} where `before` is wrong
 */
export async function rewrap(backup, before, after) {
  const { point } = backup;
  return { point, ...(await wrap(await unwrap(backup, before, true), after, point)) };
}

/**
 * Gives the private half back.
 *
 * @param {BackupKey} backup
 * @param {string} password
 * @returns {Promise<CryptoKey>} for `unseal`
 * @throws {DOMException} where the password is wrong
 */
export function unlock(backup, password) {
  return unwrap(backup, password, false);
}

/**
 * @param {BackupKey} backup
 * @param {string} password
 * @param {boolean} extractable
 */
async function unwrap({ point, rounds, salt, iv, wrapped }, password, extractable) {
  if (!(rounds >= LEAST_ROUNDS && rounds <= MOST_ROUNDS)) throw new DOMException('rounds', 'OperationError');
  const key = await stretch(password, salt, rounds);
  const how = { name: 'AES-GCM', iv, additionalData: point };
  return crypto.subtle.unwrapKey('pkcs8', wrapped, key, how, ECDH, extractable, ['deriveKey']);
}

/**
 * @param {CryptoKey} privateKey
 * @param {string} password
 * @param {Bytes} point of its public half
 */
async function wrap(privateKey, password, point) {
  const [salt, iv] = [random(16), random(12)];
  let rounds = ROUNDS;
  const begin = performance.now();
  let key = await stretch(password, salt, rounds);
  const millis = performance.now() - begin;
  if (millis < LEAST_MILLIS) {
    rounds = Math.min(Math.ceil((rounds * LEAST_MILLIS) / Math.max(millis, 1)), MOST_ROUNDS);
    key = await stretch(password, salt, rounds);
  }
  const how = { name: 'AES-GCM', iv, additionalData: point };
  const wrapped = new Uint8Array(await crypto.subtle.wrapKey('pkcs8', privateKey, key, how));
  return { rounds, salt, iv, wrapped };
}

/**
 * @param {string} password
 * @param {Bytes} salt
 * @param {number} iterations
 */
async function stretch(password, salt, iterations) {
  // Keyboards write the same letter in several ways.
  const typed = utf8(password.normalize('NFKC'));
  const base = await crypto.subtle.importKey('raw', typed, 'PBKDF2', false, ['deriveKey']);
  const how = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations };
  return crypto.subtle.deriveKey(how, base, AES, false, ['wrapKey', 'unwrapKey']);
}

/**
 * Whether what is sealed to a key's public half can be read by its private one: a file may name any two.
 *
 * @param {BackupKey} backup
 * @param {CryptoKey} privateKey
 */
export async function isPair({ point }, privateKey) {
  const [probe, name] = [random(16), 'probe'];
  try {
    return equal(await unseal(privateKey, await seal(point, probe, name), name), probe);
  } catch {
    return false;
  }
}

/**
 * Seals a secret. It needs no password.
 *
 * @param {Bytes} point of the backup's key
 * @param {Bytes} secret
 * @param {string} name what it is sealed for: `unseal` takes the same
 * @returns {Promise<Sealed>}
 */
export async function seal(point, secret, name) {
  const theirs = await crypto.subtle.importKey('raw', point, ECDH, false, []);
  const once = await crypto.subtle.generateKey(ECDH, false, ['deriveKey']);
  const own = new Uint8Array(await crypto.subtle.exportKey('raw', once.publicKey));
  const key = await agreed(once.privateKey, theirs, own);
  const iv = random(12);
  const how = { name: 'AES-GCM', iv, additionalData: utf8(name) };
  return { point: own, iv, data: new Uint8Array(await crypto.subtle.encrypt(how, key, secret)) };
}

/**
 * Opens what `seal` made.
 *
 * @param {CryptoKey} privateKey
 * @param {Sealed} sealed
 * @param {string} name
 * @returns {Promise<Bytes>}
 * @throws {DOMException} where it is another's, of another name, or damaged
 */
export async function unseal(privateKey, { point, iv, data }, name) {
  const theirs = await crypto.subtle.importKey('raw', point, ECDH, false, []);
  const key = await agreed(privateKey, theirs, point);
  const how = { name: 'AES-GCM', iv, additionalData: utf8(name) };
  return new Uint8Array(await crypto.subtle.decrypt(how, key, data));
}

/**
 * @param {CryptoKey} privateKey
 * @param {CryptoKey} publicKey
 * @param {Bytes} once the point that was made for this secret alone
 */
async function agreed(privateKey, publicKey, once) {
  const ecdh = { name: 'ECDH', public: publicKey };
  const base = await crypto.subtle.deriveKey(ecdh, privateKey, 'HKDF', false, ['deriveKey']);
  const info = join('authenticator backup v1\n', once);
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info };
  return crypto.subtle.deriveKey(hkdf, base, AES, false, ['encrypt', 'decrypt']);
}

/** @param {number} length */
function random(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}
