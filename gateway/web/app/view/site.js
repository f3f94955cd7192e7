// @ts-check
// One site: its code, one's own name for it, pinned or not, and its removal, which says what breaks.
import {fill, h, icon} from '../base/dom.js';
import {codeCard} from '../part/code-card.js';
import {button, busy, field, note, screen} from '../part/screen.js';
import {host, siteHead} from '../part/site-head.js';
import {explain} from '../part/trouble.js';

/** @param {any} app @param {{id: string}} params */
export default async function site(app, {id}) {
  const {t} = app.text;
  const found = (await app.api.sites()).find((/** @type {any} */ each) => each.siteId === id);
  if (!found) {
    return screen({text: app.text, title: t('site.none'), back: '#/codes'}, h('p', {class: 'muted'}, t('site.noneText')));
  }
  const made = screen({text: app.text, title: t('site.title'), back: '#/codes', class: 'columns'});
  const left = h('div', {class: 'stack'}, h('div', {class: 'card stack'}, siteHead(app, {...found, level: 'h2', large: true})), codeOf(app, found), facts(app, found));
  const right = h('div', {class: 'stack'}, labelOf(app, found), pinned(app, found), removal(app, found));
  made.append(left, right);
  return made;
}

/** @param {any} app @param {any} found */
function codeOf(app, found) {
  const {t} = app.text;
  if (found.hasKey) {
    return codeCard(app, {name: found.name, label: found.label, logoId: found.logoId, read: () => app.device.code(found, app.clock.now()),
      used: () => { app.api.keepSite(found.siteId, {usedTime: Date.now()}); }});
  }
  const trouble = h('p', {class: 'small', role: 'alert'});
  return h('div', {class: 'card stack'}, h('p', {class: 'muted'}, t('codes.noKey')), trouble, button(t('codes.addKey'), async () => {
    try {
      await app.api.addSiteKey(found.siteId);
      await app.router.update();
    } catch (error) {
      fill(trouble, explain(app, error));
    }
  }, 'wide'));
}

/** @param {any} app @param {any} found */
function facts(app, found) {
  const {t} = app.text;
  const day = (/** @type {string | undefined} */ time) => time ? app.text.date(Date.parse(time)) : '';
  return h('p', {class: 'muted small'}, t('site.since', {date: day(found.createTime)}), ' ',
    found.lastUseTime ? t('site.used', {date: day(found.lastUseTime)}) : null);
}

/** @param {any} app @param {any} found */
function labelOf(app, found) {
  const {t} = app.text;
  const input = /** @type {HTMLInputElement} */ (h('input', {type: 'text', maxLength: 40, autocomplete: 'off', value: found.label}));
  const label = field({label: t('site.label'), hint: t('site.labelHint')}, input);
  const save = /** @type {HTMLButtonElement} */ (h('button', {class: 'button wide', type: 'submit'}, t('site.save')));
  const saved = h('p', {class: 'small muted', role: 'status'});
  const form = h('form', {class: 'card stack', noValidate: true}, label, save, saved);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(save, async () => {
      label.wrong();
      fill(saved);
      try {
        await app.api.updateSite(found.siteId, input.value.trim());
        fill(saved, t('site.saved'));
      } catch (/** @type {any} */ error) {
        label.wrong(...(error.reason === 'BAD_FIELD' ? t('site.badLabel') : explain(app, error)));
      }
    });
  });
  return form;
}

/** @param {any} app @param {any} found */
function pinned(app, found) {
  const box = /** @type {HTMLInputElement} */ (h('input', {type: 'checkbox', class: 'switch', checked: found.pinned === true}));
  box.addEventListener('change', () => { app.api.keepSite(found.siteId, {pinned: box.checked}); });
  return h('label', {class: 'card side'}, icon('pin'), h('span', {class: 'fill'}, app.text.t('site.pin')), box);
}

/** @param {any} app @param {any} found */
function removal(app, found) {
  const {t} = app.text;
  const trouble = h('p', {class: 'small', role: 'alert'});
  const name = found.label ? `${found.name} (${found.label})` : found.name;
  const sure = h('div', {class: 'card danger stack', hidden: true},
    h('h2', null, t('site.removeTitle', {name})),
    h('p', null, t('site.removeText', {host: host(found.origin)})),
    trouble,
    h('div', {class: 'actions'},
      button(t('site.keep'), () => { sure.hidden = true; ask.hidden = false; ask.focus(); }, 'main wide'),
      button(t('site.removeGo'), async () => {
        try {
          await app.api.removeSite(found.siteId);
          app.announce(app.text.say('site.removed', {name}));
          await app.router.go('/codes', {replace: true});
        } catch (/** @type {any} */ error) {
          fill(trouble, error.reason === 'DEVICE_HELD' ? t('site.limited') : explain(app, error));
        }
      }, 'danger wide')));
  const ask = button([icon('trash', 'icon small'), t('site.remove')], () => { sure.hidden = false; ask.hidden = true; sure.querySelector('button')?.focus(); }, 'danger wide');
  return h('div', {class: 'stack'}, ask, sure, found.awaitingCode ? note('', 'key', t('codes.first', {host: host(found.origin)})) : null);
}
