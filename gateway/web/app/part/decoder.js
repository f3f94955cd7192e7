// @ts-check
// Asks the decoder's frame, which has no view of this page, for the text of a QR code, or the drawing of one. Only
// a string comes back.
import {h} from '../base/dom.js';

const MOST = 4096;
const MOST_ROWS = 40_000;
const ROWS = /^[01]+(\n[01]+)*$/;
const BEGIN = 8000;
const PATIENCE = 10_000;

/** The frame did not answer: most often the page was opened by another name than the service's own. */
export class DecoderError extends Error {}

export class Decoder {
  #patience;
  #frame = /** @type {HTMLIFrameElement} */ (/** @type {unknown} */ (null));
  #port = /** @type {Promise<MessagePort>} */ (/** @type {unknown} */ (null));
  #id = 0;
  /** @type {Map<number, (text: string) => void>} */
  #open = new Map();

  /**
   * Begins to load the frame; `end()` takes it away.
   * @param {number} [patience] milliseconds for one image, after which another frame takes the place of this one
   */
  constructor(patience = PATIENCE) {
    this.#patience = patience;
    this.#load();
  }

  #load() {
    this.#frame = /** @type {HTMLIFrameElement} */ (h('iframe', {hidden: true, tabIndex: -1, 'aria-hidden': 'true'}));
    this.#frame.sandbox.add('allow-scripts');
    this.#frame.src = 'scan/frame.html';
    this.#port = this.#begin();
    // Whoever decodes hears of it.
    this.#port.catch(() => {});
    document.body.append(this.#frame);
  }

  /** @returns {Promise<MessagePort>} */
  #begin() {
    return new Promise((resolve, reject) => {
      const {port1, port2} = new MessageChannel();
      const timer = setTimeout(() => reject(new DecoderError()), BEGIN);
      const heard = (/** @type {MessageEvent} */ event) => {
        if (event.source !== this.#frame.contentWindow || event.data?.waiting !== true) return;
        removeEventListener('message', heard);
        // An opaque origin has no name; what is sent is a port, and no secret.
        this.#frame.contentWindow?.postMessage({}, '*', [port2]);
      };
      addEventListener('message', heard);
      port1.onmessage = ({data}) => {
        if (data?.ready === true) {
          clearTimeout(timer);
          resolve(port1);
        } else this.#answer(data);
      };
    });
  }

  /** @param {any} data */
  #answer(data) {
    const done = this.#open.get(data?.id);
    if (!done) return;
    this.#open.delete(data.id);
    done(typeof data.text === 'string' && data.text.length <= MOST_ROWS ? data.text : '');
  }

  /**
   * The text in an image, or '' where there is none.
   * @param {ImageData} image its pixels are given away
   * @returns {Promise<string>}
   * @throws {DecoderError} the frame is not there
   */
  async decode({width, height, data}) {
    const text = await this.#ask({width, height, data: data.buffer}, [data.buffer]);
    return text.length <= MOST ? text : '';
  }

  /**
   * A text as a QR code.
   * @param {string} text
   * @returns {Promise<string>} its rows of `0` and `1`, white border included
   * @throws {DecoderError} the frame is not there, or the text too long
   */
  async draw(text) {
    const rows = await this.#ask({draw: text}, []);
    const lines = rows.split('\n');
    if (!ROWS.test(rows) || lines.some((line) => line.length !== lines.length)) throw new DecoderError();
    return rows;
  }

  /**
   * @param {object} asked
   * @param {Transferable[]} given
   * @returns {Promise<string>}
   */
  async #ask(asked, given) {
    const port = await this.#port;
    const id = ++this.#id;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#replace(), this.#patience);
      this.#open.set(id, (text) => { clearTimeout(timer); resolve(text); });
      port.postMessage({id, ...asked}, given);
    });
  }

  /** A frame that an image keeps at work would answer nothing else either. */
  #replace() {
    this.end();
    this.#load();
  }

  end() {
    this.#frame.remove();
    for (const id of [...this.#open.keys()]) this.#answer({id, text: ''});
  }
}
