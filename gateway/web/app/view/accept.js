// @ts-check
// Asks where the code was seen before a site is added; then shows the first code where the site wants one.
import {fill, h, icon} from '../base/dom.js';
import {copyButton, spelled} from '../part/code-card.js';
import {badge, button, note, screen} from '../part/screen.js';
import {host, siteHead} from '../part/site-head.js';
import {explain} from '../part/trouble.js';
import {timeLeft} from '../part/time-left.js';

/** A screen that has just come must not be pressed by a finger that meant another. */
const PAUSE = 1000;

/** @param {any} app */
export default async function accept(app) {
  const token = app.token.current;
  const made = screen({text: app.text});
  if (token) open(app, made, token);
  else say(app, made, 'scan', 'none', {}, '/codes');
  return made;
}

/** @param {any} app @param {any} made @param {string} token */
async function open(app, made, token) {
  const {t} = app.text;
  fill(made, h('div', {class: 'grow'}), h('div', {class: 'stack center', role: 'status'}, badge('wait'), h('h1', null, t('accept.title')), h('p', {class: 'muted'}, t('accept.loading'))), h('div', {class: 'grow'}));
  try {
    const offer = await app.api.openEnrollment(token);
    const there = (await app.api.sites()).find((/** @type {any} */ each) => each.origin === offer.origin && !each.awaitingCode);
    ask(app, made, token, offer, there);
  } catch (/** @type {any} */ error) {
    fail(app, made, token, error);
  }
}

/** @param {any} app @param {any} made @param {string} token @param {any} error */
function fail(app, made, token, error) {
  const {t} = app.text;
  if (error.reason === 'NOT_FOUND' || error.status === 404) return over(app, made, 'warn', 'alarm', 'gone');
  if (error.reason === 'BAD_FIELD') return over(app, made, 'warn', 'alarm', 'none');
  fill(made, h('div', {class: 'grow'}),
    h('div', {class: 'stack center'}, badge('offline', 'warn'), h('h1', null, t('accept.title')), h('p', null, explain(app, error))),
    h('div', {class: 'grow'}),
    h('div', {class: 'actions'}, button(t('accept.again'), () => open(app, made, token), 'main wide'), h('a', {class: 'button quiet wide', href: '#/codes'}, t('accept.cancel'))));
  focus(made);
}

/** @param {any} app @param {any} made @param {string} token @param {any} offer @param {any} there a link to the same site */
function ask(app, made, token, offer, there) {
  const {t} = app.text;
  const site = host(offer.origin);
  const left = timeLeft(app.text);
  const trouble = h('p', {class: 'small', role: 'alert'});
  const yes = button(t('accept.yes'), () => add(app, made, token, offer, trouble), 'main wide');
  yes.disabled = true;
  let again = Boolean(there);
  const second = h('label', {class: 'choice'}, h('input', {type: 'checkbox', onchange: (/** @type {any} */ event) => { again = !event.target.checked; ready(); }}), h('span', null, t('accept.second')));
  let early = true;
  const ready = () => { yes.disabled = early || again; };
  const ends = Date.parse(offer.expireTime);
  const begins = Date.parse(offer.createTime ?? '') || app.clock.now();
  fill(made,
    h('header', {class: 'bar'}, h('h1', null, t('accept.title'))),
    h('div', {class: 'card stack'}, siteHead(app, {name: offer.siteName, logoId: offer.logoId, origin: offer.origin, large: true}), left),
    note('warn', 'alarm', h('p', null, t('accept.open', {host: site})), h('p', null, t('accept.sent'))),
    there ? note('', 'codes', h('p', null, t('accept.there', {name: there.name, label: there.label || there.name})), second) : null,
    h('div', {class: 'card stack'},
      h('h2', null, t('accept.gets')), h('ul', {class: 'bullets'}, [t('accept.getsNumber'), t('accept.getsAnswers')].map((each) => h('li', null, icon('tick', 'icon small'), h('span', null, each)))),
      h('h2', null, t('accept.never')), h('ul', {class: 'bullets'}, [t('accept.neverAll')].map((each) => h('li', null, icon('cross', 'icon small'), h('span', null, each))))),
    h('p', {class: 'muted small'}, offer.createTime ? t('accept.made', {span: app.text.minutes(Math.max(1, (app.clock.now() - begins) / 1000))}) : null, ' ', offer.requiresCode ? t('accept.codeNext') : null),
    trouble,
    h('div', {class: 'actions'}, yes,
      button(t('accept.refuse'), () => refuse(app, made, token, 'refused', trouble), 'quiet wide'),
      button(t('accept.sentToMe'), () => refuse(app, made, token, 'sentMe', trouble), 'link')));
  made.every(() => {
    left.set((ends - app.clock.now()) / 1000, Math.max(60, (ends - begins) / 1000));
    if (ends <= app.clock.now() && yes.isConnected) over(app, made, 'warn', 'clock', 'gone');
  }, 1000);
  const timer = setTimeout(() => { early = false; ready(); }, PAUSE);
  made.onEnd(() => clearTimeout(timer));
  focus(made);
}

