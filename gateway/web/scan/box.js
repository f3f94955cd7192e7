// Decodes QR codes from pixels, and draws them. This frame has an opaque origin: no storage, no network, no view of
// the page that holds keys. It takes {width, height, data} or {draw}, and gives a string back by its port.
import decodeQR from './qr/decode.js';
import encodeQR from './qr/index.js';

const MOST = 4096;
const SIDE = 2048;
const BORDER = 4;

/** @param {MessageEvent} event */
function answer(event) {
  const {id, width, height, data, draw} = event.data ?? {};
  if (!Number.isSafeInteger(id)) return;
  if (typeof draw === 'string') return event.target.postMessage({id, text: rows(draw)});
  let text = '';
  try {
    if (width > SIDE || height > SIDE || !(data instanceof ArrayBuffer)) throw new RangeError('image');
    text = decodeQR({width, height, data: new Uint8ClampedArray(data)});
  } catch {
    // No code in it, or none that can be read: the next frame may have one.
  }
  event.target.postMessage({id, text: typeof text === 'string' && text.length <= MOST ? text : ''});
}

/** @param {string} text @returns {string} lines of 0 and 1, or nothing where it does not fit */
function rows(text) {
  try {
    return encodeQR(text, 'raw', {border: BORDER}).map((row) => row.map(Number).join('')).join('\n');
  } catch {
    return '';
  }
}

// The page hands over one port, and is not heard otherwise.
addEventListener('message', (event) => {
  const port = event.ports[0];
  if (event.source !== parent || !port) return;
  port.onmessage = answer;
  port.postMessage({ready: true});
}, {once: true});
parent.postMessage({waiting: true}, '*');
