// @ts-check
// Starts the app: language and look, storage, the device's state, the service, the inbox, the router, the worker.
import {watchDevices} from './alarm.js';
import {fill} from './base/dom.js';
import {Router} from './base/router.js';
import {Store} from './base/store.js';
import {Text, choose} from './base/text.js';
import {Api} from './core/api.js';
import {Device} from './core/device.js';
import {Inbox} from './core/inbox.js';
import {open} from './core/vault.js';
import {storageTrouble, unexpected} from './part/trouble.js';
import {ROUTES, view} from './routes.js';
import {announce, shell} from './shell.js';
import {WORDS} from './text/all.js';
import {Token} from './token.js';
import {Worker} from './worker.js';

const TROUBLE = 3000;
const standalone = matchMedia('(display-mode: standalone)').matches || /** @type {any} */ (navigator).standalone === true;
const ios = 'standalone' in navigator && navigator.maxTouchPoints > 0;
// A view inside of another app (a messenger, the code scanner of iOS) has a storage of its own.
const embedded = /; wv\)/.test(navigator.userAgent) || (ios && !standalone && !/Safari\//.test(navigator.userAgent));

async function begin() {
  const vault = open();
  const settings = await read(vault);
  const {language, locale} = choose(settings.language ? [settings.language] : navigator.languages, Object.keys(WORDS));
  const text = new Text(language, (await WORDS[language]()).default, settings.language ? language : locale);
  Object.assign(document.documentElement, {lang: language, dir: text.direction});
  if (settings.look) document.documentElement.dataset.look = settings.look;
  const store = new Store({state: 'none', online: navigator.onLine, trouble: false, questions: [], refused: [], revisions: {}, retryTime: 0,
    clockOffset: 0, update: false, busy: false, waiting: false, safari: false, heard: false});
  /** @type {any} */
  const app = {vault, store, text, announce, ios, standalone, embedded, region: region(), clock: {now: () => app.api.serviceNow()}};
  addEventListener('beforeinstallprompt', (event) => { event.preventDefault(); app.installPrompt = event; });
  app.inSafari = settings.safari === true;
  app.useSafari = async () => { app.inSafari = true; await vault.put('settings', true, 'view.safari').catch(() => {}); };
  let kept = 0;
  // While something runs that changes the device's state, its screen decides where to go.
  app.keepScreen = async (/** @type {() => Promise<void>} */ run) => { kept++; try { await run(); } finally { kept--; } };
  app.screenKept = () => kept > 0;
  app.restart = () => location.reload();
  app.worker = new Worker(store);
  app.token = new Token(vault);
  app.languages = Object.keys(WORDS);
  try {
    // What cannot be read is not waited for twice.
    if (settings.error) throw settings.error;
    await serve(app);
  } catch (error) {
    show(app, error);
  }
}

/** @param {any} app */
async function serve(app) {
  app.device = await Device.load(app.vault);
  app.api = new Api({vault: app.vault, device: app.device});
  await app.api.ready;
  app.inbox = new Inbox({api: app.api, device: app.device});
  app.foreign = () => foreign(app);
  const {place, show: mark} = shell(app);
  app.router = new Router(place, ROUTES, async (found) => {
    try {
      const {name, screen} = await view(app, found);
      mark(name);
      // A reload would take the answer away from under the finger.
      app.store.set({busy: name === 'ask' || name === 'accept'});
      return screen;
    } catch (error) {
      return unexpected(app, error);
    }
  }, app.text.say('common.app'));
  follow(app);
  watchDevices(app);
  await app.router.start();
  app.inbox.start();
  await app.worker.start();
}

/** Brings foreign accounts and their backup, which the first screen of a new phone does not show. @param {any} app */
async function foreign(app) {
  if (app.backup) return;
  const [{Accounts}, {Backup}] = await Promise.all([import('./core/accounts.js'), import('./core/backup.js')]);
  app.accounts ??= new Accounts(app.vault);
  app.backup ??= new Backup(app.vault, app.accounts);
}

/** Tells the store what changes by itself. @param {any} app */
function follow(app) {
  const {store, device, inbox} = app;
  const online = () => store.set({online: navigator.onLine});
  addEventListener('online', online);
  addEventListener('offline', online);
  let state = device.state;
  device.subscribe(() => {
    store.set({state: device.state, safari: app.ios && !app.standalone && device.can('codes')});
    if (device.state === state) return;
    state = device.state;
    // Where the state has taken the ground from under a screen, another stands there.
    if (!app.screenKept()) app.router.update();
  });
  store.set({state, safari: app.ios && !app.standalone && device.can('codes')});
  let timer = 0;
  inbox.subscribe((/** @type {any} */ heard) => {
    clearTimeout(timer);
    const {questions, refused, revisions, retryTime} = heard;
    const known = heard.connection === 'open' || store.state.heard;
    store.set({questions, refused, revisions, retryTime, clockOffset: app.api.clockOffset ?? 0, heard: known});
    if (heard.connection !== 'waiting') store.set({trouble: false});
    else timer = setTimeout(() => store.set({trouble: true}), TROUBLE);
  });
}

/** Language and look, as far as they can be read. @param {any} vault */
async function read(vault) {
  try {
    const names = ['language', 'look', 'view.safari'];
    const [language, look, safari] = await Promise.all(names.map((name) => vault.get('settings', name)));
    return {language, look, safari, error: null};
  } catch (error) {
    return {language: '', look: '', safari: false, error};
  }
}

/** @param {any} app @param {any} error */
function show(app, error) {
  const root = /** @type {HTMLElement} */ (document.getElementById('app'));
  fill(root, error?.name === 'VaultError' ? storageTrouble(app, error) : unexpected(app, error));
}

/** The region that the browser is set to, such as `FR`: as it says, or where its language is spoken most. */
function region() {
  const locales = navigator.languages.flatMap((each) => {
    try {
      return [new Intl.Locale(each)];
    } catch {
      // Some say `C`, which is no language tag.
      return [];
    }
  });
  return locales.find((each) => each.region)?.region ?? locales[0]?.maximize().region ?? '';
}

// iOS takes the page's own address into its icon where the manifest has no start: so the token comes along.
if (ios) document.querySelector('link[rel=manifest]')?.setAttribute('href', 'ios.webmanifest');
begin();
