// @ts-check
// Takes the texted code: one field with autofill, again with a countdown, by call, another number.
import {h} from '../base/dom.js';
import {written} from '../part/regions.js';
import {button, field, screen} from '../part/screen.js';
import {explain} from '../part/trouble.js';

/** @param {any} app */
export default function code(app) {
  const {t} = app.text;
  const {registration} = app.device;
  const input = /** @type {HTMLInputElement} */ (h('input', {class: 'code-input', inputMode: 'numeric', autocomplete: 'one-time-code',
    maxLength: 12, spellcheck: false, enterKeyHint: 'go'}));
  const typed = field({label: t('code.label')}, input);
  const form = /** @type {HTMLFormElement} */ (h('form', {class: 'stack', noValidate: true}, typed,
    h('div', {class: 'actions'}, h('button', {class: 'button main wide', type: 'submit'}, t('common.goOn')))));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const digits = input.value.replace(/\D/g, '');
    if (digits.length !== 6) return typed.wrong(...t('code.six'));
    app.store.set({code: digits, rejected: false});
    app.router.go('/name');
  });

  const again = resend(app, 'PHONE_CHANNEL_SMS', 'code.again', 'code.againIn');
  const call = resend(app, 'PHONE_CHANNEL_VOICE', 'code.call', 'code.callIn');
  const trouble = h('div', {role: 'alert'});
  const made = screen({text: app.text, title: t('code.title')},
    h('p', null, t('code.sent', {number: h('strong', {class: 'tabular'}, h('bdi', {dir: 'ltr'}, written(registration?.phoneNumber ?? '')))})),
    form,
    h('div', {class: 'stack tight start'}, again.element, call.element,
      button(t('code.change'), () => app.device.abandon().then(() => app.router.go('/')), 'link')),
    h('div', {class: 'muted'}, trouble));
  for (const each of [again, call]) {
    each.failed = (error) => {
      if (error.reason === 'UNIMPLEMENTED' || error.reason === 'FACTOR_UNAVAILABLE' || error.fields?.some((/** @type {any} */ one) => one.field === 'channel')) {
        call.element.hidden = true;
        trouble.replaceChildren(...t('code.noCalls'));
      } else trouble.replaceChildren(...explain(app, error));
    };
  }
  made.every(() => { again.tick(); call.tick(); }, 1000);
  listen(made, (found) => { input.value = found; form.requestSubmit(); });
  if (app.store.state.rejected) queueMicrotask(() => typed.wrong(...t('code.wrong')));
  return made;
}

/**
 * A button that sends a code anew, once that is allowed.
 * @param {any} app
 * @param {string} channel
 * @param {string} now key of its words
 * @param {string} later key of its words while one waits
 */
function resend(app, channel, now, later) {
  const {t} = app.text;
  const label = h('span', null);
  const made = {
    /** @type {(error: any) => void} */
    failed: () => {},
    element: button(label, async () => {
      if (made.left() > 0) return;
      try {
        const {phoneNumber} = app.device.registration ?? {};
        await app.api.startPhoneVerification({phoneNumber, channel, locale: app.text.locale});
        app.announce(app.text.say('code.sentAgain'));
      } catch (error) {
        made.failed(error);
      }
      made.tick();
    }, 'link'),
    left: () => ((app.device.registration?.retryTime ?? 0) - Date.now()) / 1000,
    shown: '',
    tick() {
      const left = made.left();
      const span = left > 0 ? app.text.span(left) : '';
      if (span === made.shown && label.firstChild) return;
      made.shown = span;
      label.replaceChildren(...(span ? t(later, {span}) : t(now)));
      /** @type {HTMLButtonElement} */ (made.element).disabled = Boolean(span);
    },
  };
  return made;
}

/**
 * Takes the code out of the text message where the browser can (WebOTP), until the screen ends.
 * @param {import('../base/dom.js').Living} made
 * @param {(code: string) => void} found
 */
async function listen(made, found) {
  if (!('OTPCredential' in window)) return;
  const stop = new AbortController();
  made.onEnd(() => stop.abort());
  try {
    const options = /** @type {any} */ ({otp: {transport: ['sms']}, signal: stop.signal});
    const answer = /** @type {any} */ (await navigator.credentials.get(options));
    if (/^\d{6}$/.test(answer?.code ?? '')) found(answer.code);
  } catch {
    // Refused, timed out or left: the field is there.
  }
}
