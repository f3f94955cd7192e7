// @ts-check
// Reads answers of the service: of a limited length, and of the shape that the contract gives them. What answers in its
// place (a sign-in page of a hotel, a proxy) must not be kept as if the service had said it.

import { ApiError } from './errors.js';

/** @typedef {Record<string, 'string' | 'number' | 'time'>} Shape */

const MOST_BYTES = 4_000_000;

/** What of each message has to be there, whatever else is: of enums none, which a later service may have more of. @satisfies {Record<string, Shape>} */
export const SHAPES = {
  account: { phoneNumber: 'string' },
  activity: { type: 'string', siteName: 'string', deviceName: 'string' },
  device: { deviceId: 'string', name: 'string' },
  logo: { logo: 'string' },
  offer: { siteName: 'string', origin: 'string', expireTime: 'time' },
  registered: { serverAgreementKey: 'string' },
  respond: { state: 'string' },
  session: { deviceToken: 'string', expireTime: 'time', serverTime: 'time' },
  site: { siteId: 'string', name: 'string', origin: 'string', label: 'string', codeDigits: 'number', codePeriodSeconds: 'number' },
  verification: { verificationId: 'string' },
};

/**
 * The JSON value of a body.
 *
 * @param {Response} response
 * @returns {Promise<any>}
 * @throws {ApiError} UNREACHABLE where it was cut, UNEXPECTED where it is too long or no JSON
 */
export async function json(response) {
  const { status } = response;
  let text = '';
  let bytes = 0;
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const { value, done } = (await reader?.read()) ?? { done: true };
      if (done) break;
      bytes += value.length;
      if (bytes > MOST_BYTES) break;
      text += decoder.decode(value, { stream: true });
    }
  } catch (cause) {
    throw new ApiError('UNREACHABLE', { status, cause });
  } finally {
    reader?.cancel().catch(() => {});
  }
  try {
    if (bytes <= MOST_BYTES) return JSON.parse(text);
  } catch {
    // As what is too long.
  }
  throw new ApiError('UNEXPECTED', { status });
}

/**
 * @template T
 * @param {T} value
 * @param {Shape} shape
 * @returns {NonNullable<T>} the value, of that shape
 * @throws {ApiError} UNEXPECTED
 */
export function shaped(value, shape) {
  const told = /** @type {any} */ (value);
  if (Object(told) !== told || !Object.entries(shape).every(([name, kind]) => is(told[name], kind))) {
    throw new ApiError('UNEXPECTED');
  }
  return told;
}

/**
 * @template T
 * @param {T[]} values
 * @param {Shape} shape
 * @returns {T[]} the values, each of that shape
 * @throws {ApiError} UNEXPECTED
 */
export function listed(values, shape) {
  if (!Array.isArray(values)) throw new ApiError('UNEXPECTED');
  return values.map((value) => shaped(value, shape));
}

/**
 * @param {unknown} value
 * @param {'string' | 'number' | 'time'} kind `number`: above 0
 */
function is(value, kind) {
  if (kind === 'number') return Number.isSafeInteger(value) && Number(value) > 0;
  return typeof value === 'string' && (kind === 'string' || Number.isFinite(Date.parse(value)));
}
