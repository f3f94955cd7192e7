// Makes a browser's storage fail as browsers do: for pages of the tests, each of which is thrown away.

/** Keys cannot be stored, as in WebKit's Lockdown Mode. */
export function refuseKeys() {
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = function (value, ...rest) {
    if (Object.values(value).some((each) => each instanceof CryptoKey)) {
      throw new DOMException('The object can not be cloned.', 'DataCloneError');
    }
    return put.call(this, value, ...rest);
  };
}

/** Keys are stored, and are not there when they are read. */
export function loseKeys() {
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = function (value, ...rest) {
    const kept = Object.entries(value).filter(([, each]) => !(each instanceof CryptoKey));
    return put.call(this, Object.fromEntries(kept), ...rest);
  };
}

/** There is no room. */
export function fill() {
  IDBObjectStore.prototype.put = () => {
    throw new DOMException('full', 'QuotaExceededError');
  };
}

/** A factory whose first connections, or all of them, are dead when they are used. */
export function dying(times = Infinity) {
  return {
    open(name, version) {
      const request = indexedDB.open(name, version);
      if (times-- > 0) request.addEventListener('success', () => request.result.close());
      return request;
    },
  };
}

/** A factory that never answers. */
export const silent = { open: () => ({}) };

/** A factory that may not be used, as in some private windows. */
export const forbidden = {
  open() {
    throw new DOMException('denied', 'SecurityError');
  },
};

/** The stores of version 1, as they were when they were first published, with something in each. */
export async function first(name, made) {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    const db = request.result;
    db.createObjectStore('device').put({ deviceId: 'dev_1', state: 'active', name: 'Old', ...made }, 'current');
    db.createObjectStore('sites', { keyPath: 'siteId' }).put({
      siteId: 'sit_1', site: { siteId: 'sit_1', name: 'Books' }, pinned: true, usedTime: 1, goneTime: 0,
    });
    db.createObjectStore('newKeys', { keyPath: 'name' }).put({ name: 'token' });
    db.createObjectStore('accounts', { keyPath: 'id' }).put({ id: 'a', issuer: 'ACME' });
    db.createObjectStore('logos').put(new Uint8Array([1]), 'logo');
    db.createObjectStore('settings').put('de', 'language');
  };
  await new Promise((resolve, reject) => {
    request.onsuccess = resolve;
    request.onerror = reject;
  });
  request.result.close();
}

/** A connection that another tab holds, and does not give up. */
export async function hold(name) {
  const request = indexedDB.open(name);
  await new Promise((resolve) => (request.onsuccess = resolve));
  globalThis.held = request.result;
}
