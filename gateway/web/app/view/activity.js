// @ts-check
// What happened on the account, by day: a sentence for each type that the service has, never its raw name.
import {fill, h} from '../base/dom.js';
import {badge, button, screen} from '../part/screen.js';
import {explain} from '../part/trouble.js';

/** Drawings and their colours, by the type's words joined. @type {Map<string, string[]>} */
const KINDS = new Map([
  ['accountUpdated', ['settings']],
  ['approvalApproved', ['tick', 'ok']],
  ['approvalDenied', ['cross']],
  ['approvalExpired', ['clock']],
  ['codeAccepted', ['codes']],
  ['deviceAcknowledged', ['bell']],
  ['deviceAdded', ['device', 'warn']],
  ['deviceApproved', ['tick', 'ok']],
  ['deviceRefused', ['shield', 'danger']],
  ['deviceReleased', ['alarm', 'warn']],
  ['deviceRemoved', ['trash']],
  ['deviceRenamed', ['device']],
  ['siteAdded', ['plus']],
  ['siteKeyAdded', ['key']],
  ['siteRefused', ['cross']],
  ['siteRemoved', ['trash']],
  ['siteRenewed', ['refresh']],
]);
const PAGE = 50;

/** @param {any} app */
export default function activity(app) {
  const {t} = app.text;
  const days = h('div', {class: 'stack'});
  const state = h('div', {role: 'status'}, h('p', {class: 'muted'}, t('activity.loading')));
  const trouble = h('p', {class: 'small', role: 'alert'});
  const older = h('div', {class: 'actions', hidden: true}, trouble, button(t('activity.older'), () => more(), 'wide'));
  const made = screen({text: app.text, title: t('activity.title')}, state, days, older);
  /** @type {any[]} */
  let there = [];
  let next = '';

  const show = () => {
    fill(days, byDay(app, there));
    older.hidden = !next;
    fill(state, there.length ? null : h('div', {class: 'empty'}, badge('activity'), h('h2', null, t('activity.empty')), h('p', null, t('activity.emptyText'))));
  };
  const refresh = async () => {
    try {
      const {activities, nextPageToken} = await app.api.listActivity({pageSize: PAGE});
      const newest = Date.parse(there[0]?.time ?? 0);
      const fresh = activities.filter((/** @type {any} */ each) => Date.parse(each.time) > newest);
      // More than a page of news: what was there would have a hole before it.
      if (!there.length || fresh.length === activities.length) [there, next] = [activities, nextPageToken];
      else there = [...fresh, ...there];
      show();
    } catch (error) {
      if (!there.length) fill(state, h('div', {class: 'empty'}, badge('offline'), h('p', null, explain(app, error)), button(t('activity.again'), refresh)));
    }
  };
  async function more() {
    fill(trouble);
    try {
      const {activities, nextPageToken} = await app.api.listActivity({pageSize: PAGE, pageToken: next});
      const at = there.length;
      there = [...there, ...activities];
      next = nextPageToken;
      show();
      // To where one has read; the button may have gone.
      const row = /** @type {HTMLElement | undefined} */ (days.querySelectorAll('.row')[at]);
      if (row) Object.assign(row, {tabIndex: -1}).focus();
    } catch (error) {
      fill(trouble, explain(app, error));
    }
  }
  let seen = /** @type {string | undefined} */ (undefined);
  made.onEnd(app.store.subscribe((/** @type {any} */ {revisions}) => {
    if (seen !== undefined && revisions.activity === seen) return;
    seen = revisions.activity ?? '';
    refresh();
  }));
  return made;
}

/** @param {any} app @param {any[]} activities newest first */
function byDay(app, activities) {
  const now = app.clock.now();
  /** @type {Map<string, any[]>} */
  const days = new Map();
  for (const each of activities) {
    const date = new Date(each.time);
    days.set(date.toDateString(), [...days.get(date.toDateString()) ?? [], each]);
  }
  return [...days].map(([day, each]) => {
    const time = Date.parse(each[0].time);
    const near = now - time < 2 * 864e5 && [now, now - 864e5].some((one) => new Date(one).toDateString() === day);
    const ago = app.text.ago(time, now);
    const name = near ? ago.charAt(0).toLocaleUpperCase(app.text.locale) + ago.slice(1) : app.text.date(time);
    return h('section', {class: 'section'}, h('h2', null, name), h('ul', {class: 'rows'}, each.map((one) => row(app, one))));
  });
}

/** @param {any} app @param {any} activity */
function row(app, {type, siteName, deviceName, time}) {
  const {t, say} = app.text;
  const joined = String(type).replace(/[._]([a-z])/g, (_, letter) => letter.toUpperCase());
  const [drawing, kind = ''] = KINDS.get(joined) ?? ['activity'];
  const key = KINDS.has(joined) ? joined : 'unknown';
  const said = t(`did.${key}`, {site: siteName || say('did.site'), device: deviceName || say('did.device')});
  const at = new Intl.DateTimeFormat(app.text.locale, {timeStyle: 'short'}).format(new Date(time));
  return h('li', {class: 'row'}, badge(drawing, `little ${kind}`.trim()),
    h('span', {class: 'fill'}, h('span', null, said), h('span', {class: 'under'}, at)));
}
