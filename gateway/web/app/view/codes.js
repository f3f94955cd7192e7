// @ts-check
// The home screen: what is asked, a card a site with its code, and the accounts of other services below.
import {bdi, fill, h, icon, keyed} from '../base/dom.js';
import {codeCard} from '../part/code-card.js';
import {button, note, screen} from '../part/screen.js';
import {host, siteHead} from '../part/site-head.js';
import {explain} from '../part/trouble.js';
import {timeLeft} from '../part/time-left.js';

/** With fewer nobody searches. */
const MANY = 4;
const MOUSE = matchMedia('(hover: hover) and (pointer: fine)');

/** @param {any} app */
export default async function codes(app) {
  const {t, say} = app.text;
  const search = /** @type {HTMLInputElement} */ (h('input', {class: 'input', type: 'search', autocomplete: 'off', 'aria-label': say('codes.search'), placeholder: say('codes.search')}));
  const searching = h('div', {class: 'search', hidden: true}, search, icon('search', 'icon small'));
  const asked = h('div', {class: 'stack', hidden: true});
  const mine = h('ul', {class: 'stack plain-list'});
  const foreign = h('ul', {class: 'stack plain-list'});
  const others = h('section', {class: 'section', hidden: true}, h('h2', null, t('codes.others')), foreign);
  const own = h('section', null, h('h2', {class: 'unseen'}, t('codes.sites')), mine);
  const empty = h('div');
  const trouble = h('p', {class: 'small', role: 'alert'});
  const made = screen({text: app.text, title: t('codes.title'),
    side: h('a', {class: 'button main', href: '#/scan'}, icon('scan', 'icon small'), t('codes.scan'))},
  asked, searching, trouble, own, empty, others);

  /** @type {any[]} */
  let sites = [];
  /** @type {any[]} */
  let accounts = [];
  const showMine = keyed(mine, keyOf, (site) => siteItem(app, site, refresh));
  const showForeign = keyed(foreign, (account) => account.id, (account) => accountItem(app, account));

  function show() {
    const wanted = search.value.normalize('NFKC').trim().toLocaleLowerCase(app.text.locale);
    const found = (/** @type {(string | undefined)[]} */ ...texts) => texts.some((each) => each?.toLocaleLowerCase(app.text.locale).includes(wanted));
    const shown = sites.filter((each) => found(each.name, each.label, host(each.origin ?? ''))).sort(first);
    const shownForeign = accounts.filter((each) => found(each.issuer, each.account, each.label)).sort(first);
    showMine(shown);
    showForeign(shownForeign);
    searching.hidden = sites.length + accounts.length < MANY;
    others.hidden = shownForeign.length === 0;
    own.hidden = shown.length === 0;
    fill(empty, shown.length + shownForeign.length ? null : nothing(app, wanted ? search : null, show));
  }

  async function refresh() {
    try {
      sites = await app.api.listSites();
      sites = await app.api.sites();
      fill(trouble);
      show();
    } catch (/** @type {any} */ error) {
      // Offline the strip says so, and the codes of what is kept go on.
      if (error.reason !== 'UNREACHABLE') fill(trouble, explain(app, error));
    }
  }

  search.addEventListener('input', show);
  [sites, accounts] = await Promise.all([app.api.sites(), app.accounts.list()]);
  show();
  made.onEnd(app.inbox.heard(async (/** @type {string} */ what) => {
    if (what !== 'accounts') return;
    accounts = await app.accounts.list();
    show();
  }));
  let seen = /** @type {string | undefined} */ (undefined);
  made.onEnd(app.store.subscribe((/** @type {any} */ {revisions}) => {
    if (seen !== undefined && revisions.sites === seen) return;
    seen = revisions.sites ?? '';
    refresh();
  }));
  made.onEnd(app.store.subscribe(questions(app, asked)));
  if (MOUSE.matches) requestAnimationFrame(() => { if (document.activeElement === document.body && !searching.hidden) search.focus(); });
  return made;
}

/** A site whose card is of another kind gets another element. @param {any} site */
const keyOf = (site) => `${site.siteId} ${site.hasKey} ${site.awaitingCode}`;

/** Pinned first, then by last use, then the newest. @param {any} one @param {any} other */
function first(one, other) {
  const waits = Number(other.awaitingCode ?? false) - Number(one.awaitingCode ?? false);
  const pinned = Number(other.pinned ?? false) - Number(one.pinned ?? false);
  const used = (other.usedTime ?? 0) - (one.usedTime ?? 0);
  return waits || pinned || used || Date.parse(other.createTime ?? 0) - Date.parse(one.createTime ?? 0) || 0;
}

