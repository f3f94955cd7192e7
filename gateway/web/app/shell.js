// @ts-check
// The frame round all screens: strips above, the screen, tabs below or beside; and the two live regions.
import {fill, h, icon} from './base/dom.js';
import {noticeBar} from './part/notice-bar.js';

const TABS = [
  {name: 'codes', path: '#/codes', drawing: 'codes', views: ['codes', 'site', 'account', 'backup', 'restore', 'export', 'password', 'removed', 'scan']},
  {name: 'activity', path: '#/activity', drawing: 'activity', views: ['activity']},
  {name: 'devices', path: '#/devices', drawing: 'devices', views: ['devices', 'device']},
  {name: 'settings', path: '#/settings', drawing: 'settings', views: ['settings']},
];
/** Screens with one thing to do have no tabs. */
const TABBED = new Set(['codes', 'site', 'activity', 'devices', 'device', 'settings', 'backup', 'restore', 'export', 'password', 'removed', 'account']);

/**
 * Draws the frame into `#app`.
 * @param {any} app
 * @returns {{place: HTMLElement, show(view: string): void}} where screens stand, and what to call with the view's name
 */
export function shell(app) {
  const root = /** @type {HTMLElement} */ (document.getElementById('app'));
  const {t} = app.text;
  const place = h('main', {class: 'frame-screen'});
  const tabs = h('nav', {class: 'tabs', 'aria-label': app.text.say('tabs.label')});
  const links = TABS.map(({name, path, drawing}) => h('a', {class: 'tab', href: path}, icon(drawing), h('span', null, t(`tabs.${name}`))));
  fill(tabs, links);
  const dot = h('span', {class: 'dot', role: 'img', 'aria-label': app.text.say('tabs.waiting')});
  app.store.subscribe((/** @type {any} */ state) => {
    if (state.waiting) links[2].append(dot);
    else dot.remove();
  });
  fill(root, h('div', {class: 'frame-strip'}, noticeBar(app)), place, tabs);
  return {
    place,
    show(view) {
      const tabbed = TABBED.has(view) && app.device.can('codes');
      root.classList.toggle('tabbed', tabbed);
      tabs.hidden = !tabbed;
      TABS.forEach(({views}, index) => {
        if (views.includes(view)) links[index].setAttribute('aria-current', 'page');
        else links[index].removeAttribute('aria-current');
      });
    },
  };
}

/**
 * Tells people who do not look: politely, or at once for an alarm.
 * @param {string} words
 * @param {{urgent?: boolean}} [how]
 */
export function announce(words, {urgent = false} = {}) {
  const region = document.getElementById(urgent ? 'urgent' : 'polite');
  if (region) region.textContent = words;
}
