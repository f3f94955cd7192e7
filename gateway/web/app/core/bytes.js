// @ts-check
// Converts between bytes and text: base64, base64url, base32 and UTF-8. Each reader takes one spelling alone.

const ENCODER = new TextEncoder();
// `ignoreBOM` means to keep it: without, a byte order mark would vanish from what is signed.
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/**
 * @param {string} text
 * @returns {Bytes} UTF-8
 */
export function utf8(text) {
  return ENCODER.encode(text);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 * @throws {RangeError} for what is not UTF-8
 */
export function fromUtf8(bytes) {
  try {
    return DECODER.decode(bytes);
  } catch {
    throw new RangeError('not UTF-8');
  }
}

/**
 * @param {...(Uint8Array | string)} parts texts as UTF-8
 * @returns {Bytes} one after the other
 */
export function join(...parts) {
  const all = parts.map((part) => (typeof part === 'string' ? utf8(part) : part));
  const joined = new Uint8Array(all.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of all) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/**
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
export function equal(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} with padding (RFC 4648 section 4), as proto3 JSON writes bytes
 */
export function toBase64(bytes) {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/**
 * @param {string} text
 * @returns {Bytes}
 * @throws {RangeError} for any spelling that `toBase64` does not write
 */
export function fromBase64(text) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new RangeError('not base64');
  }
  if (toBase64(bytes) !== text) throw new RangeError('not base64 in its one spelling');
  return bytes;
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} without padding (RFC 4648 section 5)
 */
export function toBase64Url(bytes) {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/**
 * @param {string} text
 * @returns {Bytes}
 * @throws {RangeError} for any spelling that `toBase64Url` does not write
 */
export function fromBase64Url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new RangeError('not base64url');
  const padding = '='.repeat((4 - (text.length % 4)) % 4);
  return fromBase64(text.replaceAll('-', '+').replaceAll('_', '/') + padding);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} without padding (RFC 4648 section 6), as `otpauth` writes secrets
 */
export function toBase32(bytes) {
  let text = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32[(held >> (bits - 5)) & 31];
    held &= 31;
  }
  return bits ? text + BASE32[(held << (5 - bits)) & 31] : text;
}

/**
 * @param {string} text as people type and copy it: in either case, with spaces, dashes and padding
 * @returns {Bytes}
 * @throws {RangeError} for other characters, and for a length that no bytes have
 */
export function fromBase32(text) {
  const letters = text.replaceAll(/[\s-]/g, '').replace(/=+$/, '').toUpperCase();
  if (!/^[A-Z2-7]*$/.test(letters) || [1, 3, 6].includes(letters.length % 8)) throw new RangeError('not base32');
  const bytes = new Uint8Array(Math.floor((letters.length * 5) / 8));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const letter of letters) {
    held = ((held << 5) | BASE32.indexOf(letter)) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >> bits) & 255;
    }
  }
  return bytes;
}
