// @ts-check
// Asks for a new password twice, and says how strong it is; and keeps the password of the backup, or that there is none.
import {fill, h} from '../base/dom.js';
import {refusal} from './foreign.js';
import {busy, field, note, screen} from './screen.js';

const LEAST = 8;
const FAIR = 45;
const STRONG = 60;
// A letter of a word, and not of a random string.
const LETTER = 3;
const WORD = /\p{L}{4,}/gu;
// What everybody tries first, and the rows of a keyboard.
const KNOWN = /pass(wor[dt])|passwort|kennwort|geheim|qwert[yz]|asdf|iloveyou|letmein|welcome|willkommen|admin|login|dragon|monkey|authenticator|backup/gi;

/**
 * How hard a password is to guess, in bits: words by their letters, all else by the kinds of characters; runs, repeats
 * and what everybody tries count as one.
 * @param {string} password
 */
export function bits(password) {
  const words = password.replace(KNOWN, '').match(WORD) ?? [];
  const rest = password.replace(KNOWN, 'x').replace(WORD, ' ');
  const kinds = [[/\p{Ll}/u, 26], [/\p{Lu}/u, 26], [/\p{N}/u, 10], [/[^\p{L}\p{N}]/u, 30]];
  const pool = kinds.reduce((sum, [kind, size]) => sum + (/** @type {RegExp} */ (kind).test(rest) ? Number(size) : 0), 0);
  const letters = [...new Set(words)].reduce((sum, word) => sum + counted(word), 0);
  return letters * LETTER + counted(rest) * Math.log2(pool || 1);
}

/** How many characters count: not what goes on from the one before, and of each at most two. @param {string} text */
function counted(text) {
  const all = [...text];
  const fresh = all.filter((each, at) => !at || Math.abs((each.codePointAt(0) ?? 0) - (all[at - 1].codePointAt(0) ?? 0)) > 1);
  return Math.min(fresh.length, new Set(fresh).size * 2);
}

/** @param {string} password @returns {'weak' | 'fair' | 'strong'} */
export const strength = (password) => {
  const found = bits(password);
  return found < FAIR ? 'weak' : found < STRONG ? 'fair' : 'strong';
};

/** A password field. @param {boolean} fresh */
export const passwordInput = (fresh) => /** @type {HTMLInputElement} */ (h('input',
  {type: 'password', autocomplete: fresh ? 'new-password' : 'current-password', maxLength: 200, enterKeyHint: 'done', dir: 'ltr'}));

/** Whose password it is: password managers keep one by its name, and browsers ask for that. */
export const owner = () => h('input', {type: 'text', autocomplete: 'username', value: 'Authenticator', readOnly: true, hidden: true});

/**
 * A form for a new password. Nothing is done before both fields are the same.
 * @param {any} app
 * @param {{before?: HTMLElement | null, label: any, run: (password: string) => Promise<void>}} how `before`: a field
 *   above, whose `wrong` takes a wrong password; `label`: of the button
 */
export function newPassword(app, {before = null, label, run}) {
  const {t} = app.text;
  const [one, two] = [passwordInput(true), passwordInput(true)];
  const first = field({label: t('password.one'), hint: t('password.hint')}, one);
  const again = field({label: t('password.two')}, two);
  const told = h('span', {class: 'said'});
  const meter = h('div', {class: 'strength', role: 'status', hidden: true}, h('span', {class: 'parts', 'aria-hidden': 'true'}, h('i', null), h('i', null), h('i', null)), told);
  one.addEventListener('input', () => {
    const found = strength(one.value);
    meter.hidden = !one.value;
    meter.className = `strength ${found}`;
    fill(told, t(`password.${found}`));
  });
  const done = /** @type {HTMLButtonElement} */ (h('button', {class: 'button main wide', type: 'submit'}, label));
  const trouble = h('p', {class: 'trouble', role: 'alert'});
  const form = h('form', {class: 'stack', noValidate: true}, owner(), before, first, meter, again, trouble, h('div', {class: 'actions'}, done));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    first.wrong();
    again.wrong();
    fill(trouble);
    if (one.value.length < LEAST) return first.wrong(...t('password.short'));
    if (one.value !== two.value) return again.wrong(...t('password.differ'));
    busy(done, async () => {
      try {
        await run(one.value);
      } catch (/** @type {any} */ error) {
        const said = refusal(app, error);
        if (before && error.reason === 'WRONG_PASSWORD') /** @type {any} */ (before).wrong(...said);
        else fill(trouble, said);
      }
    });
  });
  return form;
}

/**
 * Runs what adds accounts; before the first one asks for the password of the backup, since no copy can be made later.
 * @param {any} app
 * @param {HTMLElement} from the screen that asks
 * @param {(old: HTMLElement, next: HTMLElement) => void} become
 * @param {(from: HTMLElement) => Promise<void>} add
 */
export async function withBackup(app, from, become, add) {
  const [ready, without] = await Promise.all([app.backup.ready(), app.vault.get('settings', 'view.noBackup')]);
  if (ready || without) return add(from);
  const {t} = app.text;
  const trouble = h('p', {class: 'trouble', role: 'alert'});
  const skip = /** @type {HTMLButtonElement} */ (h('button', {class: 'button link wide', type: 'button'}, t('password.skip')));
  skip.addEventListener('click', () => busy(skip, async () => {
    try {
      await app.vault.put('settings', true, 'view.noBackup');
      await add(step);
    } catch (error) {
      fill(trouble, refusal(app, error));
    }
  }));
  let set = false;
  const step = screen({text: app.text, title: t('password.firstTitle'), back: '#/codes'},
    h('p', null, t('password.first')),
    newPassword(app, {label: t('password.setAndAdd'), run: async (password) => {
      if (!set) await app.backup.setPassword(password);
      set = true;
      await add(step);
    }}),
    note('warn', 'alarm', t('password.without')), skip, trouble);
  become(from, step);
}
