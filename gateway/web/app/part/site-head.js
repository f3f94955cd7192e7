// @ts-check
// A site: logo by our own service, name and host, both isolated. The host is never cut, nor smaller than the logo says.
import {bdi, h} from '../base/dom.js';

/**
 * The host of an origin, with its ASCII form beside it where that is another.
 * @param {string} origin such as `https://books.example`
 */
export function host(origin) {
  try {
    const {host: ascii} = new URL(origin);
    const shown = origin.replace(/^https?:\/\//, '');
    return shown === ascii ? ascii : `${shown} (${ascii})`;
  } catch {
    return origin;
  }
}

/**
 * A logo: the first letter of the name until the image is there, and where there is none.
 * @param {any} app
 * @param {string} name
 * @param {string} [logoId]
 */
export function logo(app, name, logoId) {
  const letter = [...name.trim()][0]?.toLocaleUpperCase() ?? '?';
  const made = h('div', {class: 'logo', 'aria-hidden': 'true'}, letter);
  if (logoId) show(app, made, logoId);
  return made;
}

/**
 * @param {any} app
 * @param {HTMLElement} place
 * @param {string} logoId
 */
async function show(app, place, logoId) {
  try {
    const bytes = await app.api.getLogo(logoId);
    const address = URL.createObjectURL(new Blob([bytes], {type: 'image/png'}));
    const image = /** @type {HTMLImageElement} */ (h('img', {alt: ''}));
    image.addEventListener('load', () => { place.replaceChildren(image); URL.revokeObjectURL(address); });
    image.addEventListener('error', () => URL.revokeObjectURL(address));
    image.src = address;
  } catch {
    // The letter stays.
  }
}

/**
 * @param {any} app
 * @param {{name: string, logoId?: string, origin?: string, label?: string, level?: string, large?: boolean}} site
 *   `level`: the tag of the name, such as `h2`; `large`: the host stands out, as where one decides about it
 */
export function siteHead(app, {name, logoId, origin, label, level = 'div', large = false}) {
  return h('div', {class: large ? 'site-head large' : 'site-head'},
    logo(app, name, logoId),
    h('div', {class: 'names'},
      h(level, {class: 'name'}, bdi(name)),
      label ? h('div', {class: 'muted small'}, bdi(label)) : null,
      origin ? h('div', {class: 'host'}, bdi(host(origin))) : null));
}
