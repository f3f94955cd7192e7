// @ts-check
// Asks which devices there are whenever those of the account change, and raises the alarm for one that waits.
import {waits} from './part/alarm.js';

/**
 * Keeps `store.waiting` true while a device waits, and says so at once: to those who do not look, too.
 * @param {any} app
 */
export function watchDevices(app) {
  let asked = '';
  let turn = 0;
  /** @type {Set<string>} */
  let known = new Set();
  app.store.subscribe(async (/** @type {any} */ {revisions}) => {
    if (!app.device.can('account')) {
      asked = '';
      known = new Set();
      turn++;
      app.store.set({waiting: false});
      return;
    }
    const {devices} = revisions;
    if (!devices || devices === asked) return;
    asked = devices;
    const mine = ++turn;
    try {
      const waiting = (await app.api.listDevices()).filter(waits);
      if (mine !== turn) return;
      const fresh = waiting.filter((/** @type {any} */ each) => !known.has(each.deviceId));
      known = new Set(waiting.map((/** @type {any} */ each) => each.deviceId));
      app.store.set({waiting: waiting.length > 0});
      if (fresh.length) app.announce(app.text.say('device.alarm', {name: fresh[0].name}), {urgent: true});
    } catch {
      // Asked again with whatever happens next.
      if (mine === turn) asked = '';
    }
  });
}
