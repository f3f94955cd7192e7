// @ts-check
// Builds the DOM from text nodes and properties only: nothing foreign is ever parsed as markup.

/**
 * What an element may hold: arrays of the same too.
 *
 * @typedef {Node | string | number | null | undefined | false | readonly any[]} Child
 */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element. Props: `class`, `on…` (a function), `aria-…`, `data-…`, `role`, `for` and other attributes by
 * their name where the element has no such property; all else is set as a property.
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  append(element, children);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 * @param {any} value
 */
function set(element, name, value) {
  if (value === null || value === undefined) return;
  if (name.startsWith('on')) element.addEventListener(name.slice(2).toLowerCase(), value);
  else if (name === 'class') element.className = value;
  else if (name === 'style' || name === 'innerHTML') throw new TypeError(`${name} is not set here`);
  else if (name in element && name !== 'list' && name !== 'form') /** @type {any} */ (element)[name] = value;
  else if (value !== false) element.setAttribute(name, value === true ? '' : String(value));
}

/**
 * @param {Node} parent
 * @param {Child[]} children
 */
function append(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(parent, child);
    else parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/**
 * Replaces what an element holds.
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  const made = document.createDocumentFragment();
  append(made, children);
  element.replaceChildren(made);
}

/**
 * A foreign value: isolated, so that its direction changes nothing around it.
 * @param {unknown} text
 */
export const bdi = (text) => h('bdi', null, String(text ?? ''));

/**
 * A list whose items keep their elements, and so their focus, from one state to the next.
 * @template T
 * @param {Element} list
 * @param {(item: T) => string} key
 * @param {(item: T) => Element & {update?: (item: T) => void}} make an element, whose `update` takes a later state
 * @returns {(items: T[]) => void}
 */
export function keyed(list, key, make) {
  /** @type {Map<string, Element & {update?: (item: T) => void}>} */
  let there = new Map();
  return (items) => {
    const next = new Map();
    for (const item of items) {
      const name = key(item);
      const element = there.get(name) ?? make(item);
      element.update?.(item);
      next.set(name, element);
    }
    for (const [name, element] of there) if (!next.has(name)) element.remove();
    let at = list.firstElementChild;
    for (const element of next.values()) {
      // Moving an element takes its focus: those in their place stay.
      if (at && element === at) at = at.nextElementSibling;
      else list.insertBefore(element, at);
    }
    there = next;
  };
}

/**
 * A screen or part with a life: what `onEnd` is given runs when it leaves the page.
 */
export class Living extends HTMLElement {
  /** @type {(() => void)[]} */
  #ends = [];

  /** @param {() => void} end */
  onEnd(end) { this.#ends.push(end); }

  /**
   * Calls back at an interval, at once first, while the element is in the page.
   * @param {() => void} tick
   * @param {number} millis
   */
  every(tick, millis) {
    tick();
    const timer = setInterval(tick, millis);
    this.onEnd(() => clearInterval(timer));
  }

  disconnectedCallback() {
    for (const end of this.#ends.splice(0)) end();
  }
}
customElements.define('x-living', Living);

/**
 * An element with a life, for views: `life('main', …)` cannot end, this can.
 * @param {Record<string, any> | null} [props]
 * @param {...Child} children
 * @returns {Living}
 */
export const living = (props, ...children) => /** @type {Living} */ (h('x-living', props, ...children));

/**
 * A drawing of our own, by its paths in a 24 by 24 box.
 * @param {string} name of ICONS
 * @param {string} [className]
 */
export function icon(name, className = 'icon') {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', className);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name] ?? '');
  svg.append(path);
  return svg;
}

/** @type {Record<string, string>} */
const ICONS = {
  activity: 'M3 12h4l3-8 4 16 3-8h4',
  alarm: 'M12 3 2.5 20h19L12 3zM12 10v4.5M12 17.4v.1',
  back: 'M15 5l-7 7 7 7',
  bell: 'M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15L6 16zM10 20.5h4',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7.5V12l3 2',
  close: 'M6 6l12 12M18 6L6 18',
  codes: 'M4 6h16v12H4zM8 12h.01M12 12h.01M16 12h.01',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  cross: 'M7 7l10 10M17 7L7 17',
  delete: 'M9 5h11v14H9l-6-7 6-7zM12.5 9.5l4.5 5M17 9.5l-4.5 5',
  device: 'M7 2.5h10v19H7zM11 18.5h2',
  devices: 'M3 5h13v9H3zM1.5 17H14M16 9h6v11h-6zM18.5 17.5h1',
  flag: 'M5 21V4h12l-2 4 2 4H5',
  image: 'M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9h.01',
  key: 'M14.5 9.5a4 4 0 1 0-3.6 5.4L13 13h2v-2h2V9h1.5l2-2V4h-3l-4.7 4.7',
  light: 'M9 18h6M10 21h4M8.5 14.5a6 6 0 1 1 7 0L15 17H9l-.5-2.5z',
  lock: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3',
  more: 'M9 5l7 7-7 7',
  offline: 'M4 4l16 16M8.5 15.5a5 5 0 0 1 7 0M5 12a10 10 0 0 1 4-2.4M19 12a10 10 0 0 0-5.5-2.8M12 19h.01',
  paper: 'M6 3h8l4 4v14H6zM13.5 3v4.5H18M9 13h6M9 17h6',
  paste: 'M8 5H5v16h14V5h-3M8 3h8v4H8z',
  pin: 'M9 3h6l-1 6 3 4H7l3-4-1-6zM12 13v8',
  plus: 'M12 5v14M5 12h14',
  refresh: 'M19.5 8A8 8 0 1 0 20 12M20 4v4.5h-4.5',
  scan: 'M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M4 12h16',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l4.5 4.5',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5',
  share: 'M12 15V3M8 6.5L12 3l4 3.5M7 10H5v11h14V10h-2',
  shield: 'M12 2.5l8 3v6c0 5-3.4 8.5-8 10-4.6-1.5-8-5-8-10v-6l8-3z',
  tick: 'M5 12.5l4.5 4.5L19 7.5',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13M10.5 11v5.5M13.5 11v5.5',
  wait: 'M7 3h10M7 21h10M8 3c0 5 8 5 8 9s-8 4-8 9M16 3c0 5-8 5-8 9s8 4 8 9',
};
