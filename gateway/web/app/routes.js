// @ts-check
// Which address shows which screen, and which screen stands there instead where the device may not.

export const ROUTES = {
  '/': 'home',
  '/e/:token': 'link',
  '/code': 'code',
  '/name': 'name',
  '/whose': 'whose',
  '/waiting': 'waiting',
  '/ready': 'ready',
  '/handover': 'handover',
  '/codes': 'codes',
  '/scan': 'scan',
  '/accept': 'accept',
  '/ask/:id': 'ask',
  '/result/:id': 'result',
  '/site/:id': 'site',
  '/devices': 'devices',
  '/device/:id': 'device',
  '/activity': 'activity',
  '/settings': 'settings',
  '/account': 'account',
  '/account/:id': 'account',
  '/backup': 'backup',
  '/restore': 'restore',
  '/export': 'export',
  '/password': 'password',
  '/removed': 'removed',
  '/lost': 'lost',
};

/** What a screen needs the device to be able to do: an act of core's table. @type {Record<string, string>} */
const NEEDS = {
  code: 'register', name: 'register', scan: 'sites', accept: 'sites', ask: 'answer', result: 'codes', codes: 'codes', site: 'codes',
  devices: 'account', device: 'account', activity: 'account', settings: 'account', ready: 'codes', whose: 'listDevices', waiting: 'listDevices',
  account: 'showForeign', backup: 'showForeign', restore: 'showForeign', export: 'showForeign', password: 'showForeign', removed: 'showForeign',
};
/** Where each state of the device is at home. @type {Record<string, string>} */
const HOME = {registering: 'code', held: 'waiting', active: 'codes', removed: 'lost', lost: 'lost'};
/** What a new phone shows first: it waits for nothing that it does not show. */
const FIRST = new Set(['start', 'handover']);
const VIEW = /^[a-z]+$/;

/**
 * The screen of an address, or the one that stands there instead. Nothing is done on loading but to show it.
 * @param {any} app
 * @param {import('./base/router.js').Found} found
 * @returns {Promise<{name: string, screen: HTMLElement}>}
 */
export async function view(app, {name, params}) {
  const {state} = app.device;
  // On iPhone the app comes first: what Safari keeps goes after seven days.
  const first = app.embedded || (app.ios && !app.standalone && !app.inSafari) ? 'handover' : 'start';
  const home = state === 'none' ? first : HOME[state];
  if (name === 'link') name = await app.token.take(params.token, app) || home;
  if (name === 'home' || (NEEDS[name] && !app.device.can(NEEDS[name]))) name = home;
  if (name === 'handover' && state !== 'none' && !app.token.current) name = home;
  // Let in meanwhile: there is nothing left to wait for.
  if (name === 'waiting' && state !== 'held') name = home;
  if (name === 'lost' && !['lost', 'removed'].includes(app.device.state)) name = home;
  if (!VIEW.test(name)) throw new RangeError('no view');
  // Secrets that were scanned wait nowhere: on any other screen they are forgotten.
  if (name !== 'account' || params.id) app.scanned = undefined;
  const [{default: make}] = await Promise.all([import(`./view/${name}.js`), FIRST.has(name) || app.foreign()]);
  return {name, screen: await make(app, params)};
}
