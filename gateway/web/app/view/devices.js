// @ts-check
// The account's devices: those that wait first, this one marked, the removed ones below; and who lets in new ones.
import {bdi, fill, h, icon, keyed} from '../base/dom.js';
import {added, drawing, lastUsed, limit, released, tellSeen, unanswered, waits} from '../part/alarm.js';
import {badge, button, note, screen} from '../part/screen.js';
import {explain} from '../part/trouble.js';

const POLICIES = [['HOLD', 'hold'], ['ALLOW', 'allow'], ['DENY', 'deny']];

/** @param {any} app */
export default function devices(app) {
  const {t} = app.text;
  const alarms = h('div', {class: 'stack', hidden: true});
  const rows = h('ul', {class: 'rows', hidden: true});
  const gone = h('ul', {class: 'rows'});
  const removed = h('section', {class: 'section', hidden: true}, h('h2', null, t('devices.removed')), gone);
  const state = h('div', {role: 'status'}, h('p', {class: 'muted'}, t('devices.loading')));
  const own = limit(app);
  const left = h('div', {class: 'stack'}, own ? note('warn', 'wait', own) : null, alarms, state, rows,
    h('p', {class: 'muted small'}, t('devices.add')), removed);
  const made = screen({text: app.text, title: t('devices.title'), class: 'columns'}, left, policy(app));
  const showAlarms = keyed(alarms, (each) => each.deviceId, (each) => alarm(app, made, each));
  const name = (/** @type {any} */ each) => `${each.deviceId} ${each.name} ${each.state} ${each.limitedUntil} ${each.lastSeenTime}`;
  const showRows = keyed(rows, name, (each) => row(app, each));
  const showGone = keyed(gone, name, (each) => row(app, each));

  const refresh = async () => {
    try {
      const found = await app.api.listDevices();
      const active = found.filter((/** @type {any} */ each) => each.state === 'DEVICE_STATE_ACTIVE').sort(first);
      const revoked = found.filter((/** @type {any} */ each) => each.state === 'DEVICE_STATE_REVOKED').sort(first);
      showAlarms(found.filter((/** @type {any} */ each) => waits(each) || (released(app, each) && !each.current)));
      showRows(active);
      showGone(revoked);
      alarms.hidden = !alarms.firstElementChild;
      rows.hidden = active.length === 0;
      removed.hidden = revoked.length === 0;
      fill(state);
    } catch (error) {
      // What is there stays; the strip above says that there is no connection.
      if (rows.hidden) fill(state, h('div', {class: 'empty'}, badge('offline'), h('p', null, explain(app, error)), button(t('devices.again'), refresh)));
    }
  };
  let seen = /** @type {string | undefined} */ (undefined);
  made.onEnd(app.store.subscribe((/** @type {any} */ {revisions}) => {
    if (seen !== undefined && revisions.devices === seen) return;
    seen = revisions.devices ?? '';
    refresh();
  }));
  return made;
}

/** This one, then by last use. @param {any} one @param {any} other */
const first = (one, other) => Number(other.current) - Number(one.current) || Date.parse(other.lastSeenTime ?? 0) - Date.parse(one.lastSeenTime ?? 0) || 0;

/**
 * One that waits, or that was let in because nobody answered.
 * @param {any} app
 * @param {import('../base/dom.js').Living} made
 * @param {any} device
 */
function alarm(app, made, device) {
  const {t} = app.text;
  const held = waits(device);
  const card = h('section', {class: held ? 'card danger arrives' : 'card warn arrives'},
    h('div', {class: 'side'}, badge('alarm', held ? 'danger little' : 'warn little'),
      h('div', {class: 'fill'}, h('h2', null, t(held ? 'device.wants' : 'device.letIn')), h('p', null, held ? added(app, device) : unanswered(app, device)))),
    h('a', {class: held ? 'button main wide' : 'button quiet wide', href: `#/device/${encodeURIComponent(device.deviceId)}`}, t('devices.look')));
  if (held) tellSeen(app, made, card, device.deviceId);
  return card;
}

/** @param {any} app @param {any} device */
function row(app, device) {
  const {t} = app.text;
  const revoked = device.state === 'DEVICE_STATE_REVOKED';
  const held = [badge(drawing(device), revoked ? 'little off' : 'little'),
    h('span', {class: 'fill'}, h('span', {class: 'title'}, bdi(device.name)), h('span', {class: 'under'}, lastUsed(app, device))),
    device.current ? h('span', {class: 'tag'}, t('devices.this')) : null,
    revoked ? h('span', {class: 'value small'}, t('devices.gone')) : icon('more', 'icon small flips')];
  return h('li', null, revoked ? h('div', {class: 'row'}, held) : h('a', {class: 'row', href: `#/device/${encodeURIComponent(device.deviceId)}`}, held));
}

/** What happens to a new device, in three sentences; saved as it is chosen. @param {any} app */
function policy(app) {
  const {t} = app.text;
  const told = h('p', {class: 'small muted', role: 'status'});
  let kept = '';
  const inputs = POLICIES.map(([value]) => /** @type {HTMLInputElement} */ (h('input', {type: 'radio', name: 'policy', value: `NEW_DEVICE_POLICY_${value}`, disabled: true})));
  const show = () => { for (const each of inputs) each.checked = each.value === kept; };
  const lock = (/** @type {boolean} */ yes) => { for (const each of inputs) each.disabled = yes; };
  const choose = async (/** @type {HTMLInputElement} */ input) => {
    fill(told);
    lock(true);
    try {
      ({newDevicePolicy: kept} = await app.api.updateAccount({newDevicePolicy: input.value}));
      fill(told, t('devices.saved'));
    } catch (error) {
      fill(told, explain(app, error));
    }
    lock(false);
    show();
    input.focus();
  };
  for (const each of inputs) each.addEventListener('change', () => { choose(each); });
  const rows = h('div', {class: 'rows', role: 'radiogroup', 'aria-labelledby': 'policy-title'}, inputs.map((input, index) =>
    h('label', {class: 'choice'}, input, h('span', {class: 'choice-words'}, h('strong', null, t(`devices.${POLICIES[index][1]}`)), h('span', {class: 'muted small'}, t(`devices.${POLICIES[index][1]}Text`))))));
  app.api.getAccount().then((/** @type {any} */ account) => {
    kept = account.newDevicePolicy;
    lock(false);
    show();
  }, (/** @type {any} */ error) => { fill(told, explain(app, error)); });
  return h('section', {class: 'section'}, h('h2', {id: 'policy-title'}, t('devices.policy')), rows, told);
}
