// @ts-check
// Strips above every screen: no connection, a new version, a clock that is off, Safari's seven days.
import {Living, fill, h, icon} from '../base/dom.js';
import {button} from './screen.js';

const OFF = 30_000;

class NoticeBar extends Living {
  /** What stands there: strips that are the same are not told again. */
  #told = '';

  /** @param {any} app */
  begin(app) {
    this.app = app;
    return this;
  }

  connectedCallback() {
    this.onEnd(this.app.store.subscribe((/** @type {any} */ state) => this.#show(state)));
  }

  /** @param {any} state */
  #show({online, trouble, update, busy, clockOffset, safari, retryTime}) {
    const {t} = this.app.text;
    const strips = [];
    if (!online) strips.push(strip('', 'offline', t('notice.offline')));
    else if (trouble) {
      const again = retryTime ? button(t('notice.again'), () => this.app.inbox.again(), 'link') : null;
      strips.push(strip('', 'offline', t('notice.trouble'), again));
    }
    if (update && !busy) strips.push(strip('news', 'refresh', t('notice.update'), button(t('notice.reload'), () => this.app.worker.reload(), 'link')));
    if (Math.abs(clockOffset) > OFF) {
      strips.push(strip('', 'clock', t('notice.clock', {span: this.app.text.minutes(Math.abs(clockOffset) / 1000)})));
    }
    if (safari) strips.push(strip('', 'alarm', t('notice.safari')));
    const told = strips.map((each) => each.textContent).join('|');
    if (told !== this.#told) fill(this, strips);
    this.#told = told;
  }
}
customElements.define('notice-bar', NoticeBar);

/**
 * @param {string} kind
 * @param {string} drawing
 * @param {any[]} nodes
 * @param {...any} more
 */
const strip = (kind, drawing, nodes, ...more) =>
  h('div', {class: `strip ${kind}`.trim()}, icon(drawing, 'icon small'), h('span', null, nodes), ...more);

/** @param {any} app */
export const noticeBar = (app) => /** @type {NoticeBar} */ (h('notice-bar', {role: 'status'})).begin(app);
