// @ts-check
// A code with its name, time left, the next code in the last ten seconds, and Copy.
import {Living, bdi, fill, h, icon} from '../base/dom.js';
import {logo} from './site-head.js';
import {timeLeft} from './time-left.js';

const NEXT = 10;
const COPIED = 2000;
const SPOKEN = 10;

/**
 * Digits in groups of 3 (of 6) or 4 (of 8), spelled singly for those who hear them.
 * @param {string} code
 * @param {string} [className]
 */
export function spelled(code, className = 'code') {
  return h('span', {class: className, role: 'img', 'aria-label': spell(code)}, grouped(code));
}

/** @param {string} code */
export function grouped(code) {
  const size = code.length % 4 === 0 ? 4 : 3;
  return code.match(new RegExp(`.{1,${size}}`, 'g'))?.join('\u00a0') ?? '';
}

/** @param {string} code */
export const spell = (code) => grouped(code).split('\u00a0').map((each) => [...each].join(' ')).join(', ');

/**
 * A button that copies what it is given, and says so.
 * @param {any} app
 * @param {() => string} read
 * @param {string} [name] what is copied, for those who do not see where the button stands
 */
export function copyButton(app, read, name) {
  const {t, say} = app.text;
  const label = h('span', null, t('common.copy'));
  const made = /** @type {HTMLButtonElement} */ (h('button', {class: 'button copy', type: 'button', 'aria-label': name},
    icon('copy', 'icon small'), label));
  let timer = 0;
  made.addEventListener('click', async () => {
    const done = await copy(read());
    fill(label, t(done ? 'common.copied' : 'common.notCopied'));
    app.announce(say(done ? 'common.copied' : 'common.notCopied'));
    clearTimeout(timer);
    timer = setTimeout(() => fill(label, t('common.copy')), COPIED);
  });
  return made;
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * @typedef {object} Shown
 * @property {string} name of the site or issuer
 * @property {string} [label] one's own
 * @property {string} [logoId]
 * @property {string} [href] of its detail page
 * @property {() => Promise<{code: string, next: string, secondsLeft: number, period: number} | null>} read
 *   null where there is none any more
 * @property {() => void} [used] called when the code is copied
 */

class CodeCard extends Living {
  #code = '';
  #left = 0;
  /** @type {Shown} */
  #shown = /** @type {any} */ (null);
  #heading = h('h3', {class: 'name'});
  #label = h('div', {class: 'label'});
  #line = h('div', {class: 'line'});
  #next = h('div', {class: 'next'});
  #hint = h('span', {class: 'unseen'});

  /**
   * @param {any} app
   * @param {Shown} shown
   */
  begin(app, shown) {
    this.app = app;
    this.time = timeLeft(app.text);
    this.copy = copyButton(app, () => { shown.used?.(); return this.#code; }, app.text.say('codes.copyOf', {name: shown.name}));
    this.#hint.id = `hint-${Math.random().toString(36).slice(2)}`;
    this.copy.setAttribute('aria-describedby', this.#hint.id);
    this.logo = logo(app, shown.name, shown.logoId);
    const names = h('div', {class: 'names'}, this.#heading, this.#label);
    fill(this,
      h('div', {class: 'site-head'}, this.logo, names, this.copy),
      h('div', {class: 'line'}, this.#line, this.#next),
      this.time, this.#hint);
    this.update(shown);
    return this;
  }

  /** @param {Shown} shown a later state of the same */
  update(shown) {
    this.#shown = shown;
    fill(this.#heading, shown.href ? h('a', {href: shown.href}, bdi(shown.name)) : bdi(shown.name));
    fill(this.#label, shown.label ? bdi(shown.label) : null);
    this.#label.hidden = !shown.label;
    if (this.isConnected) this.#tick();
  }

  connectedCallback() {
    this.every(() => { this.#tick(); }, 1000);
  }

  async #tick() {
    const found = await this.#shown.read();
    // Its key has gone: another screen is on its way.
    if (!found) return;
    const {code, next, secondsLeft, period} = found;
    if (code !== this.#code) {
      this.#code = code;
      fill(this.#line, spelled(code));
    }
    const told = next && secondsLeft <= NEXT ? next : '';
    if (this.#next.dataset.code !== told) {
      this.#next.dataset.code = told;
      fill(this.#next, told ? [h('span', {class: 'small'}, this.app.text.t('codes.next')), ' ', spelled(told, 'mono')] : null);
    }
    // A code that counts stands until the next one is asked for.
    if (this.time) this.time.hidden = period === 0;
    this.time?.set(secondsLeft, period || 1);
    // Only beside the focus, and not each second: nobody hears a countdown who did not ask for it.
    const left = Math.ceil(secondsLeft / SPOKEN) * SPOKEN;
    if (document.activeElement === this.copy && left !== this.#left) {
      this.#hint.textContent = this.app.text.say('common.seconds', {n: left});
      this.#left = left;
    }
  }
}
customElements.define('code-card', CodeCard);

/**
 * @param {any} app
 * @param {Shown} shown
 * @returns {CodeCard}
 */
export const codeCard = (app, shown) => /** @type {CodeCard} */ (h('code-card')).begin(app, shown);
