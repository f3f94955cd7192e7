// @ts-check
// The first screen: one sentence, country and number. The storage is tried before the first text goes out.
import {h, icon} from '../base/dom.js';
import {REGIONS, international} from '../part/regions.js';
import {busy, field, note, screen} from '../part/screen.js';
import {explain, hold, storageTrouble} from '../part/trouble.js';

/** @param {any} app */
export default function start(app) {
  const {t, say} = app.text;
  const country = /** @type {HTMLSelectElement} */ (h('select', {name: 'country', autocomplete: 'country'}, options(app)));
  country.value = REGIONS.has(app.region) ? app.region : 'US';
  const number = /** @type {HTMLInputElement} */ (h('input', {type: 'tel', inputMode: 'tel', autocomplete: 'tel-national', maxLength: 40}));
  const place = field({label: t('start.country')}, country);
  const phone = field({label: t('start.number'), hint: t('start.hint')}, number);
  const send = /** @type {HTMLButtonElement} */ (h('button', {class: 'button main wide', type: 'submit'}, t('start.send')));
  const form = h('form', {class: 'stack', noValidate: true}, place, phone, h('div', {class: 'actions'}, send));

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(send, async () => {
      phone.wrong();
      if (!/\d/.test(number.value)) return phone.wrong(...t('start.empty'));
      const phoneNumber = international(number.value, REGIONS.get(country.value));
      try {
        await app.vault.probe();
      } catch (error) {
        made.replaceWith(storageTrouble(app, error));
        return;
      }
      try {
        await app.api.startPhoneVerification({phoneNumber, locale: app.text.locale});
        await app.router.go('/code');
      } catch (/** @type {any} */ error) {
        phone.wrong(...refused(app, error, country.selectedOptions[0]?.textContent ?? ''));
        if (error.reason === 'RATE_LIMITED') hold(app, made, send, error);
      }
    });
  });

  const made = screen({text: app.text, class: 'welcome'},
    h('div', {class: 'stack'},
      h('div', {class: 'brand'}, h('img', {src: 'icons/icon.svg', alt: '', width: 44, height: 44}), h('h1', {'aria-label': say('start.title')}, t('common.app'))),
      h('p', {class: 'lead'}, t('start.lead'))),
    form,
    h('details', null, h('summary', null, icon('more', 'icon small flips'), t('start.again')), h('p', {class: 'muted'}, t('start.againText'))),
    note('', 'shield', t('start.alone')));
  return made;
}

/** @param {any} app */
function options(app) {
  const names = new Intl.DisplayNames([app.text.locale], {type: 'region'});
  const collator = new Intl.Collator(app.text.locale);
  return [...REGIONS.values()]
    .map((each) => ({...each, name: names.of(each.region) ?? each.region}))
    .sort((one, other) => collator.compare(one.name, other.name))
    .map(({region, calling, name}) => h('option', {value: region}, `${name} (+${calling})`));
}

/**
 * @param {any} app
 * @param {any} error
 * @param {string} country
 * @returns {Node[]}
 */
function refused(app, error, country) {
  const {t} = app.text;
  if (error.reason === 'REGISTRATION_PROOF') return t('start.proof');
  if (error.reason !== 'BAD_FIELD') return explain(app, error);
  const served = error.fields?.every((/** @type {any} */ each) => each.reason !== 'NOT_SERVED');
  return served ? t('start.wrong', {country}) : t('start.notServed');
}
