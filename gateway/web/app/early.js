// @ts-check
// Asks for what the first screen will need while the app's own modules are on their way: its words and its view.
import {choose} from './base/text.js';
import {WORDS} from './text/all.js';

const {language} = choose(navigator.languages, Object.keys(WORDS));
// What fails here fails again where it is waited for.
WORDS[language]().catch(() => {});
if (!navigator.serviceWorker?.controller) Promise.all([import('./view/start.js'), import('./part/regions.js')]).catch(() => {});
