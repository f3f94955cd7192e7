// Installs the app's files by their hashes, all or nothing, and serves them as they came. The list of hashes is
// put before this text when it is served; a new list is a new worker, which waits until the page asks for it.

const CACHE = `app-${VERSION}`;
const ROOT = new URL('./', location.href);

async function hashOf(response) {
  const digest = await crypto.subtle.digest('SHA-256', await response.arrayBuffer());
  return Array.from(new Uint8Array(digest), (each) => each.toString(16).padStart(2, '0')).join('');
}

async function bring(name, hash) {
  const address = new URL(name, ROOT);
  const response = await fetch(address, {cache: 'no-cache', credentials: 'omit', redirect: 'error'});
  if (!response.ok || await hashOf(response.clone()) !== hash) throw new TypeError(`another ${name || 'page'}`);
  return [address, response];
}

async function install() {
  const brought = await Promise.all(Object.entries(FILES).map(([name, hash]) => bring(name, hash)));
  const cache = await caches.open(CACHE);
  await Promise.all(brought.map(([address, response]) => cache.put(address, response)));
}

async function activate() {
  for (const name of await caches.keys()) {
    if (name.startsWith('app-') && name !== CACHE) await caches.delete(name);
  }
  await clients.claim();
}

// The whole response as it was stored: one that is built anew would come without its policy.
async function answer(request, address) {
  const cache = await caches.open(CACHE);
  return await cache.match(address) ?? fetch(request);
}

addEventListener('install', (event) => event.waitUntil(install()));
addEventListener('activate', (event) => event.waitUntil(activate()));
addEventListener('message', (event) => {
  if (event.data === 'take over') event.waitUntil(skipWaiting());
});
addEventListener('fetch', (event) => {
  const address = new URL(event.request.url);
  address.hash = '';
  address.search = '';
  if (event.request.method !== 'GET' || address.origin !== ROOT.origin) return;
  if (!address.pathname.startsWith(ROOT.pathname)) return;
  const name = address.pathname.slice(ROOT.pathname.length);
  if (Object.hasOwn(FILES, name)) event.respondWith(answer(event.request, address));
});
