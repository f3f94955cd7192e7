// @ts-check
// Imports accounts of other services: a locked file of this app, or `otpauth` addresses in a text file.
import {h} from '../base/dom.js';
import {OtpauthError, parseOtpauth} from '../core/otpauth.js';
import {added} from '../part/account-add.js';
import {refusal} from '../part/foreign.js';
import {owner, passwordInput} from '../part/new-password.js';
import {become, busy, field, screen} from '../part/screen.js';

const MOST = 1_000_000;
const MOST_LINES = 1000;

/** @param {any} app */
export default function restore(app) {
  const {t} = app.text;
  const file = /** @type {HTMLInputElement} */ (h('input', {type: 'file', accept: '.json,.txt,application/json,text/plain', class: 'file'}));
  const chosen = field({label: t('restore.file'), hint: t('restore.fileHint')}, file);
  const input = passwordInput(false);
  const typed = field({label: t('restore.password'), hint: t('restore.passwordHint')}, input);
  const go = /** @type {HTMLButtonElement} */ (h('button', {class: 'button main wide', type: 'submit'}, t('restore.go')));
  const form = h('form', {class: 'stack', noValidate: true}, owner(), chosen, typed, h('div', {class: 'actions'}, go));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    chosen.wrong();
    typed.wrong();
    const picked = file.files?.[0];
    if (!picked) return chosen.wrong(...t('restore.none'));
    busy(go, async () => {
      try {
        await read(app, made, picked, input.value);
      } catch (/** @type {any} */ error) {
        (error.reason === 'WRONG_PASSWORD' ? typed : chosen).wrong(...refusal(app, error));
      }
    });
  });
  const made = screen({text: app.text, title: t('restore.title'), back: '#/backup'}, h('p', null, t('restore.text')), form);
  return made;
}

/** @param {any} app @param {HTMLElement} made @param {File} file @param {string} password */
async function read(app, made, file, password) {
  if (file.size > MOST) throw Object.assign(new RangeError(), {reason: 'TOO_LARGE'});
  const text = await file.text();
  if (/^\s*otpauth:/i.test(text)) {
    app.scanned = lines(text);
    return app.router.go('/account');
  }
  const first = !(await app.backup.ready());
  const {results} = await app.backup.read(text, password);
  app.inbox.tell('accounts');
  become(made, added(app, results, first ? h('p', null, app.text.t('restore.adopted')) : null));
}

/** @param {string} text one `otpauth` address a line */
function lines(text) {
  const drafts = [];
  const refused = [];
  const all = text.split(/\r?\n/).map((each) => each.trim()).filter(Boolean);
  if (all.length > MOST_LINES) throw Object.assign(new RangeError(), {reason: 'TOO_LARGE'});
  for (const line of all) {
    try {
      drafts.push(parseOtpauth(line));
    } catch (error) {
      refused.push({issuer: '', account: '', reason: error instanceof OtpauthError ? error.reason : 'NOT_OTPAUTH'});
    }
  }
  return {drafts, refused};
}
