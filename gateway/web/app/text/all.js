// @ts-check
// The languages of the app, each in a file of its own.

/** @type {Record<string, () => Promise<{default: any}>>} */
export const WORDS = {en: () => import('./en.js'), de: () => import('./de.js')};
