// @ts-check
// Hashes the files of the app as they are served here, to the one hash that `authy-grpc web hashes` prints.

/** @param {ArrayBuffer | Uint8Array<ArrayBuffer>} bytes */
async function sha256(bytes) {
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return Array.from(new Uint8Array(digest), (each) => each.toString(16).padStart(2, '0')).join('');
}

/** @param {string} path below the app; what the worker keeps comes from there */
async function bytes(path) {
  const answer = await fetch(new URL(path || './', new URL('./', location.href)), {cache: 'no-cache', credentials: 'omit'});
  if (!answer.ok) throw Object.assign(new Error('UNREACHABLE'), {reason: 'UNREACHABLE'});
  return answer.arrayBuffer();
}

/**
 * @returns {Promise<{release: string, count: number, hash: string}>}
 * @throws {Error} a file cannot be had now
 */
export async function measured() {
  const worker = await bytes('sw.js').catch(() => { throw Object.assign(new Error('UNREACHABLE'), {reason: 'UNREACHABLE'}); });
  const text = new TextDecoder().decode(worker);
  const read = (/** @type {string} */ name) => JSON.parse(new RegExp(`^const ${name} = ([^;]*);$`, 'm').exec(text)?.[1] ?? 'null');
  const paths = [...Object.keys(read('FILES')), ...read('BESIDE'), 'sw.js'];
  const lines = await Promise.all(paths.map(async (path) => {
    const name = path.startsWith('scan/') ? path : `app/${path || 'index.html'}`;
    return {name, line: `${await sha256(path === 'sw.js' ? worker : await bytes(path))}  ${name}\n`};
  }));
  lines.sort((one, other) => (one.name < other.name ? -1 : 1));
  const hash = await sha256(new TextEncoder().encode(lines.map((each) => each.line).join('')));
  return {release: read('RELEASE'), count: lines.length, hash};
}
