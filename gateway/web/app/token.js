// @ts-check
// The token of a link that was opened: out of the address as soon as the app can use it, kept while one registers.

const WAITING = 'view.token';
const USED = 'view.usedToken';
const MOST_USED = 100;
const TOKEN = /^[A-Za-z0-9_-]{16,128}$/;

export class Token {
  #vault;
  /** What `accept` is to open. */
  current = '';

  /** @param {any} vault */
  constructor(vault) { this.#vault = vault; }

  /**
   * Takes a token out of the address.
   * @param {string} token
   * @param {any} app
   * @returns {Promise<string>} the view that goes on with it; '' where there is nothing to do
   */
  async take(token, app) {
    if (!TOKEN.test(token)) return '';
    // The icon on a Home Screen keeps the address that it was made from: later starts are no new link.
    if ((await this.#used()).includes(token)) return this.#clean('');
    if (app.device.can('sites')) return this.open(token);
    this.current = token;
    // Whoever is at setting up here goes on with that first.
    if (app.standalone || app.device.state !== 'none') {
      await this.wait();
      return '';
    }
    return 'handover';
  }

  /**
   * Goes on to the question whether to add the site, with the address cleaned of the token.
   * @param {string} token from a link, or scanned
   */
  open(token) {
    this.current = token;
    this.#spend(token);
    this.#put(WAITING, '');
    return this.#clean('accept');
  }

  /** @returns {Promise<string[]>} also where one alone was kept */
  async #used() { return [await this.#get(USED) || []].flat(); }

  /** @param {string} token */
  async #spend(token) {
    const others = (await this.#used()).filter((each) => each !== token);
    await this.#put(USED, [...others, token].slice(-MOST_USED));
  }

  /** Keeps the token until there are keys. */
  async wait() {
    await this.#put(WAITING, this.current);
    this.#clean('');
  }

  /** The token that has waited, or ''. */
  async waiting() { return String(await this.#get(WAITING) ?? ''); }

  /** @param {string} view */
  #clean(view) {
    history.replaceState(null, '', `#/${view}`);
    return view;
  }

  /** @param {string} key */
  async #get(key) {
    try {
      return await this.#vault.get('settings', key);
    } catch {
      return '';
    }
  }

  /** @param {string} key @param {string | string[]} value */
  async #put(key, value) {
    try {
      await this.#vault.put('settings', value, key);
    } catch {
      // Without storage nobody registers, and nothing waits.
    }
  }
}
