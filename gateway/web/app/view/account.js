// @ts-check
// Adds accounts of other services, and shows one: its code, own label, pin, counter, and the way out.
import {bdi, fill, h} from '../base/dom.js';
import {attempt, one, several, typed} from '../part/account-add.js';
import {codeCard, copyButton, spelled} from '../part/code-card.js';
import {accountHead, home, kind, nameOf} from '../part/foreign.js';
import {badge, button, busy, field, note, screen} from '../part/screen.js';

const LABEL = 40;

/** @param {any} app @param {{id?: string}} params */
export default async function account(app, {id} = {}) {
  if (id) return shown(app, id);
  const {scanned} = app;
  if (!scanned) return typed(app);
  const {drafts, refused} = scanned;
  return drafts.length === 1 && !refused.length ? one(app, drafts[0]) : several(app, scanned);
}

/** @param {any} app @param {string} id */
async function shown(app, id) {
  const {t} = app.text;
  const [list, removed] = await Promise.all([app.accounts.list(), app.accounts.removed()]);
  const found = [...list, ...removed].find((each) => each.id === id);
  if (!found) {
    return screen({text: app.text, title: t('account.goneTitle'), back: home(app)}, h('p', null, t('account.gone')));
  }
  if (found.removedTime) return resting(app, found);
  const name = nameOf(found);
  const made = screen({text: app.text, title: bdi(name), back: home(app)});
  const pinned = /** @type {HTMLInputElement} */ (h('input', {type: 'checkbox', class: 'switch', checked: found.pinned}));
  pinned.addEventListener('change', () => change(app, () => app.accounts.pin(id, pinned.checked)));
  made.append(
    h('section', {class: 'section'}, h('h2', null, t('account.now')), found.type === 'hotp' ? counted(app, found) : timed(app, found)),
    labelled(app, found),
    h('div', {class: 'rows'},
      h('label', {class: 'row'}, h('span', {class: 'fill'}, h('span', {class: 'title'}, t('account.pin')), h('span', {class: 'under'}, t('account.pinHint'))), pinned),
      fact(t('account.field_account'), found.account ? bdi(found.account) : '–'),
      fact(t('account.codes'), kind(app, found)),
      fact(t('account.since'), app.text.date(found.addedTime))),
    found.sealed ? note('', 'lock', t('account.inBackup')) : note('warn', 'alarm', t('account.notInBackup')),
    leave(app, found));
  return made;
}

/** @param {any} label @param {any} value */
const fact = (label, value) => h('div', null, h('div', {class: 'row'}, h('span', {class: 'fill'}, h('span', {class: 'under'}, label), h('span', null, value))));

/** @param {any} app @param {import('../core/types').Foreign} account */
const timed = (app, account) => codeCard(app, {
  name: nameOf(account), label: account.label || account.account, read: () => app.accounts.code(account, app.clock.now()),
});

/** A code that stands until the next one is asked for. @param {any} app @param {import('../core/types').Foreign} account */
function counted(app, account) {
  const {t} = app.text;
  let code = '';
  const [line, count] = [h('div', {class: 'side wraps'}), h('p', {class: 'muted small'})];
  const trouble = h('p', {class: 'trouble', role: 'alert'});
  const show = async () => {
    code = (await app.accounts.code(account, app.clock.now()))?.code ?? '';
    fill(line, h('span', {class: 'fill'}, spelled(code)), copyButton(app, () => code, app.text.say('codes.copyOf', {name: nameOf(account)})));
    fill(count, t('account.counter', {n: account.counter}));
  };
  const next = button(t('account.next'), () => attempt(app, trouble, async () => {
    await app.accounts.advance(account.id);
    account = (await app.accounts.list()).find((/** @type {any} */ each) => each.id === account.id) ?? account;
    app.inbox.tell('accounts');
    await show();
  }), 'wide');
  show();
  return h('div', {class: 'card'}, accountHead(app, account), line, count, next, trouble);
}

/** @param {any} app @param {import('../core/types').Foreign} account */
function labelled(app, account) {
  const {t} = app.text;
  const input = /** @type {HTMLInputElement} */ (h('input', {maxLength: LABEL, value: account.label, autocomplete: 'off', enterKeyHint: 'done', dir: 'auto'}));
  const save = /** @type {HTMLButtonElement} */ (h('button', {class: 'button', type: 'submit'}, t('account.save')));
  const form = h('form', {noValidate: true, class: 'stack tight'}, field({label: t('account.label'), hint: t('account.labelHint')}, input), h('div', {class: 'side'}, save));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(save, async () => {
      await change(app, () => app.accounts.rename(account.id, input.value.trim()));
      await app.router.update();
      app.announce(app.text.say('account.saved'));
    });
  });
  return form;
}

/** Removes it, after a question that names it. @param {any} app @param {import('../core/types').Foreign} account */
function leave(app, account) {
  const {t} = app.text;
  const name = nameOf(account);
  const trouble = h('p', {class: 'trouble', role: 'alert'});
  const keep = button(t('account.keep'), () => { asked.hidden = true; begin.hidden = false; begin.focus(); }, 'quiet wide');
  const asked = h('div', {class: 'card danger', hidden: true},
    h('h2', null, account.account && account.account !== name ? t('account.removeBoth', {name, account: account.account}) : t('account.removeOne', {name})),
    h('p', null, t('account.removeText', {name})), trouble,
    h('div', {class: 'actions'}, keep,
      button(t('account.removeYes'), () => attempt(app, trouble, async () => {
        await app.accounts.remove(account.id);
        app.inbox.tell('accounts');
        app.announce(app.text.say('account.removed', {name}));
        await app.router.go('/codes', {replace: true});
      }), 'danger wide')));
  const begin = button(t('account.remove'), () => { begin.hidden = true; asked.hidden = false; keep.focus(); asked.scrollIntoView({block: 'nearest'}); }, 'link danger');
  return h('div', {class: 'stack'}, h('hr', {class: 'divider'}), h('div', {class: 'start side'}, begin), asked);
}

/** One that was removed, and can come back. @param {any} app @param {import('../core/types').Foreign} account */
function resting(app, account) {
  const {t} = app.text;
  const trouble = h('p', {class: 'trouble', role: 'alert'});
  return screen({text: app.text, title: t('removed.oneTitle'), back: '#/removed'},
    h('div', {class: 'stack center'}, badge('trash', 'warn')),
    h('div', {class: 'card'}, accountHead(app, account, 'h2')),
    h('p', null, t('removed.text')), trouble,
    h('div', {class: 'actions'}, button(t('removed.restore'), () => attempt(app, trouble, async () => {
      await change(app, () => app.accounts.restore(account.id));
      await app.router.update();
    }), 'main wide')));
}

/** @param {any} app @param {() => Promise<unknown>} run */
async function change(app, run) {
  await run();
  app.inbox.tell('accounts');
}
