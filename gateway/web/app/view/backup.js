// @ts-check
// Backs up accounts of other services: sets the password, writes the locked file, and leads to all else about it.
import {bdi, fill, h, icon} from '../base/dom.js';
import {home, leads, refusal} from '../part/foreign.js';
import {newPassword, owner, passwordInput} from '../part/new-password.js';
import {badge, busy, field, note, screen} from '../part/screen.js';

/** @param {any} app */
export default async function backup(app) {
  const {t} = app.text;
  const [accounts, removed, ready] = await Promise.all([app.accounts.list(), app.accounts.removed(), app.backup.ready()]);
  const sealed = accounts.filter((/** @type {any} */ each) => each.sealed).length;
  const left = accounts.length - sealed;
  const made = screen({text: app.text, title: t('backup.title'), back: home(app)});
  made.append(
    ...(ready ? write(app, made, sealed) : first(app)),
    left ? note('warn', 'alarm', t(ready ? 'backup.left' : 'backup.leftFirst', {n: left})) : '',
    h('section', {class: 'section'}, h('h2', null, t('backup.more')), h('ul', {class: 'rows'},
      leads('#/restore', 'paper', t('backup.import'), t('backup.importHint')),
      ready && sealed ? leads('#/export', 'scan', t('backup.export'), t('backup.exportHint')) : null,
      ready ? leads('#/password', 'key', t('backup.change')) : null,
      leads('#/removed', 'trash', t('backup.removed'), removed.length ? t('backup.removedHint', {n: removed.length}) : null))));
  return made;
}

/** No password yet: without one nothing can be copied out. @param {any} app */
function first(app) {
  const {t} = app.text;
  return [
    h('p', null, t('backup.first')),
    note('warn', 'alarm', t('backup.without')),
    newPassword(app, {label: t('backup.set'), run: async (password) => {
      await app.backup.setPassword(password);
      app.announce(app.text.say('backup.isSet'));
      await app.router.update();
    }}),
  ];
}

/** @param {any} app @param {import('../base/dom.js').Living} made @param {number} sealed */
function write(app, made, sealed) {
  const {t} = app.text;
  const input = passwordInput(false);
  const typed = field({label: t('backup.password')}, input);
  const make = /** @type {HTMLButtonElement} */ (h('button', {class: 'button main wide', type: 'submit'}, t('backup.make')));
  const done = h('div', {class: 'stack', role: 'status'});
  const form = h('form', {class: 'stack', noValidate: true}, owner(), typed, h('div', {class: 'actions'}, make));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    typed.wrong();
    fill(done);
    busy(make, async () => {
      try {
        // It answers after the file was read back, and one account in it opened.
        const {text, count} = await app.backup.write(input.value);
        input.value = '';
        fill(done, saved(app, made, text, count));
      } catch (error) {
        typed.wrong(...refusal(app, error));
      }
    });
  });
  if (!sealed) return [h('p', null, t('backup.sites')), h('div', {class: 'empty'}, badge('lock'), h('h2', null, t('backup.empty')))];
  return [h('p', null, t('backup.intro', {n: sealed}), ' ', t('backup.sites')), form, done];
}

/**
 * Hands the file to the browser, which keeps it where it keeps downloads.
 * @param {any} app @param {import('../base/dom.js').Living} made @param {string} text @param {number} n
 */
function saved(app, made, text, n) {
  const {t} = app.text;
  const name = `authenticator-backup-${new Date(app.clock.now()).toISOString().slice(0, 10)}.json`;
  const href = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
  made.onEnd(() => URL.revokeObjectURL(href));
  const link = h('a', {class: 'button link', href, download: name}, icon('paper', 'icon small'), h('span', null, t('backup.again')));
  link.click();
  return [note('ok', 'tick', h('strong', null, t('backup.done')), ' ', t('backup.doneText', {n, name: bdi(name)})), h('div', {class: 'center stack'}, link)];
}
