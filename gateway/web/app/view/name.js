// @ts-check
// Names this device, then registers it: new keys are made here, and the account is told their public half.
import {h} from '../base/dom.js';
import {busy, field, screen} from '../part/screen.js';
import {explain, hold} from '../part/trouble.js';

const MOST = 60;

/** @param {any} app */
export default function name(app) {
  const {t} = app.text;
  const input = /** @type {HTMLInputElement} */ (h('input', {maxLength: MOST, value: guess(app), autocomplete: 'off', enterKeyHint: 'done', dir: 'auto'}));
  const typed = field({label: t('name.label'), hint: t('name.hint')}, input);
  const finish = /** @type {HTMLButtonElement} */ (h('button', {class: 'button main wide', type: 'submit'}, t('name.finish')));
  const form = h('form', {class: 'stack', noValidate: true}, typed, h('div', {class: 'actions'}, finish));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!input.value.trim()) return typed.wrong(...t('name.empty'));
    typed.wrong();
    busy(finish, () => register(app, input.value.trim(), typed, (error) => hold(app, made, finish, error)));
  });
  // After a reload the code is gone: it is asked for again.
  if (!app.store.state.code) queueMicrotask(() => app.router.go('/code', {replace: true}));
  const made = screen({text: app.text, title: t('name.title'), back: '#/code'}, h('p', null, t('name.why')), form);
  return made;
}

/**
 * @param {any} app
 * @param {string} given
 * @param {{wrong(...nodes: any[]): void}} typed
 * @param {(error: any) => void} wait
 */
async function register(app, given, typed, wait) {
  const {verificationId, phoneNumber} = app.device.registration ?? {};
  const freshAccount = app.store.state.fresh === true;
  try {
    await app.keepScreen(async () => {
      const answer = await app.api.registerDevice({verificationId, code: app.store.state.code, name: given, freshAccount});
      const {otherDevices = 0, accountCreateTime} = answer;
      app.store.set({code: '', fresh: false, registered: {otherDevices, accountCreateTime, phoneNumber}});
    });
    const {otherDevices} = app.store.state.registered;
    await app.router.go(otherDevices > 0 || app.device.state === 'held' ? '/whose' : '/ready', {replace: true});
  } catch (/** @type {any} */ error) {
    if (error.reason === 'CODE_REJECTED') {
      app.store.set({code: '', rejected: true});
      await app.router.go('/code', {replace: true});
    } else typed.wrong(...refused(app, error));
    if (error.reason === 'RATE_LIMITED') wait(error);
  }
}

/**
 * @param {any} app
 * @param {any} error
 * @returns {Node[]}
 */
function refused(app, error) {
  const {t} = app.text;
  if (error.reason === 'NEW_DEVICES_OFF') return t('name.devicesOff');
  if (error.reason === 'QUOTA') return t('name.quota');
  // Until the service can, it names the field.
  if (error.reason === 'BAD_FIELD' && error.fields.some((/** @type {any} */ each) => /^fresh_?account$/i.test(each.field))) return t('name.noFresh');
  if (error.reason === 'BAD_FIELD') return t('name.wrong');
  return explain(app, error);
}

/** What this browser would be called, `Firefox on Windows`. @param {any} app */
export function guess(app, agent = navigator.userAgent, touches = navigator.maxTouchPoints) {
  const {say} = app.text;
  const plain = (/** @type {string} */ text) => text.replace(/[\u2066-\u2069]/g, '');
  const system = systemOf(agent, touches);
  if (app.standalone) return plain(system ? say('name.app', {system}) : say('name.appAlone'));
  const browsers = [['Edge', /Edg/], ['Opera', /OPR/], ['Samsung Internet', /SamsungBrowser/], ['Firefox', /Firefox|FxiOS/],
    ['Chrome', /Chrome|CriOS|Chromium/], ['Safari', /Safari/]];
  const browser = String(browsers.find(([, pattern]) => /** @type {RegExp} */ (pattern).test(agent))?.[0] ?? '');
  if (!browser) return plain(system || say('name.browser'));
  return plain(system ? say('name.on', {browser, system}) : browser);
}

/**
 * The system by the browser's own word, '' where it does not say.
 * @param {string} agent
 * @param {number} touches
 */
export function systemOf(agent, touches) {
  if (/iPhone|iPod/.test(agent)) return 'iPhone';
  if (/iPad/.test(agent) || (/Macintosh/.test(agent) && touches > 1)) return 'iPad';
  const systems = [['Android', /Android/], ['Windows', /Windows/], ['Mac', /Macintosh/], ['ChromeOS', /CrOS/], ['Linux', /Linux/]];
  return String(systems.find(([, pattern]) => /** @type {RegExp} */ (pattern).test(agent))?.[0] ?? '');
}
