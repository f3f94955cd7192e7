// @ts-check
// Reads the QR codes by which Google Authenticator exports accounts: a protobuf message in a URI.

import { fromBase64, fromUtf8 } from './bytes.js';
import { OtpauthError, checked, named } from './otpauth.js';

/** @typedef {import('./types').Draft} Draft */
/** @typedef {Record<number, (bigint | Uint8Array)[]>} Fields */

const URI = /^otpauth-migration:\/\/offline\/?\?(?:[^#]*&)?data=([^&#]+)/i;
// By the numbers of the message's enums. MD5 is Google's fourth, and nobody's.
const HASHES = /** @type {const} */ (['SHA-1', 'SHA-1', 'SHA-256', 'SHA-512']);
const DIGITS = [6, 6, 8];
// Ten accounts a code are usual, and a thousand are the most that this app keeps.
const MOST_PARTS = 1000;
const TYPES = /** @type {const} */ (['totp', 'hotp', 'totp']);

/**
 * Reads one QR code of an export, which may have several.
 *
 * @param {string} text
 * @returns {import('./types').Migration} what can be taken, what cannot and why, and its place: `index` from 0,
 *   of `size`, in the export that `batch` names
 * @throws {OtpauthError} NOT_OTPAUTH
 */
export function parseMigration(text) {
  let fields;
  let place;
  try {
    const data = decodeURIComponent(/** @type {string} */ (URI.exec(text.trim())?.[1]));
    // Where nobody escaped it, a plus became a space.
    const base64 = data.replaceAll(' ', '+').replace(/=*$/, '');
    fields = read(fromBase64(base64 + '='.repeat((4 - (base64.length % 4)) % 4)));
    place = { size: number(fields[3]) || 1, index: number(fields[4]), batch: number(fields[5]) };
    if (!(place.size <= MOST_PARTS && place.index >= 0 && place.index < place.size)) throw new RangeError('no place');
  } catch {
    throw new OtpauthError('NOT_OTPAUTH');
  }
  /** @type {Draft[]} */
  const drafts = [];
  /** @type {import('./types').Migration['refused']} */
  const refused = [];
  for (const each of fields[1] ?? []) {
    const { draft, ...told } = account(each);
    if (draft) drafts.push(draft);
    else refused.push(told);
  }
  return { drafts, refused, ...place };
}

/**
 * @param {bigint | Uint8Array} bytes
 * @returns {{issuer: string, account: string, reason: string, draft?: Draft}}
 */
function account(bytes) {
  let name = { issuer: '', account: '' };
  try {
    const fields = read(/** @type {Uint8Array} */ (bytes));
    name = named(text(fields[2]), text(fields[3]));
    const [hash, digits, type] = [HASHES[number(fields[4])], DIGITS[number(fields[5])], TYPES[number(fields[6])]];
    const secret = /** @type {Uint8Array} */ (fields[1]?.at(-1) ?? new Uint8Array()).slice();
    if (!hash) throw new OtpauthError('BAD_ALGORITHM');
    if (!digits) throw new OtpauthError('BAD_DIGITS');
    if (!type) throw new OtpauthError('BAD_TYPE');
    const draft = checked({ type, ...name, secret, hash, digits, period: 30, counter: number(fields[7]) });
    return { ...name, reason: '', draft };
  } catch (error) {
    return { ...name, reason: error instanceof OtpauthError ? error.reason : 'NOT_OTPAUTH' };
  }
}

/**
 * Reads the fields of a message by their numbers.
 *
 * @param {Uint8Array} bytes
 * @returns {Fields} whole numbers as 64-bit integers, all else as bytes
 * @throws {RangeError} where it is no message
 */
function read(bytes) {
  /** @type {Fields} */
  const fields = {};
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asIntN(64, value);
    }
    throw new RangeError('not a varint');
  };
  const take = (/** @type {number} */ length) => {
    if (length < 0 || at + length > bytes.length) throw new RangeError('cut off');
    return bytes.slice(at, (at += length));
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const field = Math.floor(key / 8);
    const wire = key % 8;
    let value;
    if (wire === 0) value = varint();
    else if (wire === 2) value = take(Number(varint()));
    else if (wire === 1 || wire === 5) value = take(wire === 1 ? 8 : 4);
    else throw new RangeError('not a field');
    (fields[field] ??= []).push(value);
  }
  return fields;
}

/** @param {(bigint | Uint8Array)[] | undefined} values */
function number(values) {
  const last = values?.at(-1) ?? 0n;
  if (typeof last !== 'bigint') throw new RangeError('not a number');
  return Number(last);
}

/** @param {(bigint | Uint8Array)[] | undefined} values */
function text(values) {
  const last = values?.at(-1) ?? new Uint8Array();
  if (typeof last === 'bigint') throw new RangeError('not a text');
  return fromUtf8(last);
}
