// @ts-check
// Shows accounts of other services unlocked, for another app: as text, or as QR codes one by one; behind the password.
import {bdi, fill, h, icon} from '../base/dom.js';
import {parseOtpauth} from '../core/otpauth.js';
import {copyButton} from '../part/code-card.js';
import {Decoder} from '../part/decoder.js';
import {nameOf, refusal} from '../part/foreign.js';
import {owner, passwordInput} from '../part/new-password.js';
import {become, busy, button, field, note, screen} from '../part/screen.js';

const SVG = 'http://www.w3.org/2000/svg';

/** @param {any} app */
export default function unlocked(app) {
  const {t} = app.text;
  const input = passwordInput(false);
  const typed = field({label: t('backup.password')}, input);
  const asText = /** @type {HTMLButtonElement} */ (h('button', {class: 'button main wide', type: 'submit'}, t('export.asText')));
  const asCodes = /** @type {HTMLButtonElement} */ (h('button', {class: 'button wide', type: 'button'}, t('export.asCodes')));
  const run = (/** @type {HTMLButtonElement} */ pressed, /** @type {(app: any, uris: string[]) => any} */ make) => busy(pressed, async () => {
    typed.wrong();
    try {
      const next = make(app, await app.backup.plain(input.value));
      input.value = '';
      hideWith(app, next);
      become(made, next);
    } catch (error) {
      typed.wrong(...refusal(app, error));
    }
  });
  const form = h('form', {class: 'stack', noValidate: true}, owner(), typed, h('div', {class: 'actions'}, asText, asCodes));
  form.addEventListener('submit', (event) => { event.preventDefault(); run(asText, text); });
  asCodes.addEventListener('click', () => run(asCodes, codes));
  const made = screen({text: app.text, title: t('export.title'), back: '#/backup'},
    h('p', null, t('export.text')), note('danger', 'alarm', t('export.warning')), form);
  return made;
}

/** What is unlocked goes as soon as nobody looks. @param {any} app @param {import('../base/dom.js').Living} shown */
function hideWith(app, shown) {
  const hide = () => { if (document.hidden) app.router.go('/backup', {replace: true}); };
  document.addEventListener('visibilitychange', hide);
  shown.onEnd(() => document.removeEventListener('visibilitychange', hide));
}

/** @param {any} app @param {string[]} uris */
function text(app, uris) {
  const {t, say} = app.text;
  const all = `${uris.join('\n')}\n`;
  const href = URL.createObjectURL(new Blob([all], {type: 'text/plain'}));
  // No form control: browsers write what stands in those into their sessions' files, to restore it after a crash.
  const area = h('pre', {class: 'input', tabIndex: 0, role: 'region', dir: 'ltr', translate: false, 'aria-label': say('export.addresses')}, all);
  const made = screen({text: app.text, title: t('export.textTitle', {n: uris.length}), back: '#/backup'},
    note('danger', 'alarm', t('export.careful')), area,
    h('div', {class: 'actions'}, copyButton(app, () => all, say('export.copy')),
      h('a', {class: 'button wide', href, download: 'otpauth.txt'}, icon('paper', 'icon small'), t('export.save'))));
  made.onEnd(() => URL.revokeObjectURL(href));
  return made;
}

/** @param {any} app @param {string[]} uris */
function codes(app, uris) {
  const {t, say} = app.text;
  const drawer = new Decoder();
  const place = h('div', {class: 'qr-place'});
  const [count, name, trouble] = [h('p', {class: 'muted small', role: 'status'}), h('h2', null), h('p', {class: 'trouble', role: 'alert'})];
  let at = 0;
  const show = async () => {
    const draft = parseOtpauth(uris[at]);
    fill(count, t('export.of', {n: at + 1, all: uris.length}));
    fill(name, bdi(nameOf(draft)), draft.issuer && draft.account ? [' ', h('span', {class: 'muted small'}, bdi(draft.account))] : null);
    back.disabled = at === 0;
    next.disabled = at === uris.length - 1;
    fill(trouble);
    try {
      fill(place, drawing(await drawer.draw(uris[at]), say('export.codeOf', {name: nameOf(draft)})));
    } catch {
      fill(place);
      fill(trouble, t('export.noCode'));
    }
  };
  const back = button(t('export.back'), () => { at--; return show(); }, 'quiet');
  const next = button(t('export.next'), () => { at++; return show(); }, 'main');
  const made = screen({text: app.text, title: t('export.codesTitle'), back: '#/backup'},
    h('p', null, t('export.scan')), h('div', {class: 'card center'}, name, place, count), trouble,
    h('div', {class: 'side halves'}, back, next), note('danger', 'alarm', t('export.careful')));
  made.onEnd(() => drawer.end());
  show();
  return made;
}

/**
 * A QR code from its rows of `0` and `1`: dark on white in both themes, or nothing reads it.
 * @param {string} rows
 * @param {string} label
 */
function drawing(rows, label) {
  const lines = rows.split('\n');
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${lines.length} ${lines.length}`);
  svg.setAttribute('class', 'qr');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', lines.flatMap((line, y) => [...line.matchAll(/1+/g)].map((run) => `M${run.index} ${y}h${run[0].length}v1h-${run[0].length}z`)).join(''));
  svg.append(path);
  return svg;
}
