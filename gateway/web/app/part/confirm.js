// @ts-check
// A destructive act in two steps: the button, then what it means, with the way back first and focused.
import {fill, h, icon} from '../base/dom.js';
import {button} from './screen.js';
import {explain} from './trouble.js';

/**
 * @typedef {object} Asked
 * @property {any} label of the button that asks
 * @property {any} title
 * @property {any} body
 * @property {any} go words of the button that does it
 * @property {() => any} run
 * @property {string} [drawing]
 * @property {import('../base/dom.js').Child} [more] stands above the buttons
 * @property {boolean} [row] the first button is a row of a list
 */

/**
 * @param {any} app
 * @param {Asked} asked
 */
export function confirm(app, {label, title, body, go, run, drawing = 'trash', more, row = false}) {
  const trouble = h('p', {class: 'small', role: 'alert'});
  const keep = button(app.text.t('confirm.keep'), () => { sure.hidden = true; ask.hidden = false; ask.focus(); }, 'main wide');
  const sure = h('div', {class: 'card danger', hidden: true}, h('h2', null, title), h('p', null, body), more, trouble,
    h('div', {class: 'actions'}, keep, button(go, async () => {
      fill(trouble);
      try {
        await run();
      } catch (error) {
        fill(trouble, explain(app, error));
      }
    }, 'danger wide')));
  const ask = h('button', {class: row ? 'row danger' : 'button danger wide', type: 'button',
    onClick: () => { ask.hidden = true; sure.hidden = false; sure.scrollIntoView({block: 'nearest'}); keep.focus(); }},
  icon(drawing, row ? 'icon' : 'icon small'), row ? h('span', {class: 'fill'}, label) : label);
  return h('div', {class: row ? 'confirm' : 'stack'}, ask, sure);
}
