// @ts-check
// A large keypad for a number: real buttons, the keyboard works anywhere on the screen, pasting too. The last
// digit sends nothing by itself. What is typed is told as "3 of 6", never which digits.
import {Living, fill, h, icon} from '../base/dom.js';
import {busy} from './screen.js';

/**
 * @typedef {object} Options
 * @property {import('../base/text.js').Text} text
 * @property {number} length
 * @property {any} label of the group
 * @property {any} go words of the button that sends
 * @property {(digits: string) => any} run
 */

class DigitPad extends Living {
  value = '';
  #locked = false;
  /** @type {Options} */
  #options = /** @type {any} */ (null);
  /** @type {HTMLElement[]} */
  #slots = [];
  /** @type {HTMLButtonElement[]} */
  #keys = [];
  #go = /** @type {HTMLButtonElement} */ (h('button', {class: 'key go', type: 'button'}));
  #told = h('div', {class: 'unseen', role: 'status'});

  /** @param {Options} options */
  begin(options) {
    this.#options = options;
    const {text, length, go} = options;
    this.role = 'group';
    this.ariaLabel = text.say('pad.label', {n: length});
    this.#slots = Array.from({length}, () => h('span', {class: 'slot'}));
    fill(this.#go, go);
    this.#go.addEventListener('click', () => busy(this.#go, () => options.run(this.value)));
    const digits = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((each) => this.#key(String(each), () => this.type(String(each))));
    const erase = this.#key(icon('delete'), () => this.type('Backspace'), text.say('pad.erase'));
    erase.classList.add('plain');
    fill(this,
      h('div', {class: 'slots', 'aria-hidden': 'true'}, this.#slots),
      this.#told,
      h('div', {class: 'keys'}, digits, erase, this.#key('0', () => this.type('0')), this.#go));
    this.#show();
    return this;
  }

  /**
   * @param {any} label
   * @param {() => void} press
   * @param {string} [name]
   */
  #key(label, press, name) {
    const made = /** @type {HTMLButtonElement} */ (h('button', {class: 'key', type: 'button', onclick: press, 'aria-label': name}, label));
    this.#keys.push(made);
    return made;
  }

  connectedCallback() {
    const down = (/** @type {KeyboardEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
      if (/^\d$/.test(event.key) || event.key === 'Backspace') {
        event.preventDefault();
        this.type(event.key);
      }
    };
    const paste = (/** @type {ClipboardEvent} */ event) => {
      if (event.target instanceof HTMLInputElement) return;
      const digits = event.clipboardData?.getData('text').replace(/\D/g, '') ?? '';
      for (const each of digits) this.type(each);
    };
    addEventListener('keydown', down);
    addEventListener('paste', paste);
    this.onEnd(() => { removeEventListener('keydown', down); removeEventListener('paste', paste); });
  }

  /** @param {string} key a digit, or `Backspace` */
  type(key) {
    if (this.#locked) return;
    const next = key === 'Backspace' ? this.value.slice(0, -1) : this.value + key;
    if (next.length > this.#options.length) return;
    this.value = next;
    this.#show();
    this.#told.textContent = this.#options.text.say('pad.typed', {n: next.length, of: this.#options.length});
  }

  /** Empties it, as after a wrong number. */
  clear() {
    this.value = '';
    this.#show();
  }

  get locked() { return this.#locked; }

  /** Takes no digits and sends nothing: while it is too early, or over. */
  set locked(yes) {
    this.#locked = yes;
    this.#show();
  }

  #show() {
    this.#slots.forEach((slot, index) => {
      slot.textContent = this.value[index] ?? '';
      slot.classList.toggle('here', index === this.value.length && !this.#locked);
    });
    for (const each of this.#keys) each.disabled = this.#locked;
    this.#go.disabled = this.#locked || this.value.length < this.#options.length;
  }
}
customElements.define('digit-pad', DigitPad);

/**
 * @param {Options} options
 * @returns {DigitPad}
 */
export const digitPad = (options) => /** @type {DigitPad} */ (h('digit-pad')).begin(options);
