// @ts-check
// A question of a site: who asks, what, and the number that the site shows. Approve, deny, or "it was not me".
import {bdi, fill, h, icon} from '../base/dom.js';
import {digitPad} from '../part/digit-pad.js';
import {PasskeyError, verifyUser} from '../part/passkey.js';
import {badge, button, screen} from '../part/screen.js';
import {host, siteHead} from '../part/site-head.js';
import {timeLeft} from '../part/time-left.js';
import {explain} from '../part/trouble.js';

/** So that a question cannot slide under a finger that was on its way. */
const PAUSE = 400;

/** @param {any} app @param {{id: string}} params */
export default async function ask(app, {id}) {
  const {t} = app.text;
  const {questions, refused, heard} = app.store.state;
  const asked = questions.find((/** @type {any} */ each) => each.approvalId === id);
  if (!asked && !heard) return unheard(app);
  if (!asked) return gone(app, refused.includes(id) ? 'unreadable' : 'none');
  const known = (await app.api.sites()).find((/** @type {any} */ each) => each.siteId === asked.siteId);
  // A question of a site that this account does not have is nobody's to answer.
  if (!known) return gone(app, 'unreadable');
  const site = host(asked.origin);
  const left = timeLeft(app.text);
  const trouble = h('p', {class: 'wrong', role: 'alert'});
  const made = screen({text: app.text, class: 'question'});
  let over = false;
  let answering = false;
  let away = false;
  /** What no answer came to: it may count all the same. @type {{decision: 'approve' | 'deny' | 'report_fraud', matchNumber: string, userVerified: boolean} | null} */
  let lost = null;
  let repeated = false;
  made.onEnd(() => { away = true; });

  /** @param {string} kind */
  const end = (kind) => {
    if (over) return;
    over = true;
    // Who has gone on to another screen stays there.
    if (away) return;
    const results = {...app.store.state.results, [id]: {kind, site, name: asked.site, time: app.clock.now(), expires: asked.expires * 1000}};
    app.store.set({results});
    app.router.go(`/result/${encodeURIComponent(id)}`, {replace: true});
  };

  /** @param {'approve' | 'deny' | 'report_fraud'} decision @param {string} [matchNumber] @param {boolean} [verified] */
  const answer = async (decision, matchNumber = '', verified = false) => {
    fill(trouble);
    answering = true;
    let userVerified = verified;
    try {
      if (decision === 'approve' && asked.userVerification) userVerified ||= await verifyUser(app);
      const {state, attemptsRemaining: n} = await app.api.respondApproval(asked, decision, {matchNumber, userVerified});
      if (state === 'APPROVAL_STATE_APPROVED') end('approved');
      else if (state !== 'APPROVAL_STATE_PENDING') end(decision === 'approve' ? 'closed' : decision === 'deny' ? 'denied' : 'reported');
      else {
        pad?.clear();
        fill(trouble, icon('alarm', 'icon small'), h('span', null, t('ask.wrong', {n})));
      }
    } catch (/** @type {any} */ error) {
      if (['UNREACHABLE', 'UNEXPECTED'].includes(error.reason) && !error.before) lost = {decision, matchNumber, userVerified};
      if (error.reason === 'WRONG_STATE') end(ended(error.metadata?.state, asked, app.clock.now()));
      else fill(trouble, icon('alarm', 'icon small'), h('span', null, error instanceof PasskeyError ? t(`ask.${error.reason}`) : explain(app, error)));
    } finally {
      answering = false;
      look();
    }
  };
  // The inbox may say that it is over before the answer says how: that is ours to tell then.
  const look = () => {
    if (answering || over || away) return;
    const late = asked.expires * 1000 <= app.clock.now();
    const open = app.store.state.questions.some((/** @type {any} */ each) => each.approvalId === id);
    if (open && !late) return;
    if (!lost) return end(late ? 'expired' : 'elsewhere');
    // The same answer is told how it ended, and counts once.
    if (repeated) return end('unsure');
    repeated = true;
    answer(lost.decision, lost.matchNumber, lost.userVerified);
  };

  const pad = asked.matchDigits > 0
    ? digitPad({text: app.text, length: asked.matchDigits, label: t('ask.type', {host: site}), go: t('ask.approve'), run: (digits) => answer('approve', digits)})
    : null;
  const yes = pad ? null : button(t('ask.approve'), () => answer('approve'), 'main wide');
  // The focus goes here: a key that is held down must not report.
  const back = button(t('common.back'), () => { fraud.hidden = true; rest.hidden = false; notMe.focus(); }, 'quiet wide');
  const fraud = h('div', {class: 'card danger stack', hidden: true},
    h('h2', null, t('ask.fraudTitle', {host: site})),
    h('p', null, t('ask.fraudText')),
    h('div', {class: 'actions'},
      button(t('ask.fraudYes'), () => answer('report_fraud'), 'danger wide'),
      back));
  const notMe = button([icon('flag', 'icon small'), t('ask.notMe')], () => { rest.hidden = true; fraud.hidden = false; back.focus(); }, 'danger wide');
  const rest = h('div', {class: 'stack'},
    pad ? h('p', {class: 'center'}, t('ask.type', {host: site})) : h('p', {class: 'lead'}, t('ask.sure')),
    trouble, pad ?? yes,
    h('div', {class: 'actions'}, button(t('ask.deny'), () => answer('deny'), 'quiet wide')),
    h('hr', {class: 'divider'}), notMe);
  fill(made,
    h('header', {class: 'bar'}, h('h1', null, t('ask.title', {site: asked.site}))),
    h('div', {class: 'card stack'},
      siteHead(app, {name: asked.site, logoId: known.logoId, origin: asked.origin, label: known.label, large: true}),
      h('p', {class: 'lead'}, bdi(asked.message)),
      asked.details.length ? h('dl', {class: 'facts'}, asked.details.map((/** @type {[string, string]} */ [label, value]) => h('div', null, h('dt', null, bdi(label)), h('dd', null, bdi(value))))) : null,
      left),
    asked.userVerification ? h('p', {class: 'muted small side'}, icon('lock', 'icon small'), h('span', null, t('ask.verification'))) : null,
    rest, fraud);

  if (pad) pad.locked = true;
  if (yes) yes.disabled = true;
  const open = () => {
    const timer = setTimeout(() => { if (pad) pad.locked = false; if (yes) yes.disabled = false; }, PAUSE);
    made.onEnd(() => clearTimeout(timer));
  };
  requestAnimationFrame(() => requestAnimationFrame(open));
  made.every(() => {
    left.set(asked.expires - app.clock.now() / 1000, asked.expires - asked.created);
    look();
  }, 1000);
  made.onEnd(app.store.subscribe(look));
  return made;
}

