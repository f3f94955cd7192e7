// @ts-check
// The ways in for accounts of other services: one that was scanned, several of an export, one typed by hand.
import {fill, h, icon} from '../base/dom.js';
import {fromBase32} from '../core/bytes.js';
import {codeAround} from '../core/device.js';
import {codeOf, importCodeKey} from '../core/keys.js';
import {checked, parseOtpauth} from '../core/otpauth.js';
import {spelled} from './code-card.js';
import {accountHead, home, nameOf, outcomes, refusal} from './foreign.js';
import {withBackup} from './new-password.js';
import {become, button, field, note, screen} from './screen.js';

/** @typedef {import('../core/types').Draft} Draft */

const LABEL = 40;

/**
 * One account, with its code as it is now, before it is added.
 * @param {any} app
 * @param {Draft} draft
 */
export async function one(app, draft) {
  const {t} = app.text;
  const label = /** @type {HTMLInputElement} */ (h('input', {maxLength: LABEL, autocomplete: 'off', enterKeyHint: 'done', dir: 'auto'}));
  const now = h('div', {class: 'side'});
  const trouble = h('p', {class: 'trouble', role: 'alert'});
  const key = await importCodeKey(draft.secret, draft.hash);
  const add = async (/** @type {HTMLElement} */ from) => {
    const {added, account} = await app.accounts.add(draft, {label: label.value.trim()});
    app.inbox.tell('accounts');
    app.scanned = undefined;
    if (!added) return become(from, have(app, account));
    app.announce(app.text.say('account.added', {name: nameOf(account)}));
    await app.router.go('/codes', {replace: true});
  };
  const made = screen({text: app.text, title: t('account.addTitle'), back: home(app)},
    h('div', {class: 'card'}, accountHead(app, draft, 'h2'), h('div', {class: 'side wraps'}, h('span', {class: 'muted'}, t('account.now')), now)),
    field({label: t('account.label'), hint: t('account.labelHint')}, label),
    note('', 'lock', t('account.kept')), trouble,
    h('div', {class: 'actions'}, button(t('account.add'), () => attempt(app, trouble, () => withBackup(app, made, become, add)), 'main wide')));
  let shown = '';
  const tick = async () => {
    const code = draft.type === 'totp' ? (await codeAround(key, app.clock.now(), draft)).code : await codeOf(key, draft.counter, draft.digits);
    if (code !== shown) fill(now, spelled(code));
    shown = code;
  };
  await tick();
  made.every(() => { tick(); }, 1000);
  return made;
}

/** @param {any} app @param {import('../core/types').Foreign} account */
function have(app, account) {
  const {t} = app.text;
  return screen({text: app.text, title: t('account.haveTitle'), back: home(app)},
    h('div', {class: 'card'}, accountHead(app, account, 'h2')),
    h('p', null, t('account.have')),
    h('div', {class: 'actions'}, h('a', {class: 'button main wide', href: `#/account/${account.id}`}, t('account.show'))));
}

/**
 * All that an export or a file has, and what of it cannot be taken.
 * @param {any} app
 * @param {{drafts: Draft[], refused: {issuer: string, account: string, reason: string}[]}} scanned
 */
export function several(app, {drafts, refused}) {
  const {t} = app.text;
  const trouble = h('p', {class: 'trouble', role: 'alert'});
  /** @type {any[]} */
  const not = refused.map((each) => ({...each, outcome: 'refused'}));
  const add = async (/** @type {HTMLElement} */ from) => {
    const results = [];
    for (const draft of drafts) {
      try {
        results.push({...draft, outcome: (await app.accounts.add(draft)).added ? 'added' : 'have', reason: ''});
      } catch (/** @type {any} */ error) {
        results.push({...draft, outcome: 'refused', reason: error.reason ?? 'OTHER'});
      }
    }
    app.inbox.tell('accounts');
    app.scanned = undefined;
    become(from, added(app, [...results, ...not]));
  };
  const made = screen({text: app.text, title: drafts.length ? t('account.addMany', {n: drafts.length}) : t('account.noneTitle'), back: home(app)},
    drafts.length ? h('ul', {class: 'rows'}, drafts.map((draft) => h('li', null, h('div', {class: 'row'}, h('div', {class: 'fill'}, accountHead(app, draft)))))) : null,
    not.length ? h('section', {class: 'section'}, h('h2', null, t('account.notTaken')), outcomes(app, not)) : null,
    drafts.length ? note('', 'lock', t('account.keptMany')) : null, trouble,
    h('div', {class: 'actions'}, drafts.length
      ? button(t('account.addAll', {n: drafts.length}), () => attempt(app, trouble, () => withBackup(app, made, become, add)), 'main wide')
      : h('a', {class: 'button main wide', href: home(app)}, t('account.done'))));
  return made;
}

/**
 * The end of an import: every account with what became of it.
 * @param {any} app
 * @param {any[]} results
 * @param {any} [more] said above the list
 */
