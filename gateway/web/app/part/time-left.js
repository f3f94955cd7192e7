// @ts-check
// Time left as a number and a bar: role=timer, without a live region.
import {Living, fill, h} from '../base/dom.js';

const CALM = matchMedia('(prefers-reduced-motion: reduce)');
const SOON = 5;

/** `set(seconds, of)` shows a state; `soon` colours the last seconds. */
class TimeLeft extends Living {
  /** @param {import('../base/text.js').Text} text */
  begin(text) {
    this.text = text;
    this.role = 'timer';
    this.rest = h('div', {class: 'rest'});
    this.number = h('span', {class: 'seconds'});
    fill(this, h('div', {class: 'track', 'aria-hidden': 'true'}, this.rest), this.number);
    return this;
  }

  /**
   * @param {number} seconds left
   * @param {number} of how many
   */
  set(seconds, of) {
    const left = Math.max(0, Math.ceil(seconds));
    const label = left >= 60 ? this.text?.span(left) : this.text?.say('common.seconds', {n: left});
    if (this.number && this.number.textContent !== label) this.number.textContent = label ?? '';
    const shown = CALM.matches ? Math.ceil(left / 5) * 5 : left;
    if (this.rest) this.rest.style.transform = `scaleX(${Math.min(1, shown / of)})`;
    this.classList.toggle('soon', left <= SOON);
  }
}
customElements.define('time-left', TimeLeft);

/**
 * @param {import('../base/text.js').Text} text
 * @returns {TimeLeft}
 */
export const timeLeft = (text) => /** @type {TimeLeft} */ (h('time-left')).begin(text);
