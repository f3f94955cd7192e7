// @ts-check
// Settings: number and texts, language and look, what is kept here and how safely, the version, and the two ends.
import {bdi, fill, h, icon} from '../base/dom.js';
import {measured} from '../files.js';
import {limit} from '../part/alarm.js';
import {confirm} from '../part/confirm.js';
import {written} from '../part/regions.js';
import {button, field, note, screen} from '../part/screen.js';
import {explain} from '../part/trouble.js';

const LOOKS = ['', 'light', 'dark'];

/** @param {any} app */
export default function settings(app) {
  const {t} = app.text;
  const own = limit(app);
  /** @type {{phoneNumber: string}} */
  const account = {phoneNumber: ''};
  return screen({text: app.text, title: t('settings.title'), class: 'columns'},
    h('div', {class: 'stack'}, own ? note('warn', 'wait', own) : null, number(app, account), appearance(app)),
    h('div', {class: 'stack'}, kept(app), about(app), ends(app, account)));
}

/** @param {any} app @param {{phoneNumber: string}} account filled when the service has answered */
function number(app, account) {
  const {t} = app.text;
  const shown = h('span', {class: 'title tabular'}, t('settings.loading'));
  const told = h('p', {class: 'small muted', role: 'status'});
  const box = /** @type {HTMLInputElement} */ (h('input', {type: 'checkbox', class: 'switch', disabled: true}));
  box.addEventListener('change', async () => {
    const phoneCodes = box.checked;
    fill(told);
    box.disabled = true;
    try {
      await app.api.updateAccount({phoneCodes});
      fill(told, t('settings.saved'));
    } catch (error) {
      box.checked = !phoneCodes;
      fill(told, explain(app, error));
    }
    box.disabled = false;
    box.focus();
  });
  app.api.getAccount().then((/** @type {any} */ found) => {
    account.phoneNumber = found.phoneNumber;
    fill(shown, h('bdi', {dir: 'ltr'}, written(found.phoneNumber)));
    box.checked = found.phoneCodes !== false;
    box.disabled = false;
  }, (/** @type {any} */ error) => {
    fill(shown, t('settings.unknown'));
    fill(told, explain(app, error));
  });
  return h('section', {class: 'section'}, h('h2', null, t('settings.number')), h('div', {class: 'rows'},
    h('div', {class: 'row'}, h('span', {class: 'fill'}, shown, h('span', {class: 'under'}, t('settings.numberText')))),
    h('label', {class: 'row'}, h('span', {class: 'fill'}, h('span', {class: 'title'}, t('settings.texts')), h('span', {class: 'under'}, t('settings.textsText'))), box)), told);
}

/** @param {any} app */
function appearance(app) {
  const {t, say} = app.text;
  const names = new Intl.DisplayNames([app.text.locale], {type: 'language'});
  const told = h('p', {class: 'small', role: 'alert'});
  const keep = async (/** @type {string} */ key, /** @type {string} */ value) => {
    fill(told);
    try {
      await app.vault.put('settings', value, key);
      return true;
    } catch (error) {
      fill(told, explain(app, error));
      return false;
    }
  };
  const select = /** @type {HTMLSelectElement} */ (h('select', null, h('option', {value: ''}, say('settings.browsers')),
    app.languages.map((/** @type {string} */ each) => h('option', {value: each, lang: each},
      each === app.text.language ? names.of(each) : new Intl.DisplayNames([each], {type: 'language'}).of(each)))));
  select.addEventListener('change', async () => {
    if (!await keep('language', select.value)) return;
    app.inbox.tell('settings');
    app.restart();
  });
  const inputs = LOOKS.map((value) => /** @type {HTMLInputElement} */ (h('input', {type: 'radio', name: 'look', value,
    checked: value === (document.documentElement.dataset.look ?? '')})));
  for (const each of inputs) {
    each.addEventListener('change', () => {
      if (each.value) document.documentElement.dataset.look = each.value;
      else delete document.documentElement.dataset.look;
      keep('look', each.value);
    });
  }
  app.vault.get('settings', 'language').then((/** @type {any} */ value) => { select.value = value || ''; }, () => {});
  return h('section', {class: 'section'}, h('h2', {id: 'look-title'}, t('settings.look')), h('div', {class: 'card'},
    h('div', {class: 'segments', role: 'radiogroup', 'aria-labelledby': 'look-title'},
      inputs.map((input, index) => h('label', null, input, h('span', null, t(`settings.${['system', 'light', 'dark'][index]}`))))),
    field({label: t('settings.language')}, select), told));
}