/**
 * What a question that is no longer open has become.
 * @param {string | undefined} state
 * @param {any} asked
 * @param {number} now
 */
function ended(state, asked, now) {
  if (state === 'CANCELED') return 'canceled';
  if (state === 'EXPIRED' || asked.expires * 1000 <= now) return 'expired';
  return 'elsewhere';
}

/** A page that was loaded anew, before the inbox has said what is open. @param {any} app */
function unheard(app) {
  const {t} = app.text;
  const made = screen({text: app.text},
    h('div', {class: 'grow'}),
    h('div', {class: 'stack center', role: 'status'}, badge('wait'), h('h1', null, t('ask.loadingTitle')), h('p', {class: 'muted'}, t('ask.loading'))),
    h('div', {class: 'grow'}),
    h('div', {class: 'actions'}, h('a', {class: 'button quiet wide', href: '#/codes'}, t('ask.toCodes'))));
  let told = false;
  made.onEnd(app.store.subscribe((/** @type {any} */ {heard}) => {
    if (!heard || told) return;
    told = true;
    app.router.update();
  }));
  return made;
}

/** @param {any} app @param {string} words */
function gone(app, words) {
  const {t} = app.text;
  return screen({text: app.text},
    h('div', {class: 'grow'}),
    h('div', {class: 'stack center'}, badge('alarm', 'warn'), h('h1', null, t(`ask.${words}Title`)), h('p', {class: 'lead'}, t(`ask.${words}Text`))),
    h('div', {class: 'grow'}),
    h('div', {class: 'actions'}, h('a', {class: 'button main wide', href: '#/codes'}, t('ask.done'))));
}
