// Two elements for a site's own pages: <authy-enroll> switches a second factor on, <authy-approval> asks for one.
// They call the addresses that `src` names, and no others. docs/integrating.md has the protocol.

const WORDS = {
  en: {
    __proto__: null,
    scan: 'Scan this code with your authenticator.',
    scanned: 'Seen. Go on on your phone.',
    awaiting_code: 'Type the code that your authenticator shows.',
    completed: 'Switched on.',
    number: 'Type this number on your phone.',
    answer: 'Answer on your phone.',
    approved: 'Approved.',
    rejected: 'Refused on the phone.',
    denied: 'Refused on the phone.',
    fraud: 'Reported. Change your password.',
    wrong_number: 'The number typed was wrong too often.',
    expired: 'Time ran out.',
    canceled: 'Called off.',
    alt: 'QR code. If you cannot scan it, use the link below.',
    open: 'I am on my phone: open the authenticator',
    copy: 'Copy link',
    copied: 'Link copied.',
    help: 'On iPhone: open your authenticator and tap Scan.',
    code: 'Code',
    send: 'Confirm',
    cancel: 'Cancel',
    again: 'Try again',
    time: 'Time left',
    wrong: 'That is not the code.',
    left: 'Tries left:',
    locked: 'Too many wrong codes.',
    unavailable: 'The service cannot be reached.',
    failed: 'This did not work.',
    lost: 'Connecting again…',
  },
  de: {
    __proto__: null,
    scan: 'Scannen Sie diesen Code mit Ihrem Authenticator.',
    scanned: 'Erkannt. Weiter geht es auf dem Telefon.',
    awaiting_code: 'Geben Sie den Code ein, den Ihr Authenticator zeigt.',
    completed: 'Eingeschaltet.',
    number: 'Geben Sie diese Zahl auf dem Telefon ein.',
    answer: 'Antworten Sie auf dem Telefon.',
    approved: 'Bestätigt.',
    rejected: 'Auf dem Telefon abgelehnt.',
    denied: 'Auf dem Telefon abgelehnt.',
    fraud: 'Gemeldet. Ändern Sie Ihr Passwort.',
    wrong_number: 'Die Zahl war zu oft falsch.',
    expired: 'Die Zeit ist abgelaufen.',
    canceled: 'Abgebrochen.',
    alt: 'QR-Code. Wenn Sie nicht scannen können, nehmen Sie den Link.',
    open: 'Ich bin am Telefon: Authenticator öffnen',
    copy: 'Link kopieren',
    copied: 'Link kopiert.',
    help: 'Auf dem iPhone: Authenticator öffnen und auf „Scannen“ tippen.',
    code: 'Code',
    send: 'Bestätigen',
    cancel: 'Abbrechen',
    again: 'Noch einmal versuchen',
    time: 'Verbleibende Zeit',
    wrong: 'Das ist nicht der Code.',
    left: 'Versuche übrig:',
    locked: 'Zu viele falsche Codes.',
    unavailable: 'Der Dienst ist nicht erreichbar.',
    failed: 'Das hat nicht geklappt.',
    lost: 'Verbinde neu …',
  },
};
const OPEN = ['pending', 'scanned', 'awaiting_code'];

function h(tag, props = {}, ...children) {
  const { part, on, aria, ...rest } = props;
  const node = Object.assign(document.createElement(tag), rest);
  if (part) node.part = part;
  if (aria) node.setAttribute('aria-label', aria);
  for (const name in on) node.addEventListener(name, on[name]);
  node.append(...children.filter(Boolean));
  return node;
}

class Element extends HTMLElement {
  #status;
  #body;
  #told = {};
  #source;
  #clock;
  #skew = 0;

  connectedCallback() {
    if (!this.#body) {
      this.#status = h('p', { part: 'status', role: 'status', tabIndex: -1 });
      this.#body = h('div', { part: 'body' }, h('slot'));
      this.attachShadow({ mode: 'open' }).append(this.#status, this.#body);
    }
    document.addEventListener('visibilitychange', this);
    this.#ask();
  }

  disconnectedCallback() {
    document.removeEventListener('visibilitychange', this);
    this.#close();
  }

  // iOS leaves dead streams that look open: each return opens a new one.
  handleEvent() {
    this.#close();
    this.#listen();
  }

  // A word: of an attribute such as `text-copy`, else of the language of the page.
  word(key) {
    const own = this.getAttribute('text-' + `${key}`.replaceAll('_', '-'));
    const language = (this.closest('[lang]')?.lang || navigator.language).slice(0, 2);
    return own ?? (WORDS[language] ?? WORDS.en)[key] ?? '';
  }

  async #call(method, path, body) {
    const csrf = this.getAttribute('csrf') ?? '';
    const answer = await fetch(this.getAttribute('src') + path, {
      method,
      headers: {
        accept: 'application/json',
        'content-type': 'application/json',
        // Django's name, and the usual one.
        'x-csrftoken': csrf,
        'x-csrf-token': csrf,
      },
      body: body && JSON.stringify(body),
    });
    // The site's clock: the browser's own may be off.
    this.#skew = Date.parse(answer.headers.get('date')) - Date.now() || 0;
    return (await answer.json()) ?? {};
  }

