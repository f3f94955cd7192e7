// @ts-check
// One device: the alarm of one that wants in, with its six digits or a refusal; else its name, use and removal.
import {bdi, fill, h, icon} from '../base/dom.js';
import {added, lastUsed, limit, released, tellSeen, unanswered, waits} from '../part/alarm.js';
import {confirm} from '../part/confirm.js';
import {digitPad} from '../part/digit-pad.js';
import {badge, button, busy, field, note, screen} from '../part/screen.js';
import {explain} from '../part/trouble.js';

const MOST = 60;

/** @param {any} app @param {{id: string}} params */
export default async function device(app, {id}) {
  const {t} = app.text;
  let found;
  try {
    found = (await app.api.listDevices()).find((/** @type {any} */ each) => each.deviceId === id);
  } catch (error) {
    return screen({text: app.text, title: t('device.title'), back: '#/devices'},
      h('div', {class: 'empty'}, badge('offline'), h('p', null, explain(app, error)), button(t('devices.again'), () => app.router.update())));
  }
  if (!found) return screen({text: app.text, title: t('device.none'), back: '#/devices'}, h('p', {class: 'muted'}, t('device.noneText')));
  return waits(found) ? wantsIn(app, found) : detail(app, found);
}

/** @param {any} app @param {any} found */
function wantsIn(app, found) {
  const {t} = app.text;
  const {deviceId, name} = found;
  const own = limit(app);
  const wrong = h('p', {class: 'wrong-digits', role: 'alert'});
  const pad = digitPad({text: app.text, length: 6, label: t('device.type'), go: t('device.let'), run: async (digits) => {
    fill(wrong);
    made.dataset.over = '';
    try {
      await app.api.approveDevice(deviceId, digits);
      end(app, made, 'tick', 'ok', 'device.letTitle', t('device.letText', {name}));
    } catch (/** @type {any} */ error) {
      delete made.dataset.over;
      if (error.reason === 'WRONG_STATE') return app.router.update();
      pad.clear();
      fill(wrong, error.reason === 'CODE_REJECTED' ? t('device.notThose') : error.reason === 'QUOTA' ? t('name.quota') : explain(app, error));
    }
  }});
  pad.locked = Boolean(own);
  const refuse = button([icon('close', 'icon small'), t('device.refuse')], async () => {
    fill(wrong);
    made.dataset.over = '';
    try {
      await app.api.revokeDevice(deviceId);
      end(app, made, 'shield', 'danger', 'device.refusedTitle', t('device.refusedText'));
    } catch (error) {
      delete made.dataset.over;
      fill(wrong, explain(app, error));
    }
  }, 'danger wide');
  const alarm = h('div', {class: 'card danger'},
    h('div', {class: 'side'}, badge('alarm', 'danger little'), h('p', {class: 'fill'}, added(app, found))),
    found.releaseTime ? h('p', {class: 'small'}, t('device.until', {time: app.text.when(Date.parse(found.releaseTime), app.clock.now())})) : null);
  const made = screen({text: app.text, title: t('device.wants'), back: '#/devices', class: 'columns alarm'},
    h('div', {class: 'stack'}, own ? note('warn', 'wait', own) : null, alarm, refuse, h('p', {class: 'muted small'}, t('device.refuseHint'))),
    h('div', {class: 'stack'}, h('h2', null, t('device.yours')), h('p', null, t('device.type')), wrong, pad));
  tellSeen(app, made, alarm, deviceId);
  follow(app, made, found);
  return made;
}

/**
 * What was decided stands alone, with one way on.
 * @param {any} app @param {HTMLElement} made @param {string} drawing @param {string} kind @param {string} title @param {any} said
 */
function end(app, made, drawing, kind, title, said) {
  const {t} = app.text;
  const heading = h('h1', {tabIndex: -1}, t(title));
  made.className = 'screen';
  fill(made, h('div', {class: 'grow'}), h('div', {class: 'stack center'}, badge(drawing, kind), heading, h('p', {class: 'lead'}, said)),
    h('div', {class: 'grow'}), h('div', {class: 'actions'}, button(t('device.done'), () => app.router.go('/devices', {replace: true}), 'main wide')));
  heading.focus();
}

