async (given) => {
  const pseudo = given.language === 'pseudo';
  const language = pseudo ? 'en' : given.language;
  const [{Store}, {Text}, {shell, announce}, {default: plain}] = await Promise.all([
    import('/app/base/store.js'), import('/app/base/text.js'), import('/app/shell.js'), import(`/app/text/${language}.js`)]);
  // From right to left, and 40 % longer.
  const longer = (text) => typeof text === 'string' ? text + ' ' + 'ש'.repeat(Math.ceil(text.length * 0.4)).replace(/.{6}/g, '$& ')
    : Object.fromEntries(Object.entries(text).map(([name, value]) => [name, longer(value)]));
  const words = pseudo ? longer(plain) : plain;
  const text = new Text(language, words, language === 'en' ? 'en-GB' : language);
  if (pseudo) text.direction = 'rtl';
  Object.assign(document.documentElement, {lang: language, dir: text.direction});
  // What is not given never answers; {error: {…}} is thrown.
  const answers = (table) => new Proxy({}, {get: (_, name) => {
    if (name === 'then') return undefined;
    const value = table?.[name];
    if (typeof value === 'function') return value;
    return async () => {
      if (value === undefined) return new Promise(() => {});
      if (value?.error) throw Object.assign(new Error(value.error.reason), value.error);
      return value;
    };
  }});
  const NOW = given.now ?? Date.parse('2026-11-30T14:32:00+01:00');
  const went = [];
  const app = {
    text, announce, ios: false, standalone: false, embedded: false, keepScreen: (run) => run(), useSafari: async () => {}, region: 'FR', languages: ['en', 'de'], went,
    store: new Store({state: 'active', online: true, trouble: false, questions: [], refused: [], revisions: {}, retryTime: 0,
      clockOffset: 0, update: false, busy: false, waiting: false, safari: false, heard: true, ...given.store}),
    clock: {now: () => NOW},
    device: {state: 'active', deviceId: 'dev_1', name: 'Firefox, Windows', check: '418207', seenTime: NOW, limitedUntil: 0,
      can: (act) => !(given.cannot ?? []).includes(act), subscribe: () => () => {}, forget: async () => {},
      code: async (site) => ({code: '284913', next: '771052', secondsLeft: 8, period: site.codePeriodSeconds ?? 30}), ...given.device},
    vault: answers({get: () => Promise.resolve(undefined), all: () => Promise.resolve([]), put: () => Promise.resolve(), probe: null, ...given.vault}),
    api: {...{}, clockOffset: 0},
    accounts: answers({list: [], removed: [], ...given.accounts}),
    backup: answers({ready: true, ...given.backup}),
    inbox: {start() {}, stop() {}, again() {}, tell() {}, heard: () => () => {}, subscribe: () => () => {}},
    token: {current: 'AAAAAAAAAAAAAAAAAAAAAA', open: () => 'accept', wait: async () => {}, waiting: async () => given.token?.held ?? '', ...given.token},
    worker: {reload() {}}, restart() { went.push('restart'); },
    router: {go: async (path) => { went.push(path); }, update: async () => { went.push('update'); }, current: {name: given.view, params: given.params}},
    ...given.app,
  };
  const api = answers(given.api);
  app.api = new Proxy({}, {get: (_, name) => ({serviceNow: () => NOW, clockOffset: 0, sites: () => Promise.resolve(given.api?.listSites ?? [])})[name] ?? api[name]});
  for (const draft of app.scanned?.drafts ?? []) draft.secret = Uint8Array.from(draft.secret);
  window.app = app;
  const {place, show} = shell(app);
  const {default: view} = await import(`/app/view/${given.view}.js`);
  place.replaceChildren(await view(app, given.params));
  show(given.view);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}
