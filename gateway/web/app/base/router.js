// @ts-check
// Shows the screen that the address's fragment names, and puts title and focus there.

/**
 * @typedef {{name: string, params: Record<string, string>}} Found
 * @typedef {(found: Found) => Promise<HTMLElement> | HTMLElement} Show
 */

export class Router {
  /** @type {{pattern: RegExp, names: string[], name: string}[]} */
  #routes;
  #place;
  #show;
  #title;
  /** Counts changes: a screen that comes too late is not shown. */
  #turn = 0;
  #first = true;
  /** @type {Found} */
  current = {name: '', params: {}};

  /**
   * @param {Element} place where screens stand
   * @param {Record<string, string>} routes pattern such as `/site/:id` to the name of a view
   * @param {Show} show makes the screen
   * @param {string} title of the app
   */
  constructor(place, routes, show, title) {
    this.#place = place;
    this.#show = show;
    this.#title = title;
    this.#routes = Object.entries(routes).map(([path, name]) => {
      const names = [...path.matchAll(/:(\w+)/g)].map((each) => each[1]);
      return {pattern: new RegExp(`^${path.replace(/:\w+/g, '([^/]+)')}$`), names, name};
    });
  }

  start() {
    addEventListener('hashchange', () => { this.update(); });
    return this.update();
  }

  /**
   * Goes to an address, such as `/codes`.
   * @param {string} path
   * @param {{replace?: boolean}} [how] `replace`: the address before it does not stay in the history
   */
  go(path, {replace = false} = {}) {
    const address = `#${path}`;
    if (replace) history.replaceState(null, '', address);
    if (!replace && location.hash !== address) location.hash = address;
    else return this.update();
    return Promise.resolve();
  }

  /** Shows the screen of the address anew. */
  async update() {
    const turn = ++this.#turn;
    const found = this.find(location.hash.slice(1) || '/');
    const screen = await this.#show(found);
    if (turn !== this.#turn) return end(screen);
    const first = this.#first;
    this.#first = false;
    this.current = found;
    const old = this.#place.firstElementChild;
    if (old) old.replaceWith(screen);
    else this.#place.append(screen);
    const heading = screen.querySelector('h1');
    // Names in it are of others: a title has no marks that isolate.
    const named = heading?.textContent.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '');
    document.title = heading ? `${named} – ${this.#title}` : this.#title;
    if (first) return;
    scrollTo(0, 0);
    if (heading) {
      heading.tabIndex = -1;
      heading.focus({preventScroll: true});
    }
  }

  /**
   * What an address names; an unknown one leads home.
   * @param {string} path
   * @returns {Found}
   */
  find(path) {
    for (const {pattern, names, name} of this.#routes) {
      const parts = pattern.exec(path);
      if (!parts) continue;
      try {
        const params = Object.fromEntries(names.map((each, index) => [each, decodeURIComponent(parts[index + 1])]));
        return {name, params};
      } catch {
        // Not what encodeURIComponent writes.
      }
    }
    return {name: 'home', params: {}};
  }
}

/**
 * Ends a screen that was never shown: what lives in it would go on, and lead elsewhere from under another one.
 * @param {HTMLElement} screen
 */
function end(screen) {
  for (const each of [screen, ...screen.querySelectorAll('*')]) /** @type {any} */ (each).disconnectedCallback?.();
}
