// @ts-check
// The end of setting up: keep the app at hand, and know what losing this browser's data means.
import {h, icon} from '../base/dom.js';
import {badge, button, note, screen} from '../part/screen.js';
import {systemOf} from './name.js';

/** @param {any} app */
export default async function ready(app) {
  const {t} = app.text;
  const token = await app.token.waiting();
  return screen({text: app.text},
    h('div', {class: 'grow'}),
    h('div', {class: 'stack center'}, badge('tick', 'ok'), h('h1', null, t('ready.title')),
      h('p', {class: 'lead'}, t(token ? 'ready.token' : 'ready.lead'))),
    h('div', {class: 'grow'}),
    install(app),
    note('', 'lock', t('ready.storage')),
    h('div', {class: 'actions'}, button(t('ready.finish'), () => finish(app, token), 'main wide')));
}

/** How to put the app where one finds it again; nothing where it is there already. @param {any} app */
function install(app) {
  const {t} = app.text;
  if (app.standalone) return null;
  const system = systemOf(navigator.userAgent, navigator.maxTouchPoints);
  const prompt = app.installPrompt;
  if (prompt) {
    return h('div', {class: 'card'}, h('div', {class: 'side'}, icon('plus'), h('p', {class: 'fill'}, t('ready.install'))),
      button(t('ready.installGo'), () => prompt.prompt(), 'wide'));
  }
  const key = system === 'iPhone' || system === 'iPad' ? 'ready.installIos' : system === 'Android' ? 'ready.installAndroid' : 'ready.bookmark';
  return h('div', {class: 'card'}, h('div', {class: 'side'}, icon('plus'), h('p', {class: 'fill'}, t(key))));
}

/**
 * @param {any} app
 * @param {string} token that has waited for the keys
 */
function finish(app, token) {
  // Asked in a tap, and not waited for: Firefox answers when its owner does.
  navigator.storage?.persist?.().catch(() => {});
  if (token) app.token.open(token);
  else return app.router.go('/codes', {replace: true});
  return app.router.update();
}
