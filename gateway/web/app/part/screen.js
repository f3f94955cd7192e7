// @ts-check
// The frame of a screen: way back, title (the h1 that gets the focus), something at its side, and the content.
import {Living, h, icon} from '../base/dom.js';

class Screen extends Living {}
customElements.define('x-screen', Screen);

/**
 * @typedef {object} Options
 * @property {any} [title] nodes or a string; without it there is no bar
 * @property {string} [back] address of the screen before, such as `#/codes`
 * @property {any} [side] what stands at the end of the bar, such as a button
 * @property {string} [class] more classes: `columns`, `plain`
 * @property {import('../base/text.js').Text} text
 */

/**
 * A screen. Its `onEnd(fn)` and `every(fn, millis)` end with it.
 * @param {Options} options
 * @param {...import('../base/dom.js').Child} children
 * @returns {Living}
 */
export function screen({title, back, side, text, class: more = ''}, ...children) {
  const bar = title === undefined ? null : h('header', {class: 'bar'},
    back ? h('a', {class: 'icon-button', href: back, 'aria-label': text.say('common.back')}, icon('back', 'icon flips')) : null,
    h('h1', null, title),
    side);
  return /** @type {Living} */ (h('x-screen', {class: `screen ${more}`.trim()}, bar, ...children));
}

/**
 * A button that answers the question above it. While `run` is at work it is busy, and pressed once.
 * @param {import('../base/dom.js').Child} label
 * @param {() => any} run
 * @param {string} [kind] `main`, `quiet`, `danger`, `link`
 */
export function button(label, run, kind = '') {
  const made = /** @type {HTMLButtonElement} */ (h('button', {class: `button ${kind}`.trim(), type: 'button'}, label));
  made.addEventListener('click', () => busy(made, run));
  return made;
}

/**
 * Runs something that a button began: it is marked, and takes no second press, until that is over.
 * @param {HTMLButtonElement} made
 * @param {() => any} run
 */
export async function busy(made, run) {
  if (made.ariaBusy === 'true') return;
  made.ariaBusy = 'true';
  const timer = setTimeout(() => made.classList.add('busy'), 150);
  try {
    await run();
  } finally {
    clearTimeout(timer);
    made.ariaBusy = null;
    made.classList.remove('busy');
  }
}

let fields = 0;

/**
 * A labelled field. `wrong(nodes)` shows what is wrong below it, and reads it out; `wrong()` takes it away.
 * @param {{label: any, hint?: any}} said
 * @param {HTMLElement} input an `input` or `select`
 * @returns {HTMLElement & {wrong(...nodes: any[]): void}}
 */
export function field({label, hint}, input) {
  const id = `field-${++fields}`;
  input.id = id;
  input.classList.add('input');
  const error = h('p', {class: 'wrong', id: `${id}-wrong`, role: 'alert'});
  const described = [`${id}-wrong`, hint ? `${id}-hint` : ''].filter(Boolean).join(' ');
  input.setAttribute('aria-describedby', described);
  const held = input instanceof HTMLSelectElement ? h('div', {class: 'select'}, input, icon('more', 'icon small')) : input;
  const made = h('div', {class: 'field'},
    h('label', {for: id}, label),
    held,
    hint ? h('p', {class: 'hint', id: `${id}-hint`}, hint) : null,
    error);
  const wrong = (/** @type {any[]} */ ...nodes) => {
    input.setAttribute('aria-invalid', String(nodes.length > 0));
    error.replaceChildren(...(nodes.length ? [icon('alarm', 'icon small'), h('span', null, ...nodes)] : []));
    if (nodes.length) input.focus();
  };
  return Object.assign(made, {wrong});
}

/**
 * A note: what stands out without being the thing to do.
 * @param {string} kind '', `warn`, `danger`, `ok`
 * @param {string} drawing
 * @param {...import('../base/dom.js').Child} children
 */
export const note = (kind, drawing, ...children) =>
  h('div', {class: `note ${kind}`.trim()}, icon(drawing), h('div', null, ...children));

/**
 * A badge: a large drawing in a circle.
 * @param {string} drawing
 * @param {string} [kind]
 */
export const badge = (drawing, kind = '') => h('div', {class: `badge ${kind}`.trim()}, icon(drawing));

/**
 * Puts another screen in the place of one, as a step of the same address: the focus goes to its title.
 * @param {HTMLElement} old
 * @param {HTMLElement} next
 */
export function become(old, next) {
  old.replaceWith(next);
  const heading = next.querySelector('h1');
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus();
}
