// @ts-check
// Reads questions strictly, and writes receipts: both have fixed bytes (`PendingApproval`, `RespondApprovalRequest`).

import { equal, fromBase64, fromUtf8, join, toBase64Url, utf8 } from './bytes.js';
import { sign } from './keys.js';

/** @typedef {import('./types').Question} Question */

const MOST_NUMBER = 999_999_999_999_999;
const NONCE = /^[A-Za-z0-9_-]{22}$/;
const KID = /^[A-Za-z0-9_-]{43}$/;
const DECISIONS = ['approve', 'deny', 'report_fraud'];

/** A question that is not in its fixed form, or not the one that its envelope names. */
export class QuestionError extends Error {
  constructor() {
    super('a question that this app does not show');
    this.name = 'QuestionError';
  }
}

/**
 * Reads a question.
 *
 * @param {Uint8Array} bytes
 * @returns {Question} whose fixed form is these very bytes
 * @throws {QuestionError} for anything else
 */
export function readQuestion(bytes) {
  try {
    const said = JSON.parse(fromUtf8(bytes));
    if (isQuestion(said) && equal(utf8(write(said)), bytes)) return shaped(said, bytes);
  } catch {
    // Refused as what is written otherwise.
  }
  throw new QuestionError();
}

/**
 * Reads a question of the inbox.
 *
 * @param {import('./types').PendingApproval} envelope
 * @returns {Question}
 * @throws {QuestionError} where it is unreadable, or has other ids than the envelope
 */
export function readPending({ approvalId, siteId, question }) {
  let bytes;
  try {
    bytes = fromBase64(question);
  } catch {
    throw new QuestionError();
  }
  const read = readQuestion(bytes);
  if (read.approvalId !== approvalId || read.siteId !== siteId) throw new QuestionError();
  return read;
}

/**
 * Signs an answer.
 *
 * @param {Question} question
 * @param {{key: CryptoKey, kid: string}} siteKey
 * @param {object} answer
 * @param {import('./types').Decision} answer.decision
 * @param {string} [answer.matchNumber] the digits typed, where they approve
 * @param {boolean} [answer.userVerified]
 * @param {number} answer.seconds since 1970, by the service's clock
 * @returns {Promise<string>} a compact JWS
 * @throws {RangeError} for a value that has no place in a receipt
 */
export async function writeReceipt(question, siteKey, { decision, matchNumber = '', userVerified = false, seconds }) {
  const number = decision === 'approve' ? /^[0-9]*$/ : /^$/;
  if (!DECISIONS.includes(decision) || !number.test(matchNumber) || !isNumber(seconds) || !KID.test(siteKey.kid)) {
    throw new RangeError('a value has no place in a receipt');
  }
  const header = `{"alg":"ES256","kid":"${siteKey.kid}","typ":"authy-approval"}`;
  const answer =
    `{"decision":"${decision}","match_number":"${matchNumber}",` +
    `"user_verified":${userVerified ? 'true' : 'false'},"time":${seconds},"question":`;
  const payload = join(answer, question.bytes, '}');
  const input = `${toBase64Url(utf8(header))}.${toBase64Url(payload)}`;
  return `${input}.${toBase64Url(await sign(siteKey.key, utf8(input)))}`;
}

/**
 * The fixed form.
 *
 * @param {any} said
 */
function write(said) {
  const details = said.details.map((/** @type {string[]} */ [label, text]) => `[${quoted(label)},${quoted(text)}]`);
  return (
    `{"v":1,"approval_id":${quoted(said.approval_id)},"authy_id":${quoted(said.authy_id)},` +
    `"site_id":${quoted(said.site_id)},"site":${quoted(said.site)},"origin":${quoted(said.origin)},` +
    `"message":${quoted(said.message)},"details":[${details}],"match_digits":${said.match_digits},` +
    `"user_verification":${said.user_verification},"created":${said.created},` +
    `"expires":${said.expires},"nonce":${quoted(said.nonce)}}`
  );
}

/** @param {string} text */
function quoted(text) {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** @param {any} said */
function isQuestion(said) {
  const texts = [said.approval_id, said.authy_id, said.site_id, said.site, said.origin, said.message, said.nonce];
  return (
    said.v === 1 &&
    texts.every(isText) &&
    Array.isArray(said.details) &&
    said.details.every((/** @type {any} */ pair) => Array.isArray(pair) && pair.length === 2 && pair.every(isText)) &&
    [said.match_digits, said.created, said.expires].every(isNumber) &&
    typeof said.user_verification === 'boolean' &&
    NONCE.test(said.nonce)
  );
}

/** @param {any} value */
function isText(value) {
  return typeof value === 'string';
}

/** @param {any} value */
function isNumber(value) {
  return Number.isInteger(value) && value >= 0 && value <= MOST_NUMBER && !Object.is(value, -0);
}

/**
 * @param {any} said
 * @param {Uint8Array} bytes
 * @returns {Question}
 */
function shaped(said, bytes) {
  return {
    approvalId: said.approval_id,
    authyId: said.authy_id,
    siteId: said.site_id,
    site: said.site,
    origin: said.origin,
    message: said.message,
    details: said.details,
    matchDigits: said.match_digits,
    userVerification: said.user_verification,
    created: said.created,
    expires: said.expires,
    nonce: said.nonce,
    bytes: bytes.slice(),
  };
}
