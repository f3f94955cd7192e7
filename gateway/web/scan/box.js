// Decodes QR codes from pixels. This frame has an opaque origin: no storage, no network, no view of the page
// that holds keys. It takes one message, {width, height, data} with a port's answer, and gives a string back.
import decodeQR from './qr/decode.js';

const MOST = 4096;
const SIDE = 2048;

/** @param {MessageEvent} event */
function answer(event) {
  const {id, width, height, data} = event.data ?? {};
  if (!Number.isSafeInteger(id)) return;
  let text = '';
  try {
    if (width > SIDE || height > SIDE || !(data instanceof ArrayBuffer)) throw new RangeError('image');
    text = decodeQR({width, height, data: new Uint8ClampedArray(data)});
  } catch {
    // No code in it, or none that can be read: the next frame may have one.
  }
  event.target.postMessage({id, text: typeof text === 'string' && text.length <= MOST ? text : ''});
}

// The page hands over one port, and is not heard otherwise.
addEventListener('message', (event) => {
  const port = event.ports[0];
  if (event.source !== parent || !port) return;
  port.onmessage = answer;
  port.postMessage({ready: true});
}, {once: true});
parent.postMessage({waiting: true}, '*');
