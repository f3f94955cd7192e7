// @ts-check
// A device that must wait: six digits to type into another device, and when it is let in by time.
import {h, icon} from '../base/dom.js';
import {spelled} from '../part/code-card.js';
import {button, screen} from '../part/screen.js';
import {explain} from '../part/trouble.js';

/** @param {any} app */
export default function waiting(app) {
  const {t, say} = app.text;
  const release = h('p', {class: 'muted'}, t('waiting.alone'));
  const trouble = h('p', {class: 'small', role: 'alert'});
  const check = app.device.check;
  const made = screen({text: app.text, title: t('waiting.title')},
    h('p', null, t('waiting.todo')),
    h('div', {class: 'check big'}, spelled(check, 'check'), h('span', {class: 'unseen'}, say('waiting.digits'))),
    release,
    h('div', {class: 'side muted small', role: 'status'}, icon('wait', 'icon small'), h('span', null, t('waiting.watching'))),
    trouble,
    h('div', {class: 'grow'}),
    h('details', null, h('summary', null, icon('more', 'icon small flips'), t('waiting.notMine')), h('p', {class: 'muted'}, t('waiting.notMineText')),
      h('div', {class: 'actions'}, button(t('waiting.notMineGo'), () => app.router.go('/whose'), 'quiet wide'))),
    h('details', null, h('summary', null, icon('more', 'icon small flips'), t('waiting.giveUp')), h('p', {class: 'muted'}, t('waiting.giveUpText')),
      h('div', {class: 'actions'}, button(t('waiting.giveUpGo'), async () => {
        try {
          await app.api.revokeDevice(app.device.deviceId);
        } catch (error) {
          trouble.replaceChildren(...explain(app, error));
        }
      }, 'danger wide'))));

  const ask = async () => {
    try {
      const own = (await app.api.listDevices()).find((/** @type {any} */ each) => each.current);
      if (own?.releaseTime) release.replaceChildren(...t('waiting.until', {time: app.text.when(Date.parse(own.releaseTime), app.clock.now())}));
    } catch {
      // The strip above says that there is no connection; it is asked again when the inbox tells something.
    }
  };
  let seen = /** @type {string | undefined} */ (undefined);
  made.onEnd(app.store.subscribe((/** @type {any} */ {revisions}) => {
    if (seen !== undefined && revisions.devices === seen) return;
    seen = revisions.devices ?? '';
    ask();
  }));
  return made;
}
