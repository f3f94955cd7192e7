// @ts-check
// Makes and uses keys by WebCrypto: P-256 signatures, the agreed secret, codes (RFC 4226, RFC 6238).
// No private key can be exported, and no byte of a secret passes through script.

import { join, toBase64, toBase64Url, utf8 } from './bytes.js';

/** @typedef {import('./types').DeviceKeys} DeviceKeys */
/** @typedef {import('./types').NewKeys} NewKeys */
/** @typedef {import('./types').SiteKey} SiteKey */
/** @typedef {import('./types').Bytes} Bytes */

const P256 = { namedCurve: 'P-256' };
const ECDSA = { name: 'ECDSA', ...P256 };
const ECDH = { name: 'ECDH', ...P256 };
const ES256 = { name: 'ECDSA', hash: 'SHA-256' };
// Its field and its constant b (SP 800-186 section 3.2.1.3).
const FIELD = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
// Of HMAC-SHA-1, as the contract says.
const SECRET_BITS = 160;

/**
 * Makes the two keys of a new device. The one that agrees is good for `agree` alone.
 *
 * @returns {Promise<NewKeys>}
 */
export async function makeDeviceKeys() {
  const signing = await crypto.subtle.generateKey(ECDSA, false, ['sign', 'verify']);
  const agreement = await crypto.subtle.generateKey(ECDH, false, ['deriveKey']);
  return {
    signing: signing.privateKey,
    signingPoint: await point(signing.publicKey),
    agreement: agreement.privateKey,
    agreementPoint: await point(agreement.publicKey),
  };
}

/**
 * Makes the key of this device for one site.
 *
 * @returns {Promise<SiteKey>}
 */
export async function makeSiteKey() {
  const pair = await crypto.subtle.generateKey(ECDSA, false, ['sign', 'verify']);
  const at = await point(pair.publicKey);
  return { key: pair.privateKey, point: at, kid: await thumbprint(at) };
}

/**
 * @param {CryptoKey} publicKey
 * @returns {Promise<Bytes>} the uncompressed point, 65 bytes
 */
async function point(publicKey) {
  return new Uint8Array(await crypto.subtle.exportKey('raw', publicKey));
}

/**
 * Signs by ES256.
 *
 * @param {CryptoKey} key
 * @param {Bytes} bytes not hashed
 * @returns {Promise<Bytes>} r and s, 64 bytes
 */
export async function sign(key, bytes) {
  return new Uint8Array(await crypto.subtle.sign(ES256, key, bytes));
}

/**
 * Signs what a new device says (`RegisterDeviceRequest.signature`).
 *
 * @param {NewKeys} keys
 * @param {string} verificationId
 */
export function signRegistration(keys, verificationId) {
  const message = join(`authy_grpc register v1\n${verificationId}\n`, keys.signingPoint, keys.agreementPoint);
  return sign(keys.signing, message);
}

/**
 * Makes a `DeviceProof`.
 *
 * @param {{signing: CryptoKey, deviceId: string}} device that asks
 * @param {string} method such as `AccountService/RevokeDevice`
 * @param {number} timeMillis by the service's clock
 * @param {string[]} names what the request names, in order
 */
export async function prove(device, method, timeMillis, names) {
  const named = names.join('\n');
  const message = `authy_grpc proof v1\n${device.deviceId}\nauthy_grpc.v1.${method}\n${timeMillis}\n${named}`;
  return { timeMillis: String(timeMillis), signature: toBase64(await sign(device.signing, utf8(message))) };
}

/**
 * Proves a site's key by itself and by the device (`AcceptEnrollmentRequest`, `AddSiteKeyRequest`).
 *
 * @param {{signing: CryptoKey, deviceId: string}} device
 * @param {SiteKey} siteKey
 * @param {string} name the bare token, or the site_id
 */
export async function proveSiteKey(device, siteKey, name) {
  const message = join(`authy_grpc site key v1\n${device.deviceId}\n${name}\n`, siteKey.point);
  return {
    siteKey: toBase64(siteKey.point),
    siteKeyProof: toBase64(await sign(siteKey.key, message)),
    signature: toBase64(await sign(device.signing, message)),
  };
}

