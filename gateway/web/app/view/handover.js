// @ts-check
// A link that opened where the app's keys are not: how it gets into the app, before anything is registered.
import {h, icon} from '../base/dom.js';
import {copyButton} from '../part/code-card.js';
import {button, note, screen} from '../part/screen.js';

/** @param {any} app */
export default function handover(app) {
  const token = app.token.current;
  const link = token ? new URL(`#/e/${token}`, location.href).href : location.href.split('#')[0];
  if (app.embedded) return embedded(app, link);
  return app.ios && !app.standalone ? iphone(app, token ? link : '') : elsewhere(app, link);
}

/** @param {any} app @param {string} link */
const copied = (app, link) => {
  const made = copyButton(app, () => link);
  made.classList.add('wide');
  return made;
};

/** Views inside of other apps: their storage is theirs. @param {any} app @param {string} link */
function embedded(app, link) {
  const {t} = app.text;
  return screen({text: app.text, title: t('handover.embeddedTitle')},
    h('p', null, t('handover.embedded')),
    h('ol', {class: 'steps'},
      h('li', null, h('div', {class: 'stack tight'}, h('p', null, t('handover.copy')), copied(app, link))),
      h('li', null, t('handover.openBrowser')),
      h('li', null, t('handover.pasteAddress'))));
}

/** Safari on iPhone: the app on the Home Screen has another storage. @param {any} app @param {string} link */
function iphone(app, link) {
  const {t} = app.text;
  const have = h('section', {class: 'card'}, h('h2', null, t('handover.have')),
    h('ol', {class: 'steps'},
      link ? h('li', null, h('div', {class: 'stack tight'}, h('p', null, t('handover.copy')), copied(app, link))) : null,
      h('li', null, t('handover.open')),
      link ? h('li', null, t('handover.paste')) : null));
  const without = h('section', {class: 'card'}, h('h2', null, t('handover.haveNot')),
    h('ol', {class: 'steps'},
      h('li', null, h('div', {class: 'side'}, h('span', {class: 'fill'}, t('handover.share')), icon('share'))),
      h('li', null, h('div', {class: 'side'}, h('span', {class: 'fill'}, t('handover.add')), icon('plus'))),
      h('li', null, t(link ? 'handover.comes' : 'handover.openThere'))));
  return screen({text: app.text, title: t('handover.title')},
    h('p', null, t(link ? 'handover.why' : 'handover.whyInstall')),
    have, without,
    h('div', {class: 'stack tight center'},
      button(t('handover.anyway'), async () => {
        await app.useSafari();
        await app.token.wait();
        await app.router.go('/', {replace: true});
      }, 'link'),
      h('p', {class: 'muted small'}, t('handover.anywayText'))));
}

/** Another system: the app may be in another browser, or nowhere yet. @param {any} app @param {string} link */
function elsewhere(app, link) {
  const {t} = app.text;
  const steps = h('section', {class: 'card', hidden: true}, h('ol', {class: 'steps'},
    h('li', null, h('div', {class: 'stack tight'}, h('p', null, t('handover.copy')), copied(app, link))),
    h('li', null, t('handover.open')),
    h('li', null, t('handover.paste'))));
  const yes = button(t('handover.yes'), () => { steps.hidden = false; steps.querySelector('button')?.focus(); }, 'quiet wide');
  return screen({text: app.text, title: t('handover.where')},
    h('p', null, t('handover.whereText')),
    h('div', {class: 'actions'},
      button(t('handover.no'), async () => {
        await app.token.wait();
        await app.router.go('/', {replace: true});
      }, 'main wide'),
      yes),
    steps,
    note('', 'lock', t('handover.keys')));
}
