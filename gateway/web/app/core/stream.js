// @ts-check
// Reads server-sent events from a fetched stream, and ends one that has fallen silent.
// (EventSource sends no credential, and says of a stream that died in the background that it is open.)

import { ApiError } from './errors.js';

/** @typedef {{event: string, data: string, id: string}} Event */

// The gateway sends a comment every 15 s.
const SILENCE_MILLIS = 40_000;
const MOST_CHARACTERS = 4_000_000;

/**
 * @param {Response} response
 * @param {object} [how]
 * @param {number} [how.silence] milliseconds without a byte after which the stream is dead
 * @param {AbortSignal} [how.signal] ends it
 * @returns {AsyncGenerator<Event, void, void>} its events; it ends where the stream does
 * @throws {ApiError} UNREACHABLE where it was cut or is silent
 */
export async function* events(response, { silence = SILENCE_MILLIS, signal } = {}) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  signal?.addEventListener('abort', () => reader.cancel().catch(() => {}));
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (;;) {
      const { value, done } = await next(reader, silence);
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const blocks = text.replaceAll('\r\n', '\n').split('\n\n');
      text = /** @type {string} */ (blocks.pop());
      if (text.length > MOST_CHARACTERS) throw new ApiError('UNEXPECTED', { status: response.status });
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader
 * @param {number} silence
 * @returns {Promise<ReadableStreamReadResult<Uint8Array>>}
 */
async function next(reader, silence) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const silent = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('silent')), silence);
  });
  try {
    return await /** @type {Promise<any>} */ (Promise.race([reader.read(), silent]));
  } catch (cause) {
    throw new ApiError('UNREACHABLE', { cause });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {string} block the lines of one event
 * @returns {Event | null} null for comments alone
 */
function parse(block) {
  const event = { event: 'message', data: '', id: '' };
  const data = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') data.push(value);
    else if (name === 'event' || name === 'id') event[name] = value;
  }
  return data.length ? { ...event, data: data.join('\n') } : null;
}