/**
 * Agrees with the service on what codes are made from.
 *
 * @param {CryptoKey} agreement the device's, private
 * @param {Bytes} serverPoint
 * @returns {Promise<CryptoKey>} for `siteCodeKey`
 * @throws {RangeError} where the point is none
 */
export async function agree(agreement, serverPoint) {
  if (!isPoint(serverPoint)) throw new RangeError('not a point of P-256');
  const theirs = await crypto.subtle.importKey('raw', serverPoint, ECDH, false, []);
  return crypto.subtle.deriveKey({ name: 'ECDH', public: theirs }, agreement, 'HKDF', false, ['deriveKey']);
}

/**
 * Tells whether an uncompressed point is on the curve: WebKit's GTK port takes others.
 *
 * @param {Uint8Array} at
 */
function isPoint(at) {
  if (at.length !== 65 || at[0] !== 4) return false;
  const [x, y] = [at.slice(1, 33), at.slice(33)].map((bytes) =>
    bytes.reduce((number, byte) => number * 256n + BigInt(byte), 0n),
  );
  if (x === undefined || y === undefined || x >= FIELD || y >= FIELD) return false;
  return (y * y - (x * x * x - 3n * x + B)) % FIELD === 0n;
}

/**
 * Derives the key of a site's codes (`Site.site_id`).
 *
 * @param {DeviceKeys} device
 * @param {string} siteId
 * @returns {Promise<CryptoKey>} for `codeAt`
 */
export function siteCodeKey(device, siteId) {
  const info = join('authy_grpc totp v1\n', device.deviceId, device.agreementPoint, device.serverPoint);
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: utf8(siteId), info };
  const hmac = { name: 'HMAC', hash: 'SHA-1', length: SECRET_BITS };
  return crypto.subtle.deriveKey(hkdf, device.base, hmac, false, ['sign']);
}

/**
 * @param {Bytes} secret of another service's account
 * @param {string} hash `SHA-1`, `SHA-256` or `SHA-512`
 * @returns {Promise<CryptoKey>} for `codeAt` and `codeOf`
 */
export function importCodeKey(secret, hash) {
  return crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash }, false, ['sign']);
}

/**
 * The code of a moment (RFC 6238).
 *
 * @param {CryptoKey} key
 * @param {number} seconds since 1970
 * @param {{digits: number, period: number}} form
 */
export function codeAt(key, seconds, { digits, period }) {
  return codeOf(key, Math.floor(seconds / period), digits);
}

/**
 * The code of a counter (RFC 4226 section 5.3).
 *
 * @param {CryptoKey} key
 * @param {number} counter
 * @param {number} digits
 * @returns {Promise<string>} leading zeros kept
 */
export async function codeOf(key, counter, digits) {
  const message = new DataView(new ArrayBuffer(8));
  message.setBigUint64(0, BigInt(counter));
  const mac = new DataView(await crypto.subtle.sign('HMAC', key, message));
  const offset = mac.getUint8(mac.byteLength - 1) & 15;
  const number = mac.getUint32(offset) & 0x7fffffff;
  return String(number % 10 ** digits).padStart(digits, '0');
}

/**
 * Names a public key (RFC 7638, SHA-256): the `kid` of a receipt.
 *
 * @param {Uint8Array} at its uncompressed point
 */
export async function thumbprint(at) {
  const [x, y] = [at.slice(1, 33), at.slice(33)].map(toBase64Url);
  return toBase64Url(await sha256(utf8(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`)));
}

/**
 * The six digits by which a waiting device is recognised (`Device.check`), made here and not believed.
 *
 * @param {DeviceKeys} device
 */
export async function deviceCheck(device) {
  const { deviceId, signingPoint, agreementPoint, serverPoint } = device;
  const head = `authy_grpc device check v1\n${deviceId}\n`;
  const digest = await sha256(join(head, signingPoint, agreementPoint, serverPoint));
  const number = digest.reduce((rest, byte) => (rest * 256 + byte) % 1_000_000, 0);
  return String(number).padStart(6, '0');
}

/**
 * @param {Bytes} bytes
 * @returns {Promise<Bytes>}
 */
export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}
