// @ts-check
// What the screens of devices have in common: the alarm of one that waits and who has seen it, rows, times, kinds.
import {bdi, h} from '../base/dom.js';

const LIMITED = 7 * 864e5;
const HOUR = 36e5;
/** That long it is in front of somebody before it counts as seen. */
const LOOKED = 1000;
const MOST = 50;
const KEPT = 'view.acknowledged';

/** @param {any} device */
export const waits = (device) => device.state === 'DEVICE_STATE_HELD' && !device.current;

/**
 * Whether it was let in by time, and is still limited.
 * @param {any} app
 * @param {any} device
 */
export const released = (app, device) =>
  device.state === 'DEVICE_STATE_ACTIVE' && Date.parse(device.limitedUntil ?? '') > app.clock.now();

/** @param {any} device */
export const drawing = (device) => (device.platform === 'DEVICE_PLATFORM_DESKTOP' || device.platform === 'DEVICE_PLATFORM_WEB' ? 'devices' : 'device');

/** When it was last used, in whole days. @param {any} app @param {any} device @param {string} key of its words */
export function lastUsed(app, device, key = 'devices.used') {
  const time = Date.parse(device.lastSeenTime ?? device.createTime ?? '');
  return Number.isNaN(time) ? null : app.text.t(key, {ago: app.text.ago(time, app.clock.now())});
}

/** The sentence of an alarm: which device, since when. @param {any} app @param {any} device */
export function added(app, device) {
  const [time, now] = [Date.parse(device.createTime), app.clock.now()];
  const today = new Date(time).toDateString() === new Date(now).toDateString();
  const when = today ? `${app.text.ago(time, now)} ${app.text.when(time, now)}` : app.text.when(time, now);
  return app.text.t('device.added', {name: h('strong', null, bdi(device.name)), when});
}

/** How it came that it was let in, and that one may remove it. @param {any} app @param {any} device */
export function unanswered(app, device) {
  const hours = Math.round((Date.parse(device.limitedUntil) - LIMITED - Date.parse(device.createTime)) / HOUR);
  const [n, unit] = hours > 48 ? [Math.round(hours / 24), 'day'] : [Math.max(1, hours), 'hour'];
  const span = new Intl.NumberFormat(app.text.locale, {style: 'unit', unit, unitDisplay: 'long'}).format(n);
  return app.text.t('device.unanswered', {name: h('strong', null, bdi(device.name)), span});
}

/** What this device may not do yet, where it was itself let in by time; null otherwise. @param {any} app */
export function limit(app) {
  const until = app.device.limitedUntil;
  return until > app.clock.now() ? app.text.t('device.limited', {date: app.text.date(until)}) : null;
}

/**
 * Says to the service that its owner has seen an alarm: once it has stood in front of them, once a device.
 * @param {any} app
 * @param {import('../base/dom.js').Living} screen that it stands on
 * @param {Element} shown the alarm
 * @param {string} deviceId
 */
export function tellSeen(app, screen, shown, deviceId) {
  let timer = 0;
  let there = false;
  const look = () => {
    clearTimeout(timer);
    if (there && !document.hidden) timer = setTimeout(() => { acknowledge(app, deviceId); }, LOOKED);
  };
  const watching = new IntersectionObserver((entries) => {
    there = entries.some((each) => each.isIntersecting);
    look();
  }, {threshold: .5});
  watching.observe(shown);
  document.addEventListener('visibilitychange', look);
  screen.onEnd(() => {
    clearTimeout(timer);
    watching.disconnect();
    document.removeEventListener('visibilitychange', look);
  });
}

/** @param {any} app @param {string} deviceId */
async function acknowledge(app, deviceId) {
  if (limit(app)) return;
  const told = await app.vault.get('settings', KEPT).catch(() => []) ?? [];
  if (told.includes(deviceId)) return;
  try {
    await app.api.acknowledgeDevice(deviceId);
    await app.vault.put('settings', [...told, deviceId].slice(-MOST), KEPT);
  } catch {
    // It is said again when the alarm is shown again; meanwhile the device waits longer.
  }
}