/** @param {any} app @param {any} made @param {string} token @param {any} offer @param {HTMLElement} trouble */
async function add(app, made, token, offer, trouble) {
  try {
    const site = await app.api.acceptEnrollment(token);
    app.token.current = '';
    if (site.awaitingCode) firstCode(app, made, token, {...site, origin: offer.origin});
    else over(app, made, 'ok', 'tick', 'added', {host: host(offer.origin)});
  } catch (/** @type {any} */ error) {
    if (error.reason === 'UNREACHABLE') fill(trouble, explain(app, error));
    else fail(app, made, token, error);
  }
}

/** @param {any} app @param {any} made @param {string} token @param {string} words @param {HTMLElement} trouble */
async function refuse(app, made, token, words, trouble) {
  try {
    await app.api.rejectEnrollment(token);
  } catch (/** @type {any} */ error) {
    if (error.status !== 404) return fill(trouble, explain(app, error));
  }
  app.token.current = '';
  over(app, made, words === 'sentMe' ? 'warn' : '', words === 'sentMe' ? 'shield' : 'cross', words);
}

/** @param {any} app @param {any} made @param {string} token @param {any} site */
function firstCode(app, made, token, site) {
  const {t, say: plain} = app.text;
  const name = host(site.origin);
  const place = h('div', {class: 'check big'});
  const left = timeLeft(app.text);
  const trouble = h('p', {class: 'small', role: 'alert'});
  let code = '';
  fill(made,
    h('header', {class: 'bar'}, h('h1', null, t('accept.finish', {host: name}))),
    h('p', {class: 'lead'}, t('accept.type')),
    place, left,
    copyButton(app, () => code, plain('codes.copyOf', {name: site.name})),
    h('p', null, t('accept.tell')),
    h('div', {class: 'side muted small', role: 'status'}, icon('wait', 'icon small'), h('span', null, t('accept.waits', {host: name}))),
    trouble,
    h('div', {class: 'grow'}),
    h('div', {class: 'actions'}, button(t('accept.stop'), () => refuse(app, made, token, 'refused', trouble), 'quiet wide'),
      h('a', {class: 'button link', href: '#/codes'}, t('accept.later'))));
  made.every(async () => {
    const now = await app.device.code(site, app.clock.now());
    if (!now) return;
    if (now.code !== code) fill(place, spelled(code = now.code, 'check'));
    left.set(now.secondsLeft, now.period);
  }, 1000);
  let seen = app.store.state.revisions.sites;
  made.onEnd(app.store.subscribe(async (/** @type {any} */ {revisions}) => {
    if (revisions.sites === seen || !place.isConnected) return;
    seen = revisions.sites;
    try {
      const found = (await app.api.listSites()).find((/** @type {any} */ each) => each.siteId === site.siteId);
      if (!place.isConnected || found?.awaitingCode) return;
      if (found) over(app, made, 'ok', 'tick', 'added', {host: name});
      else over(app, made, 'warn', 'alarm', 'calledOff', {host: name});
    } catch {
      // The next change asks again.
    }
  }));
  focus(made);
}

/**
 * How it ended.
 * @param {any} app
 * @param {any} made
 * @param {string} kind of the badge
 * @param {string} drawing
 * @param {string} words
 * @param {Record<string, string>} [values]
 */
function over(app, made, kind, drawing, words, values = {}) {
  say(app, made, drawing, words, values, '/codes', kind);
  app.announce(app.text.say(`accept.${words}Title`, values));
}

/**
 * @param {any} app
 * @param {any} made
 * @param {string} drawing
 * @param {string} words
 * @param {Record<string, string>} values
 * @param {string} path
 * @param {string} [kind]
 */
function say(app, made, drawing, words, values, path, kind = '') {
  const {t} = app.text;
  fill(made, h('div', {class: 'grow'}),
    h('div', {class: 'stack center'}, badge(drawing, kind), h('h1', null, t(`accept.${words}Title`, values)), h('p', {class: 'lead'}, t(`accept.${words}`, values))),
    h('div', {class: 'grow'}),
    h('div', {class: 'actions'}, button(t('accept.done'), () => app.router.go(path, {replace: true}), 'main wide')));
  focus(made);
}

/** @param {HTMLElement} made */
function focus(made) {
  const heading = made.querySelector('h1');
  if (!heading || !made.isConnected) return;
  heading.tabIndex = -1;
  heading.focus({preventScroll: true});
}
