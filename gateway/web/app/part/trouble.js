// @ts-check
// Says what happened, whether something was done, and what to do: for errors of the service and of the storage.
import {h} from '../base/dom.js';
import {badge, button, screen} from './screen.js';

/** @type {Record<string, string>} */
const STORAGE = {
  NO_STORAGE: 'private',
  KEYS_REFUSED: 'lockdown',
  FULL: 'full',
  LOST_CONNECTION: 'connection',
  NEWER: 'newer',
  UPGRADE_FAILED: 'upgrade',
  BLOCKED: 'blocked',
};
const HELPED = new Set(['NO_STORAGE', 'KEYS_REFUSED']);

/**
 * What is said of an error that no screen has words of its own for.
 * @param {any} app
 * @param {any} error
 * @returns {Node[]}
 */
export function explain(app, error) {
  const {t} = app.text;
  // Where no answer came, it may have been done all the same: that must not be denied.
  if (error?.reason === 'UNREACHABLE') return t(error.undone ? 'error.unreachable' : 'error.unanswered');
  if (error?.reason === 'RATE_LIMITED') return t('error.limited', {span: app.text.minutes(error.retryDelay ?? 60)});
  if (error?.reason === 'DEVICE_HELD') return t('error.held', {date: app.text.date(app.device.limitedUntil || app.clock.now())});
  if (Object.hasOwn(STORAGE, error?.reason ?? '')) return t(`storage.${STORAGE[error.reason]}`);
  return t('error.unexpected', {id: error?.id ?? error?.name ?? '?'});
}

/**
 * The screen where the storage keeps no keys: before anything is sent.
 * @param {any} app
 * @param {any} error a VaultError
 */
export function storageTrouble(app, error) {
  const {t} = app.text;
  return screen({text: app.text},
    h('div', {class: 'grow'}),
    h('div', {class: 'stack center'}, badge('lock', 'warn'), h('h1', null, t('storage.title')),
      h('p', null, t(`storage.${STORAGE[error.reason] ?? 'private'}`)),
      HELPED.has(error.reason) ? h('p', {class: 'muted'}, t('storage.todo')) : null),
    h('div', {class: 'grow'}),
    h('div', {class: 'actions'}, button(t('storage.again'), () => location.reload(), 'main wide')));
}

/**
 * The screen for what nobody expected.
 * @param {any} app
 * @param {any} error
 */
export function unexpected(app, error) {
  const {t} = app.text;
  return screen({text: app.text},
    h('div', {class: 'grow'}),
    h('div', {class: 'stack center'}, badge('alarm', 'warn'), h('h1', null, t('error.title')),
      h('p', null, t('error.lead')),
      h('details', null, h('summary', null, t('error.show')), h('p', {class: 'mono small'}, String(error?.reason ?? error?.name), ' ', String(error?.id ?? error?.message ?? '')))),
    h('div', {class: 'grow'}),
    h('div', {class: 'actions'}, button(t('error.anew'), () => location.reload(), 'main wide')));
}

/**
 * Counts down what was asked too often: the button says how long, and takes no press until then.
 * @param {any} app
 * @param {import('../base/dom.js').Living} screen that the button stands on
 * @param {HTMLButtonElement} made
 * @param {any} error of reason RATE_LIMITED
 */
export function hold(app, screen, made, error) {
  const words = [...made.childNodes];
  const until = Date.now() + (error.retryDelay ?? 60) * 1000;
  const tick = () => {
    const left = (until - Date.now()) / 1000;
    made.disabled = left > 0;
    made.replaceChildren(...(left > 0 ? app.text.t('error.again', {span: app.text.span(left)}) : words));
    if (left <= 0) clearInterval(timer);
  };
  const timer = setInterval(tick, 1000);
  screen.onEnd(() => clearInterval(timer));
  tick();
}