export function added(app, results, more) {
  const {t} = app.text;
  const n = results.filter(({outcome}) => outcome === 'added').length;
  return screen({text: app.text, title: t('account.addedMany', {n, all: results.length}), back: home(app)}, more,
    results.length ? outcomes(app, results) : null,
    h('div', {class: 'actions'}, h('a', {class: 'button main wide', href: home(app)}, t('account.done')),
      n ? h('a', {class: 'button link wide', href: '#/backup'}, t('account.backUp')) : null));
}

/** What a site shows beside its QR code, typed by hand. @param {any} app */
export function typed(app) {
  const {t} = app.text;
  const text = (/** @type {object} */ more) => /** @type {HTMLInputElement} */ (h('input', {autocomplete: 'off', spellcheck: false, ...more}));
  const choose = (/** @type {[string, any][]} */ ...options) => /** @type {HTMLSelectElement} */ (h('select', null, options.map(([value, label]) => h('option', {value}, label))));
  const inputs = {
    issuer: text({maxLength: 200, dir: 'auto'}),
    account: text({maxLength: 200, dir: 'auto'}),
    secret: text({maxLength: 4096, dir: 'ltr', autocapitalize: 'characters', class: 'mono'}),
    type: choose(['totp', t('account.byTime')], ['hotp', t('account.byCounter')]),
    digits: choose(...(/** @type {[string, any][]} */ (['6', '7', '8'].map((each) => [each, each])))),
    period: text({inputMode: 'numeric', maxLength: 3, value: '30'}),
    counter: text({inputMode: 'numeric', maxLength: 15, value: '0'}),
    hash: choose(...(/** @type {[string, any][]} */ (['SHA-1', 'SHA-256', 'SHA-512'].map((each) => [each, each])))),
  };
  /** @type {Record<string, any>} */
  const fields = Object.fromEntries(Object.entries(inputs).map(([name, input]) =>
    [name, field({label: t(`account.field_${name}`), hint: name === 'secret' ? t('account.secretHint') : null}, input)]));
  const byType = () => {
    fields.period.hidden = inputs.type.value === 'hotp';
    fields.counter.hidden = inputs.type.value !== 'hotp';
  };
  inputs.type.addEventListener('change', byType);
  byType();
  const more = /** @type {HTMLDetailsElement} */ (h('details', null, h('summary', null, icon('more', 'icon small flips'), t('account.more')),
    h('div', {class: 'stack'}, fields.type, fields.digits, fields.period, fields.counter, fields.hash)));
  const form = h('form', {class: 'stack', noValidate: true}, fields.issuer, fields.account, fields.secret, more,
    h('div', {class: 'actions'}, h('button', {class: 'button main wide', type: 'submit'}, t('common.goOn'))));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    for (const each of Object.values(fields)) each.wrong();
    try {
      become(made, await one(app, read(inputs)));
    } catch (/** @type {any} */ error) {
      const at = FIELDS[error.reason] ?? 'secret';
      if (!['issuer', 'account', 'secret'].includes(at)) more.open = true;
      fields[at].wrong(...refusal(app, error));
    }
  });
  const made = screen({text: app.text, title: t('account.typeTitle'), back: home(app)},
    h('p', null, t('account.type')),
    app.device.can('sites') ? h('p', {class: 'start'}, h('a', {href: '#/scan'}, t('account.scan'))) : null, form);
  return made;
}

/** Where a reason is shown. @type {Record<string, string>} */
const FIELDS = {NO_NAME: 'issuer', TOO_LONG: 'issuer', BAD_DIGITS: 'digits', BAD_PERIOD: 'period', BAD_COUNTER: 'counter', BAD_ALGORITHM: 'hash', BAD_TYPE: 'secret'};

/**
 * @param {Record<string, HTMLInputElement | HTMLSelectElement>} inputs
 * @returns {Draft}
 */
function read(inputs) {
  const said = (/** @type {string} */ name) => inputs[name].value.trim();
  // Some sites show the whole address instead of the secret in it.
  if (/^otpauth:/i.test(said('secret'))) return parseOtpauth(said('secret'));
  if (!said('issuer') && !said('account')) throw Object.assign(new RangeError(), {reason: 'NO_NAME'});
  let secret;
  try {
    secret = fromBase32(said('secret'));
  } catch (error) {
    throw Object.assign(new RangeError(), {reason: 'BAD_SECRET', cause: error});
  }
  const whole = (/** @type {string} */ name) => (/^[0-9]+$/.test(said(name)) ? Number(said(name)) : NaN);
  const type = /** @type {'totp' | 'hotp'} */ (said('type'));
  const hash = /** @type {Draft['hash']} */ (said('hash'));
  const [period, counter] = type === 'totp' ? [whole('period'), 0] : [30, whole('counter')];
  return checked({type, issuer: said('issuer'), account: said('account'), secret, hash, digits: whole('digits'), period, counter});
}

/**
 * @param {any} app
 * @param {HTMLElement} trouble where it says what went wrong
 * @param {() => Promise<void>} run
 */
export async function attempt(app, trouble, run) {
  fill(trouble);
  try {
    await run();
  } catch (error) {
    fill(trouble, refusal(app, error));
  }
}
