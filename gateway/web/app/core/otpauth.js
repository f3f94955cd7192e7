// @ts-check
// Reads what was scanned or pasted: links of this service, `otpauth` accounts (Key URI format), Google's exports.

import { fromBase32, toBase32 } from './bytes.js';
import { parseMigration } from './migration.js';

/** @typedef {import('./types').Draft} Draft */

const MOST_CHARACTERS = 4096;
const MOST_NAME = 200;
const MOST_SECRET = 128;
const TOKEN = /^[A-Za-z0-9_-]{22}$/;
const LINK = /^https?:\/\/[^/?#\s]+\/(?:[^?#\s]*\/)?app\/#\/e\/[A-Za-z0-9_-]{22}$/;
const OTPAUTH = /^otpauth:\/\/([a-z]+)\/([^?#]*)\?([^#]*)$/i;
/** @type {Record<string, import('./types').Hash>} */
const HASHES = { SHA1: 'SHA-1', SHA256: 'SHA-256', SHA512: 'SHA-512' };

/** An account that this app cannot take; `reason` says why. */
export class OtpauthError extends Error {
  /**
   * @param {'NOT_OTPAUTH' | 'NO_SECRET' | 'BAD_SECRET' | 'BAD_DIGITS' | 'BAD_PERIOD' | 'BAD_COUNTER' |
   *   'BAD_ALGORITHM' | 'BAD_TYPE' | 'TOO_LONG'} reason
   */
  constructor(reason) {
    super(reason);
    this.name = 'OtpauthError';
    this.reason = reason;
  }
}

/**
 * Tells what a scanned or pasted text is. It leads nowhere by itself.
 *
 * @param {string} scanned
 * @param {string} appUrl where this app is, with a slash at its end
 * @returns {import('./types').Scanned}
 */
export function readScanned(scanned, appUrl) {
  const text = scanned.trim();
  const ours = `${appUrl}#/e/`;
  if (text.length > MOST_CHARACTERS) return { kind: 'unknown' };
  if (text.startsWith(ours) && TOKEN.test(text.slice(ours.length))) {
    return { kind: 'enrollment', token: text.slice(ours.length) };
  }
  const host = LINK.test(text) && hostOf(text);
  if (host) return { kind: 'elsewhere', host };
  try {
    if (/^otpauth-migration:/i.test(text)) return { kind: 'migration', ...parseMigration(text) };
    if (/^otpauth:/i.test(text)) return { kind: 'account', draft: parseOtpauth(text) };
  } catch (error) {
    return { kind: 'refused', reason: error instanceof OtpauthError ? error.reason : 'NOT_OTPAUTH' };
  }
  return { kind: 'unknown' };
}

/**
 * Reads an `otpauth` URI.
 *
 * @param {string} text
 * @returns {Draft}
 * @throws {OtpauthError}
 */
export function parseOtpauth(text) {
  if (text.length > MOST_CHARACTERS) throw new OtpauthError('TOO_LONG');
  const [, kind, path, query] = OTPAUTH.exec(text.trim()) ?? [];
  if (kind === undefined || path === undefined) throw new OtpauthError('NOT_OTPAUTH');
  const given = new URLSearchParams(query);
  const type = kind.toLowerCase();
  if ((type !== 'totp' && type !== 'hotp') || given.has('encoder')) throw new OtpauthError('BAD_TYPE');
  const { issuer, account } = named(decoded(path), given.get('issuer') ?? '');
  return checked({
    type,
    issuer,
    account,
    secret: secretOf(given.get('secret') ?? ''),
    hash: hashOf(given.get('algorithm') ?? 'SHA1'),
    digits: whole(given.get('digits') ?? '6', 'BAD_DIGITS'),
    period: whole(given.get('period') ?? '30', 'BAD_PERIOD'),
    counter: whole(given.get('counter') ?? '0', 'BAD_COUNTER'),
  });
}

/**
 * Checks an account against what this app takes.
 *
 * @param {Draft} draft
 * @returns {Draft} the same
 * @throws {OtpauthError}
 */
export function checked(draft) {
  const { type, issuer, account, secret, digits, period, counter } = draft;
  if (secret.length === 0) throw new OtpauthError('NO_SECRET');
  if (secret.length > MOST_SECRET) throw new OtpauthError('BAD_SECRET');
  if (!['totp', 'hotp'].includes(type)) throw new OtpauthError('BAD_TYPE');
  if (!Object.values(HASHES).includes(draft.hash)) throw new OtpauthError('BAD_ALGORITHM');
  if (!(Number.isInteger(digits) && digits >= 6 && digits <= 8)) throw new OtpauthError('BAD_DIGITS');
  if (!(Number.isInteger(period) && period >= 15 && period <= 120)) throw new OtpauthError('BAD_PERIOD');
  if (!(Number.isSafeInteger(counter) && counter >= 0)) throw new OtpauthError('BAD_COUNTER');
  // A file may say anything: what is no text would break the list that it stands in.
  if (typeof issuer !== 'string' || typeof account !== 'string') throw new OtpauthError('NOT_OTPAUTH');
  if (issuer.length > MOST_NAME || account.length > MOST_NAME) throw new OtpauthError('TOO_LONG');
  return draft;
}

/**
 * Parts the label of an account, which may begin with the issuer.
 *
 * @param {string} label
 * @param {string} said the issuer, where it is named apart
 */
export function named(label, said) {
  const colon = label.indexOf(':');
  const before = colon < 0 ? '' : label.slice(0, colon).trim();
  const issuer = said.trim() || before;
  const account = colon >= 0 && before === issuer ? label.slice(colon + 1) : label;
  return { issuer, account: account.trim() };
}

/**
 * Writes what `parseOtpauth` reads.
 *
 * @param {Draft} draft
 */
export function writeOtpauth({ type, issuer, account, secret, hash, digits, period, counter }) {
  const algorithm = Object.keys(HASHES).find((name) => HASHES[name] === hash);
  const label = issuer && !issuer.includes(':') ? `${encodeURIComponent(issuer)}:` : '';
  const last = type === 'hotp' ? `counter=${counter}` : `period=${period}`;
  return (
    `otpauth://${type}/${label}${encodeURIComponent(account)}?secret=${toBase32(secret)}` +
    `&issuer=${encodeURIComponent(issuer)}&algorithm=${algorithm}&digits=${digits}&${last}`
  );
}

/**
 * Where a browser would go: in ASCII, whatever the link is made to look like.
 *
 * @param {string} text
 */
function hostOf(text) {
  try {
    return new URL(text).host;
  } catch {
    return '';
  }
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new OtpauthError('NOT_OTPAUTH');
  }
}

/** @param {string} text */
function secretOf(text) {
  try {
    return fromBase32(text);
  } catch {
    throw new OtpauthError('BAD_SECRET');
  }
}

/** @param {string} text */
function hashOf(text) {
  const hash = HASHES[text.toUpperCase().replace(/^HMAC/, '').replace('-', '')];
  if (!hash) throw new OtpauthError('BAD_ALGORITHM');
  return hash;
}

/**
 * @param {string} text
 * @param {'BAD_DIGITS' | 'BAD_PERIOD' | 'BAD_COUNTER'} reason
 */
function whole(text, reason) {
  if (!/^[0-9]{1,15}$/.test(text)) throw new OtpauthError(reason);
  return Number(text);
}
