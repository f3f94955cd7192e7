// @ts-check
// Has one of several tabs do something at a time, by Web Locks; within one tab alone where those are missing.

/** @type {Map<string, Promise<unknown>>} */
const QUEUES = new Map();

/**
 * Runs `work` while no other tab runs one of this name.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @param {number} patience milliseconds, longer than any `work` takes: a tab that sleeps may hold the lock, and
 *   loses it then
 * @returns {Promise<T>}
 */
export async function alone(name, work, patience) {
  const { locks } = navigator;
  if (!locks) return queued(name, work);
  const waiting = new AbortController();
  const timer = setTimeout(() => waiting.abort(), patience);
  /** @type {Promise<T> | undefined} */
  let running;
  const begin = () => {
    clearTimeout(timer);
    return (running = work());
  };
  try {
    return await locks.request(name, { signal: waiting.signal }, begin);
  } catch (error) {
    // Another tab may have taken the lock away: what runs goes on all the same.
    if (running) return running;
    if (!waiting.signal.aborted) throw error;
  }
  return locks.request(name, { steal: true }, work);
}

/**
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
function queued(name, work) {
  const before = QUEUES.get(name) ?? Promise.resolve();
  const run = before.then(work, work);
  QUEUES.set(name, run.catch(() => {}));
  return run;
}