/** What lives in this browser alone, and how safely. @param {any} app */
function kept(app) {
  const {t} = app.text;
  const count = h('span', {class: 'under'}, t('settings.othersText'));
  app.accounts.list().then((/** @type {any[]} */ {length: n}) => { if (n) fill(count, t('settings.othersCount', {n})); }, () => {});
  const safe = h('span', {class: 'under'}, t('settings.loading'));
  const sign = h('span', {class: 'tag'});
  sign.hidden = true;
  const ask = button(t('settings.persist'), () => {
    // Asked in a tap, and not waited for: Firefox answers when its owner does.
    navigator.storage.persist().then(show, () => {});
    fill(safe, t('settings.asked'));
  }, 'wide');
  ask.hidden = true;
  const show = (/** @type {boolean} */ yes) => {
    fill(safe, t(yes ? 'settings.safeText' : 'settings.unsafeText'));
    fill(sign, t(yes ? 'settings.safe' : 'settings.unsafe'));
    sign.className = yes ? 'tag ok' : 'tag warn';
    sign.hidden = false;
    ask.hidden = yes;
  };
  if (navigator.storage?.persisted) navigator.storage.persisted().then(show, () => fill(safe, t('settings.unknown')));
  else fill(safe, t('settings.unknown'));
  return h('section', {class: 'section'}, h('h2', null, t('settings.here')), h('div', {class: 'rows'},
    h('a', {class: 'row', href: '#/backup'}, icon('lock'), h('span', {class: 'fill'}, h('span', {class: 'title'}, t('settings.others')), count), icon('more', 'icon small flips')),
    h('div', {class: 'row'}, icon('shield'), h('span', {class: 'fill'}, h('span', {class: 'title'}, t('settings.storage')), safe), sign)), ask);
}

/** Version and hashes, asked for when somebody wants to know. @param {any} app */
function about(app) {
  const {t} = app.text;
  const held = h('div', {class: 'stack tight', role: 'status'}, h('p', {class: 'muted small'}, t('settings.loading')));
  const details = h('details', {class: 'card'}, h('summary', null, icon('more', 'icon small flips'), t('settings.version')), held);
  details.addEventListener('toggle', async () => {
    if (!(/** @type {HTMLDetailsElement} */ (details).open)) return;
    try {
      const {release, count: n, hash} = await measured();
      fill(held, h('p', null, t('settings.release', {release})), h('p', {class: 'muted small'}, t('settings.files', {n})),
        h('p', {class: 'mono small hash', dir: 'ltr'}, bdi(hash)),
        h('p', {class: 'muted small'}, t('settings.compare', {command: h('code', {class: 'mono'}, 'authy-grpc web hashes')})), h('p', {class: 'muted small'}, t('settings.honest')));
    } catch (error) {
      fill(held, h('p', {class: 'small'}, explain(app, error)));
    }
  });
  return h('section', {class: 'section'}, h('h2', null, t('settings.about')), details);
}

/** @param {any} app @param {{phoneNumber: string}} account */
function ends(app, account) {
  const {t} = app.text;
  const told = h('p', {class: 'small', role: 'alert'});
  let alone = false;
  const input = /** @type {HTMLInputElement} */ (h('input', {inputMode: 'numeric', autocomplete: 'off', maxLength: 4}));
  const digits = field({label: t('settings.digits')}, input);
  const erase = confirm(app, {row: true, label: t('settings.erase'), title: t('settings.eraseTitle'), body: t('settings.eraseText'), more: told,
    go: t('settings.eraseGo'), run: () => app.keepScreen(async () => {
      if (app.device.can('revokeSelf') && !alone) {
        try {
          await app.api.revokeDevice(app.device.deviceId);
        } catch {
          alone = true;
          return fill(told, t('settings.eraseAlone'));
        }
      }
      await clear(app);
    })});
  const remove = confirm(app, {row: true, label: t('settings.delete'), title: t('settings.deleteTitle'), body: t('settings.deleteText'), more: digits,
    go: t('settings.deleteGo'), run: async () => {
      if (!account.phoneNumber || input.value.trim() !== account.phoneNumber.slice(-4)) return digits.wrong(...t('settings.digitsWrong'));
      digits.wrong();
      await app.api.deleteAccount();
    }});
  return h('section', {class: 'section'}, h('h2', null, t('settings.ends')), h('div', {class: 'rows'}, erase, remove));
}

/** Takes all of this app out of the browser, and begins anew. @param {any} app */
async function clear(app) {
  await app.vault.erase();
  for (const name of await caches.keys()) if (name.startsWith('app-')) await caches.delete(name);
  await (await navigator.serviceWorker?.getRegistration())?.unregister();
  app.restart();
}
