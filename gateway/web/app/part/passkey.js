// @ts-check
// Verifies the person by a passkey of this app (WebAuthn level 2, user verification required). The answer says
// no more than that this app saw it: it is held against the key that was kept when the passkey was made.
import {equal, fromBase64Url, join, toBase64Url, utf8} from '../core/bytes.js';

const KEPT = 'view.passkey';
const ES256 = -7;
// Of Windows Hello on some machines.
const RS256 = -257;
const PRESENT = 0x01;
const VERIFIED = 0x04;
const TIME = 60_000;

/** `reason` is `noPasskey` (this browser has none to offer) or `notVerified` (refused, or not what was asked). */
export class PasskeyError extends Error {
  /** @param {string} reason */
  constructor(reason) {
    super(reason);
    this.name = 'PasskeyError';
    this.reason = reason;
  }
}

/**
 * Asks for the passkey, and offers to make it the first time.
 * @param {any} app
 * @returns {Promise<true>}
 * @throws {PasskeyError}
 */
export async function verifyUser(app) {
  if (!globalThis.PublicKeyCredential || !navigator.credentials) throw new PasskeyError('noPasskey');
  try {
    const kept = (await app.vault.get('settings', KEPT)) ?? (await make(app));
    await check(kept);
    return true;
  } catch (error) {
    if (error instanceof PasskeyError) throw error;
    throw new PasskeyError(/** @type {any} */ (error)?.name === 'NotSupportedError' ? 'noPasskey' : 'notVerified');
  }
}

/** @param {any} app */
async function make(app) {
  const challenge = crypto.getRandomValues(new Uint8Array(32));
  const made = /** @type {PublicKeyCredential | null} */ (await navigator.credentials.create({publicKey: {
    challenge,
    rp: {name: app.text.say('common.app'), id: location.hostname},
    user: {id: crypto.getRandomValues(new Uint8Array(16)), name: app.text.say('common.app'), displayName: app.text.say('common.app')},
    pubKeyCredParams: [ES256, RS256].map((alg) => ({type: 'public-key', alg})),
    authenticatorSelection: {authenticatorAttachment: 'platform', userVerification: 'required', residentKey: 'preferred'},
    timeout: TIME,
  }}));
  const said = /** @type {AuthenticatorAttestationResponse | undefined} */ (made?.response);
  const key = said?.getPublicKey?.();
  if (!made || !key) throw new PasskeyError('noPasskey');
  const kept = {id: toBase64Url(new Uint8Array(made.rawId)), key: toBase64Url(new Uint8Array(key)), rsa: said?.getPublicKeyAlgorithm() === RS256};
  await app.vault.put('settings', kept, KEPT);
  return kept;
}

/** @param {{id: string, key: string, rsa?: boolean}} kept */
async function check({id, key, rsa = false}) {
  const challenge = crypto.getRandomValues(new Uint8Array(32));
  const answer = /** @type {PublicKeyCredential | null} */ (await navigator.credentials.get({publicKey: {
    challenge, rpId: location.hostname, userVerification: 'required', timeout: TIME,
    allowCredentials: [{type: 'public-key', id: fromBase64Url(id), transports: ['internal']}],
  }}));
  const said = /** @type {AuthenticatorAssertionResponse | undefined} */ (answer?.response);
  if (!said) throw new PasskeyError('notVerified');
  const client = JSON.parse(new TextDecoder().decode(said.clientDataJSON));
  const data = new Uint8Array(said.authenticatorData);
  const asked = client.type === 'webauthn.get' && client.challenge === toBase64Url(challenge) && client.origin === location.origin;
  const party = new Uint8Array(await crypto.subtle.digest('SHA-256', utf8(location.hostname)));
  const seen = equal(data.slice(0, 32), party) && (data[32] & PRESENT) !== 0 && (data[32] & VERIFIED) !== 0;
  if (!asked || !seen) throw new PasskeyError('notVerified');
  const signed = join(data, new Uint8Array(await crypto.subtle.digest('SHA-256', said.clientDataJSON)));
  const algorithm = {name: rsa ? 'RSASSA-PKCS1-v1_5' : 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256'};
  const known = await crypto.subtle.importKey('spki', fromBase64Url(key), algorithm, false, ['verify']);
  const signature = new Uint8Array(said.signature);
  const good = await crypto.subtle.verify(algorithm, known, rsa ? signature : flat(signature), signed);
  if (!good) throw new PasskeyError('notVerified');
}

/**
 * A signature as WebCrypto takes it (r and s, 32 bytes each), of the DER that WebAuthn gives.
 * @param {Uint8Array<ArrayBuffer>} der
 */
function flat(der) {
  const made = new Uint8Array(64);
  let at = 2;
  for (const end of [32, 64]) {
    const length = der[at + 1];
    const number = der.slice(at + 2, at + 2 + length);
    const bare = number.slice(Math.max(0, number.length - 32));
    made.set(bare, end - bare.length);
    at += 2 + length;
  }
  return made;
}
