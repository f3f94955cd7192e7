// @ts-check
// Lists the accounts of other services that were removed in the last 30 days, and brings them back.
import {h, icon, keyed} from '../base/dom.js';
import {attempt} from '../part/account-add.js';
import {accountHead, nameOf} from '../part/foreign.js';
import {badge, button, screen} from '../part/screen.js';

const RESTS = 30;

/** Days until it is gone. @param {number} since */
const days = (since) => Math.min(RESTS, Math.max(1, RESTS - Math.floor((Date.now() - since) / 864e5)));

/** @param {any} app */
export default async function removed(app) {
  const {t} = app.text;
  const resting = await app.accounts.removed();
  const trouble = h('p', {class: 'trouble', role: 'alert'});
  const list = h('ul', {class: 'rows'});
  keyed(list, (/** @type {any} */ each) => each.id, (each) => h('li', null, h('div', {class: 'row wraps'},
    h('div', {class: 'fill'}, accountHead(app, each),
      h('div', {class: 'small under'}, t('removed.left', {n: days(each.removedTime)}))),
    Object.assign(button([icon('refresh', 'icon small'), h('span', null, t('removed.restore'))], () => attempt(app, trouble, async () => {
      await app.accounts.restore(each.id);
      app.inbox.tell('accounts');
      app.announce(app.text.say('removed.restored', {name: nameOf(each)}));
      await app.router.update();
    })), {ariaLabel: app.text.say('removed.restoreOf', {name: nameOf(each)})}))))(resting);
  return screen({text: app.text, title: t('removed.title'), back: '#/backup'},
    h('p', {class: 'muted'}, t('removed.text')), trouble,
    resting.length ? list : h('div', {class: 'empty'}, badge('trash'), h('h2', null, t('removed.empty'))));
}
