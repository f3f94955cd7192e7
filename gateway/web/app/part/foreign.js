// @ts-check
// What the screens about accounts of other services have in common: names, kinds, outcomes, refusals.
import {bdi, h, icon} from '../base/dom.js';
import {logo} from './site-head.js';
import {explain} from './trouble.js';

/** @typedef {{issuer: string, account: string}} Named */

/** What an account is called. @param {Named & {label?: string}} account */
export const nameOf = ({issuer, account, label}) => issuer || account || label || '?';

/** Where these screens lead back to. @param {any} app */
export const home = (app) => (app.device.can('codes') ? '#/codes' : '#/');

/**
 * Issuer, account and what makes the codes.
 * @param {any} app
 * @param {import('../core/types').Draft | import('../core/types').Foreign} account
 * @param {string} [level] element of the name
 */
export function accountHead(app, account, level = 'div') {
  const name = nameOf(account);
  return h('div', {class: 'site-head'}, logo(app, name),
    h('div', {class: 'names'},
      h(level, {class: 'name'}, bdi(name)),
      account.account && account.account !== name ? h('div', {class: 'muted small'}, bdi(account.account)) : null,
      h('div', {class: 'muted small'}, kind(app, account))));
}

/**
 * @param {any} app
 * @param {{type: string, digits: number, period: number, hash: string}} account
 * @returns {Node[]}
 */
export function kind(app, {type, digits, period, hash}) {
  const {t} = app.text;
  const said = type === 'hotp' ? t('foreign.counted', {digits}) : t('foreign.timed', {digits, period});
  return hash === 'SHA-1' ? said : [...said, document.createTextNode(', '), document.createTextNode(hash)];
}

/**
 * Why an account, a file or a password was not taken.
 * @param {any} app
 * @param {any} error
 * @returns {Node[]}
 */
export function refusal(app, error) {
  const key = `reasons.${error?.reason}`;
  return app.text.has(key) ? app.text.t(key) : explain(app, error);
}

/**
 * What became of each account, line by line.
 * @param {any} app
 * @param {(Named & {outcome: 'added' | 'have' | 'refused', reason: string})[]} results
 */
export function outcomes(app, results) {
  const {t} = app.text;
  /** @type {Record<string, string>} */
  const colours = {added: 'ok', have: '', refused: 'danger'};
  return h('ul', {class: 'rows'}, results.map(({outcome, reason, ...named}) => {
    const key = `reasons.${reason}`;
    const why = outcome === 'refused' ? t(app.text.has(key) ? key : 'reasons.OTHER') : null;
    return h('li', null, h('div', {class: 'row wraps'},
      h('div', {class: 'fill'},
        h('div', {class: 'title'}, bdi(nameOf(named))),
        named.issuer && named.account ? h('div', {class: 'under'}, bdi(named.account)) : null,
        why ? h('div', {class: 'small'}, why) : null),
      h('span', {class: `tag ${colours[outcome]}`.trim()}, t(`foreign.${outcome}`))));
  }));
}

/**
 * A row that leads on.
 * @param {string} href
 * @param {string} drawing
 * @param {any} title
 * @param {any} [under]
 */
export const leads = (href, drawing, title, under) => h('li', null, h('a', {class: 'row', href}, icon(drawing),
  h('span', {class: 'fill'}, h('span', {class: 'title'}, title), under ? h('span', {class: 'under'}, under) : null),
  icon('more', 'icon small flips')));
