// @ts-check
// Asks whether the account that the number has is its owner's: numbers change hands.
import {h} from '../base/dom.js';
import {badge, button, screen} from '../part/screen.js';
import {explain} from '../part/trouble.js';

/** @param {any} app */
export default function whose(app) {
  const {t} = app.text;
  const {otherDevices: n = 0, accountCreateTime} = app.store.state.registered ?? {};
  const date = accountCreateTime ? app.text.date(Date.parse(accountCreateTime)) : '';
  const trouble = h('p', {class: 'small', role: 'alert'});
  const fresh = h('div', {class: 'stack', hidden: true},
    h('div', {class: 'card'},
      h('h2', null, t('whose.freshTitle')),
      h('p', null, t('whose.freshText')),
      trouble,
      h('div', {class: 'actions'},
        button(t('whose.freshYes'), () => leave(app, trouble), 'main wide'),
        button(t('common.back'), () => { fresh.hidden = true; asked.hidden = false; }, 'quiet wide'))));
  const asked = h('div', {class: 'actions'},
    button(t('whose.yes'), () => app.router.go(app.device.state === 'held' ? '/waiting' : '/ready', {replace: true}), 'main wide'),
    button(t('whose.no'), () => { asked.hidden = true; fresh.hidden = false; fresh.querySelector('button')?.focus(); }, 'quiet wide'));
  return screen({text: app.text},
    h('div', {class: 'grow'}),
    h('div', {class: 'stack center'}, badge('devices'), h('h1', null, t('whose.title')),
      h('p', {class: 'lead'}, said(app, n, date))),
    h('div', {class: 'grow'}), asked, fresh);
}

/** @param {any} app @param {number} n @param {string} date @returns {Node[]} */
function said(app, n, date) {
  const {t} = app.text;
  if (!date) return t('whose.someone');
  return n ? t('whose.since', {date, n}) : t('whose.sinceAlone', {date});
}

/**
 * Gives the earlier account up: revokes what was just made, and begins anew with another text and other keys.
 * @param {any} app
 * @param {HTMLElement} trouble
 */
async function leave(app, trouble) {
  const phoneNumber = app.store.state.registered?.phoneNumber;
  try {
    await app.keepScreen(async () => {
      if (app.device.can('revokeSelf')) await app.api.revokeDevice(app.device.deviceId);
      app.store.set({fresh: true, registered: undefined});
      if (phoneNumber) await app.api.startPhoneVerification({phoneNumber, locale: app.text.locale});
    });
    await app.router.go(app.device.registration ? '/code' : '/', {replace: true});
  } catch (error) {
    trouble.replaceChildren(...explain(app, error));
  }
}
