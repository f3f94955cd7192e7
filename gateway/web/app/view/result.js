// @ts-check
// How a question ended, and where to go now.
import {h} from '../base/dom.js';
import {badge, button, note, screen} from '../part/screen.js';

/** @type {Record<string, [string, string]>} drawing and kind of the badge */
const LOOKS = {
  approved: ['tick', 'ok'],
  denied: ['cross', ''],
  reported: ['flag', 'danger'],
  closed: ['lock', 'danger'],
  expired: ['clock', 'warn'],
  canceled: ['back', 'warn'],
  elsewhere: ['devices', 'warn'],
  unsure: ['offline', 'warn'],
};

/** @param {any} app @param {{id: string}} params */
export default function result(app, {id}) {
  const {t, when} = app.text;
  const results = app.store.state.results ?? {};
  const found = Object.hasOwn(results, id) ? results[id] : undefined;
  const {kind, site, time, expires} = found ?? {kind: 'elsewhere', site: '', time: 0, expires: 0};
  const [drawing, look] = LOOKS[kind];
  const words = found ? t(`result.${kind}`, {host: site, time: when.call(app.text, expires, app.clock.now())}) : t('result.unknown');
  const made = screen({text: app.text},
    h('div', {class: 'grow'}),
    h('div', {class: 'stack center'}, badge(drawing, look), h('h1', null, t(`result.${kind}Title`)), h('p', {class: 'lead'}, words),
      found ? h('p', {class: 'muted small'}, app.text.when(time, app.clock.now())) : null),
    kind === 'reported' || kind === 'denied' || kind === 'closed' ? note(kind === 'denied' ? '' : 'warn', 'key', t(`result.${kind}Then`, {host: site})) : null,
    h('div', {class: 'grow'}),
    h('div', {class: 'actions'}, button(t('result.done'), () => app.router.go('/codes', {replace: true}), 'main wide')));
  app.announce(`${app.text.say(`result.${kind}Title`)}. ${found ? app.text.say(`result.${kind}`, {host: site, time: app.text.when(expires, app.clock.now())}) : ''}`);
  return made;
}