/**
 * Shows anew what another device has decided meanwhile; `data-over`: this one decides, and says itself how it ended.
 * @param {any} app
 * @param {import('../base/dom.js').Living} made
 * @param {any} found
 */
function follow(app, made, found) {
  const begun = app.store.state.revisions.devices;
  made.onEnd(app.store.subscribe(async (/** @type {any} */ {revisions}) => {
    if (revisions.devices === begun || made.dataset.over !== undefined) return;
    try {
      const now = (await app.api.listDevices()).find((/** @type {any} */ each) => each.deviceId === found.deviceId);
      if (made.isConnected && made.dataset.over === undefined && now?.state !== found.state) await app.router.update();
    } catch {
      // Asked again with the next change.
    }
  }));
}

/** @param {any} app @param {any} found */
function detail(app, found) {
  const {t} = app.text;
  const revoked = found.state === 'DEVICE_STATE_REVOKED';
  const own = limit(app);
  const date = app.text.date(Date.parse(found.createTime ?? 0));
  const facts = h('div', {class: 'card'},
    h('div', {class: 'side'}, h('div', {class: 'fill'}, h('p', null, lastUsed(app, found, 'device.used')), h('p', {class: 'muted small'}, t('device.since', {date}))),
      found.current ? h('span', {class: 'tag'}, t('devices.this')) : revoked ? h('span', {class: 'tag danger'}, t('devices.gone')) : null));
  const byTime = released(app, found) && !found.current
    ? h('div', {class: 'card warn'}, h('div', {class: 'side'}, badge('alarm', 'warn little'), h('p', {class: 'fill'}, unanswered(app, found))),
      h('p', {class: 'small'}, t('device.unansweredText', {date: app.text.date(Date.parse(found.limitedUntil))}))) : null;
  return screen({text: app.text, title: bdi(found.name), back: '#/devices', class: 'columns'},
    h('div', {class: 'stack'}, own ? note('warn', 'wait', own) : null, byTime, facts),
    revoked ? null : h('div', {class: 'stack'}, byTime ? [removal(app, found), rename(app, found)] : [rename(app, found), removal(app, found)]));
}

/** @param {any} app @param {any} found */
function rename(app, found) {
  const {t} = app.text;
  const input = /** @type {HTMLInputElement} */ (h('input', {maxLength: MOST, value: found.name, autocomplete: 'off', enterKeyHint: 'done', dir: 'auto'}));
  const typed = field({label: t('name.label'), hint: t('name.hint')}, input);
  const save = /** @type {HTMLButtonElement} */ (h('button', {class: 'button wide', type: 'submit'}, t('device.rename')));
  const form = h('form', {class: 'card', noValidate: true}, typed, save);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return typed.wrong(...t('name.empty'));
    typed.wrong();
    busy(save, async () => {
      try {
        await app.api.updateDevice(found.deviceId, name);
        app.announce(app.text.say('devices.saved'));
        await app.router.update();
      } catch (/** @type {any} */ error) {
        typed.wrong(...(error.reason === 'BAD_FIELD' ? t('name.wrong') : explain(app, error)));
      }
    });
  });
  return form;
}

/** @param {any} app @param {any} found */
function removal(app, found) {
  const {t, say} = app.text;
  const {current, name, deviceId} = found;
  return confirm(app, {
    label: t(current ? 'device.removeThis' : 'device.remove'),
    title: t('device.removeTitle', {name}),
    body: t(current ? 'device.removeThisText' : 'device.removeText'),
    go: t('device.remove'),
    run: async () => {
      await app.api.revokeDevice(deviceId);
      app.announce(say('device.removed', {name}));
      // Where it was this one, its state has led elsewhere already.
      if (!current) await app.router.go('/devices', {replace: true});
    },
  });
}
