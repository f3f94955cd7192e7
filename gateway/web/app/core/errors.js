// @ts-check
// Reads why a call failed: the google.rpc.Status of an answer, or that none came.

const DOMAIN = 'authy_grpc';
const PREFIX = 'ERROR_REASON_';
const UNIMPLEMENTED = 12;
const LONGEST_SECONDS = 86_400;
// Of a proxy in between, where the answer says nothing of the service.
const UNREACHED = [408, 425, 429, 500, 502, 503, 504];
// Nothing was decided or begun: the call may be made again whatever it does.
const UNDONE = ['BACKEND', 'DRAINING'];

/**
 * A call was refused or lost.
 *
 * `reason` is of `errors.proto` without its prefix, or UNREACHABLE (no answer came: it may have been done),
 * UNIMPLEMENTED, NO_DEVICE (there are no keys, and nothing was sent), UNEXPECTED.
 */
export class ApiError extends Error {
  /**
   * @param {string} reason
   * @param {object} [more]
   * @param {number} [more.status] of HTTP; 0 where no answer came
   * @param {number | null} [more.retryDelay] seconds; null where the service names no time
   * @param {Record<string, string>} [more.metadata]
   * @param {{field: string, description: string, reason: string}[]} [more.fields] that break a limit
   * @param {unknown} [more.cause]
   */
  constructor(reason, { status = 0, retryDelay = null, metadata = {}, fields = [], cause } = {}) {
    super(reason, { cause });
    this.name = 'ApiError';
    this.reason = reason;
    this.status = status;
    this.retryDelay = retryDelay;
    this.metadata = metadata;
    this.fields = fields;
    /** Whether the call was not made, or is one that does nothing. */
    this.before = false;
    /** Short, to find it again: the service's own where it is a fault of the service. */
    this.id = metadata.request_id ?? metadata.requestId ?? crypto.randomUUID().slice(0, 8);
  }

  /** Whether nothing was done. */
  get undone() {
    return UNDONE.includes(this.reason) || (this.before && this.reason === 'UNREACHABLE');
  }
}

/**
 * @param {Response} response that is not `ok`
 * @param {any} body its JSON value, if it has one
 * @returns {ApiError}
 */
export function refusal(response, body) {
  return fromStatus(body, response.status, Number(response.headers.get('retry-after') ?? NaN));
}

/**
 * @param {any} body a google.rpc.Status, if it is well made
 * @param {number} status of HTTP
 * @param {number} [after] seconds, by the header
 * @returns {ApiError}
 */
export function fromStatus(body, status, after = NaN) {
  /** @type {any[]} */
  const details = Array.isArray(body?.details) ? body.details : [];
  const find = (/** @type {string} */ name) =>
    details.find((each) => String(each?.['@type']).endsWith(`google.rpc.${name}`));
  const info = find('ErrorInfo');
  const delay = find('RetryInfo')?.retryDelay;
  const seconds = typeof delay === 'string' ? parseFloat(delay) : after;
  const fields = find('BadRequest')?.fieldViolations;
  const more = {
    status,
    // What is longer than timers take would be no wait at all.
    retryDelay: seconds >= 0 ? Math.min(seconds, LONGEST_SECONDS) : null,
    metadata: info?.metadata ?? {},
    fields: Array.isArray(fields) ? fields.filter(Boolean) : [],
  };
  if (info?.domain === DOMAIN && typeof info.reason === 'string') return new ApiError(info.reason.replace(PREFIX, ''), more);
  if (body?.code === UNIMPLEMENTED) return new ApiError('UNIMPLEMENTED', more);
  return new ApiError(UNREACHED.includes(status) ? 'UNREACHABLE' : 'UNEXPECTED', more);
}