/**
 * @param {any} app
 * @param {any} site
 * @param {() => Promise<void>} refresh
 */
function siteItem(app, site, refresh) {
  if (!site.hasKey) return h('li', null, keyless(app, site, refresh));
  const shown = (/** @type {any} */ of) => ({
    name: of.name, label: of.label, logoId: of.logoId, href: `#/site/${encodeURIComponent(of.siteId)}`,
    read: () => app.device.code(of, app.clock.now()),
    used: () => { app.api.keepSite(of.siteId, {usedTime: Date.now()}); },
  });
  const card = codeCard(app, shown(site));
  const waits = site.awaitingCode ? note('', 'key', app.text.t('codes.first', {host: host(site.origin)})) : null;
  const item = h('li', {class: 'stack tight'}, waits, card);
  return Object.assign(item, {update: (/** @type {any} */ later) => card.update(shown(later))});
}

/**
 * A site that another device has linked. A code before this device has a key there would be refused, and keys
 * for all at once would tell all sites at one moment: so it is asked for one site at a time.
 * @param {any} app
 * @param {any} site
 * @param {() => Promise<void>} refresh
 */
function keyless(app, site, refresh) {
  const {t} = app.text;
  const trouble = h('p', {class: 'small', role: 'alert'});
  return h('div', {class: 'card stack'},
    siteHead(app, {...site, level: 'h3'}),
    h('p', {class: 'muted small'}, t('codes.noKey')),
    trouble,
    button(t('codes.addKey'), async () => {
      try {
        await app.api.addSiteKey(site.siteId);
        await refresh();
      } catch (error) {
        fill(trouble, explain(app, error));
      }
    }, 'wide'));
}

/**
 * @param {any} app
 * @param {any} account
 */
function accountItem(app, account) {
  const {t} = app.text;
  let now = account;
  const shown = (/** @type {any} */ of) => ({
    name: of.issuer || of.account, label: of.label || (of.issuer ? of.account : ''), href: `#/account/${encodeURIComponent(of.id)}`,
    read: () => app.accounts.code(now, app.clock.now()),
  });
  const card = codeCard(app, shown(account));
  if (account.type === 'hotp') {
    card.append(button(t('codes.advance'), async () => {
      now = await app.accounts.advance(now.id) ?? now;
      app.inbox.tell('accounts');
      card.update(shown(now));
    }, 'quiet'));
  }
  const item = h('li', null, card);
  return Object.assign(item, {update: (/** @type {any} */ later) => { now = later; card.update(shown(later)); }});
}

/**
 * What is asked at this moment, and a device that waits: on top, without moving the focus.
 * @param {any} app
 * @param {HTMLElement} place
 */
function questions(app, place) {
  const {t} = app.text;
  let told = '';
  return (/** @type {any} */ {questions: open, waiting}) => {
    const now = `${waiting} ${open.map((/** @type {any} */ each) => each.approvalId)}`;
    if (now === told) return;
    told = now;
    place.hidden = !open.length && !waiting;
    fill(place,
      waiting ? h('a', {class: 'card danger arrives row-link', href: '#/devices'}, icon('alarm'), h('span', {class: 'fill'}, t('codes.deviceWaits')), icon('more', 'icon small flips')) : null,
      open.map((/** @type {any} */ each) => question(app, each)));
  };
}

/** @param {any} app @param {any} asked */
function question(app, asked) {
  const {t} = app.text;
  const left = timeLeft(app.text);
  const card = screen({text: app.text, class: 'plain'},
    h('h2', null, t('codes.asks', {site: asked.site})),
    h('p', null, bdi(asked.message)),
    left,
    h('a', {class: 'button main wide', href: `#/ask/${encodeURIComponent(asked.approvalId)}`}, t('codes.look')));
  card.className = 'card accent arrives stack tight';
  card.every(() => left.set(asked.expires - app.clock.now() / 1000, asked.expires - asked.created), 1000);
  return card;
}

/**
 * @param {any} app
 * @param {HTMLInputElement | null} search where something was searched for
 * @param {() => void} show
 */
function nothing(app, search, show) {
  const {t} = app.text;
  if (search) {
    return h('div', {class: 'empty'}, h('p', null, t('codes.nothing', {text: search.value.trim()})),
      button(t('codes.clear'), () => { search.value = ''; show(); search.focus(); }, 'quiet'));
  }
  return h('div', {class: 'empty'}, h('div', {class: 'badge'}, icon('scan')),
    h('h2', null, t('codes.empty')), h('p', null, t('codes.emptyText')),
    h('a', {class: 'button main', href: '#/scan'}, icon('scan', 'icon small'), t('codes.scan')));
}
