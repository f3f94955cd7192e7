// @ts-check
// The one Trusted Types policy: addresses of our own worker, and nothing that becomes markup or script.

const ALLOWED = new Set(['sw.js']);

/** @param {string} name */
function check(name) {
  if (!ALLOWED.has(name)) throw new TypeError('not a script of this app');
  return name;
}

/** @type {{createScriptURL(name: string): any}} */
const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy('app', {createScriptURL: check})
  ?? {createScriptURL: check};

/**
 * The address of a script of ours, for `serviceWorker.register`.
 * @param {string} name
 */
export const scriptURL = (name) => policy.createScriptURL(name);
