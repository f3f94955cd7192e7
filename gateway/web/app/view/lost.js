// @ts-check
// The browser has lost its keys, or the device was removed: which of them, what is still here, and the way back.
import {fill, h, icon} from '../base/dom.js';
import {codeCard} from '../part/code-card.js';
import {badge, button, screen} from '../part/screen.js';
import {explain} from '../part/trouble.js';

/** @param {any} app */
export default async function lost(app) {
  const {t} = app.text;
  const removed = app.device.state === 'removed';
  const trouble = h('p', {class: 'small', role: 'alert'});
  const accounts = await app.accounts.list().catch(() => []);
  const n = accounts.length;
  const date = app.device.seenTime ? app.text.date(app.device.seenTime) : '';
  const said = removed ? t('lost.removedText') : date ? t('lost.keysText', {date}) : t('lost.keysTextNever');
  const again = button(t('lost.again'), async () => {
    try {
      await app.keepScreen(() => app.device.forget());
      await app.router.go('/', {replace: true});
      await app.router.update();
    } catch (error) {
      fill(trouble, explain(app, error));
    }
  }, n ? 'wide' : 'main wide');
  const first = n ? h('div', {class: 'card accent'}, h('p', null, t('lost.others', {n})),
    h('a', {class: 'button main wide', href: '#/backup'}, icon('lock', 'icon small'), h('span', null, t('lost.save', {n})))) : null;
  const codes = n ? h('section', {class: 'section'}, h('h2', null, t('codes.others')), h('ul', {class: 'stack plain-list'},
    accounts.filter((/** @type {any} */ each) => each.type === 'totp').map((/** @type {any} */ each) => h('li', null, codeCard(app, {
      name: each.issuer || each.account, label: each.label || (each.issuer ? each.account : ''), href: `#/account/${encodeURIComponent(each.id)}`,
      read: () => app.accounts.code(each, app.clock.now())}))))) : null;
  return screen({text: app.text, class: 'welcome'},
    h('div', {class: 'stack center'}, badge(removed ? 'device' : 'key', 'warn'), h('h1', null, t(removed ? 'lost.removedTitle' : 'lost.keysTitle')), h('p', null, said)),
    first, trouble, h('div', {class: 'actions'}, again),
    h('details', null, h('summary', null, icon('more', 'icon small flips'), t('lost.what')), h('p', {class: 'muted'}, t('lost.whatText'))),
    removed ? h('details', null, h('summary', null, icon('more', 'icon small flips'), t('lost.notMe')), h('p', {class: 'muted'}, t('lost.notMeText'))) : null,
    codes);
}