  async #ask(method = 'POST', body = {}) {
    try {
      const told = await this.#call(method, '', body);
      if (told.state || told.next) this.#take(told);
      else this.#fail(told.error);
    } catch {
      this.#fail();
    }
  }

  async #send(event) {
    event.preventDefault();
    const form = event.target;
    const { code, send } = form.elements;
    send.disabled = true;
    // The same words are said again.
    form.lastChild.textContent = '';
    let told = {};
    try {
      told = await this.#call('POST', '/code', { code: code.value });
    } catch {}
    send.disabled = false;
    if (told.state || told.next) return this.#take(told);
    const left = told.left === undefined ? '' : ` ${this.word('left')} ${told.left}`;
    form.lastChild.textContent = (this.word(told.error ?? '') || this.word('failed')) + left;
    code.setAttribute('aria-invalid', true);
    code.select();
    code.focus();
  }

  // Takes what the site tells: an answer, or one line of its stream.
  #take(told) {
    const state = told.state ?? this.#told.state;
    const changed = state !== this.#told.state || told.events;
    this.#told = { ...this.#told, ...told, state };
    if (told.link) this.#told.first = state;
    if (changed) this.#show();
    this.#listen();
    const event = new CustomEvent('authy-state', {
      detail: { state }, bubbles: true, composed: true, cancelable: true,
    });
    if (this.dispatchEvent(event) && told.next) this.#go(told.next);
  }

  #go(next) {
    const to = new URL(next, location.href);
    if (to.origin === location.origin && to.protocol === location.protocol) location.assign(to);
  }

  #listen() {
    const { state, events } = this.#told;
    if (!OPEN.includes(state) || !events || document.hidden || !this.isConnected) return this.#close();
    if (!this.#clock) this.#tick();
    this.#clock ??= setInterval(() => this.#tick(), 1000);
    if (this.#source) return;
    this.#source = new EventSource(events);
    this.#source.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#source.onopen = () => this.#say();
    this.#source.onerror = ({ target }) => {
      if (target !== this.#source) return;
      if (target.readyState === 2) this.#fail();
      else this.#say('lost');
    };
  }

  #close() {
    this.#source?.close();
    clearInterval(this.#clock);
    this.#source = this.#clock = undefined;
  }

  #tick() {
    const bar = this.#body.querySelector('progress');
    if (bar) bar.value = Math.max(0, Date.parse(this.#told.expires) - Date.now() - this.#skew) / 1000;
  }

  #fail(error) {
    this.#close();
    this.removeAttribute('state');
    // What the site has written for browsers without script still holds.
    this.#fill(h('slot'), this.#button('again', () => this.#ask()));
    this.#say(this.word(error ?? '') ? error : 'failed');
  }

  #say(key) {
    const { state } = this.#told;
    const text = this.word(key ?? (state === 'pending' ? this.title(this.#told) : state));
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  #show() {
    const { state } = this.#told;
    this.setAttribute('state', state);
    const over = !OPEN.includes(state);
    const happy = ['completed', 'approved', 'fraud'].includes(state);
    this.#fill(
      ...this.show(this.#told),
      state === 'awaiting_code' && this.#form(),
      h('slot', { name: state }),
      !over && this.#told.expires && this.#bar(),
      !over && this.#button('cancel', () => this.#ask('DELETE')),
      over && !happy && this.#button('again', () => this.#ask('POST', { again: true })),
    );
    this.#say();
    const field = this.#body.querySelector('input');
    if (field && document.activeElement === document.body) field.focus();
  }

  // Replaces what is shown; who had the focus keeps a place.
  #fill(...nodes) {
    const inside = this.shadowRoot.activeElement;
    this.#body.replaceChildren(...nodes.filter(Boolean));
    if (inside) (this.#body.querySelector('input') ?? this.#status).focus();
  }

  #bar() {
    const left = Math.max(1, Date.parse(this.#told.expires) - Date.now() - this.#skew) / 1000;
    // NaN shows none.
    return left && h('progress', { part: 'time', max: left, value: left, aria: this.word('time') });
  }

  #form() {
    const field = h('input', {
      part: 'code', id: 'code', name: 'code', required: true,
      inputMode: 'numeric', autocomplete: 'one-time-code', maxLength: 16,
    });
    field.setAttribute('aria-describedby', 'error');
    return h('form', { part: 'form', on: { submit: (event) => this.#send(event) } },
      h('label', { part: 'label', htmlFor: 'code' }, this.word('code')),
      field,
      h('button', { part: 'button send', name: 'send' }, this.word('send')),
      h('p', { part: 'error', id: 'error', role: 'alert' }));
  }

  #button(key, click) {
    return h('button', { part: 'button ' + key, type: 'button', on: { click } }, this.word(key));
  }

  // The link for who cannot scan, or is on the phone already.
  links(link) {
    const copy = async () => {
      await navigator.clipboard.writeText(link);
      this.#say('copied');
    };
    return [
      h('a', { part: 'link', href: link }, this.word('open')),
      navigator.clipboard && this.#button('copy', copy),
      link.startsWith('http') && h('slot', { name: 'help' }, h('p', { part: 'help' }, this.word('help'))),
    ];
  }
}

class Enroll extends Element {
  title() {
    return 'scan';
  }

  show({ state, link, image, first }) {
    // Other apps scan while the code is awaited already.
    const scan = state === 'pending' || (state === 'awaiting_code' && first === state);
    if (!scan || !/^(https?|otpauth):/i.test(link)) return [];
    return [image && h('img', { part: 'image', src: image, alt: this.word('alt') }), ...this.links(link)];
  }
}

class Approval extends Element {
  title({ number }) {
    return number ? 'number' : 'answer';
  }

  show({ state, number }) {
    if (state !== 'pending' || !number) return [];
    // Read out digit by digit, shown in groups.
    number = `${number}`;
    const shown = number.length > 4 ? number.replace(/(\d{3})(?=\d)/g, '$1 ') : number;
    return [h('strong', { part: 'number', role: 'img', aria: [...number].join(' ') }, shown)];
  }
}

customElements.define('authy-enroll', Enroll);
customElements.define('authy-approval', Approval);
