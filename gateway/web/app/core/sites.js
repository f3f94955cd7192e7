// @ts-check
// Keeps sites and their keys in the vault: what ListSites last said, and the keys that a site is to know.

import { makeSiteKey } from './keys.js';

/** @typedef {import('./types').Site} Site */
/** @typedef {import('./types').SiteKey} SiteKey */
/** @typedef {import('./types').SiteRecord} SiteRecord */

// A site that ListSites leaves out keeps its key that long: the list may be older than the link.
const GONE_MILLIS = 3_600_000;

/** The sites of this browser, which show without network. Every method may throw a VaultError. */
export class KeptSites {
  #vault;

  /** @param {import('./vault.js').Vault} vault */
  constructor(vault) {
    this.#vault = vault;
  }

  /**
   * Learns what ListSites says.
   *
   * @param {Site[]} sites
   */
  async learn(sites) {
    const now = Date.now();
    await this.#vault.change(async (access) => {
      /** @type {SiteRecord[]} */
      const kept = await access.all('sites');
      const told = new Map(sites.map((site) => [site.siteId, site]));
      for (const record of kept) {
        const site = told.get(record.siteId);
        told.delete(record.siteId);
        const goneTime = record.goneTime || now;
        if (site) await access.put('sites', { ...record, site, goneTime: 0 });
        else if (goneTime < now - GONE_MILLIS) await access.delete('sites', record.siteId);
        else await access.put('sites', { ...record, goneTime });
      }
      for (const [siteId, site] of told) await access.put('sites', fresh(siteId, site));
    });
  }

  /** @returns {Promise<import('./types').KeptSite[]>} */
  async all() {
    /** @type {SiteRecord[]} */
    const kept = await this.#vault.all('sites');
    return kept
      .filter((record) => !record.goneTime)
      .map(({ site, pinned, usedTime }) => ({ ...site, pinned, usedTime }));
  }

  /**
   * Keeps what is this browser's alone.
   *
   * @param {string} siteId
   * @param {{pinned?: boolean, usedTime?: number}} values
   */
  async keep(siteId, values) {
    await this.#vault.change(async (access) => {
      const record = await access.get('sites', siteId);
      if (record) await access.put('sites', { ...record, ...values });
    });
  }

  /**
   * The key of a site, as receipts need it; null where it has none of this browser's.
   *
   * @param {string} siteId
   */
  async key(siteId) {
    /** @type {SiteRecord | undefined} */
    const record = await this.#vault.get('sites', siteId);
    return record?.key && record.kid ? { key: record.key, kid: record.kid } : null;
  }

  /**
   * The key to bring under a token or site_id: the same one until an answer comes.
   *
   * @param {string} name
   * @returns {Promise<SiteKey>}
   */
  async newKey(name) {
    const made = await makeSiteKey();
    return this.#vault.change(async (access) => {
      const kept = (await access.get('newKeys', name)) ?? (await access.get('sites', name));
      if (kept?.key) return kept;
      await access.put('newKeys', { name, ...made });
      return made;
    });
  }

  /**
   * Puts a site as the service has it, with the key that it has heard of.
   *
   * @param {string} name under which the key went out
   * @param {SiteKey | null} made
   * @param {Site} site
   */
  async put(name, made, site) {
    await this.#vault.change(async (access) => {
      const record = (await access.get('sites', site.siteId)) ?? fresh(site.siteId, site);
      const { key, point, kid } = made ?? record;
      await access.put('sites', { ...record, site, goneTime: 0, ...(key && { key, point, kid }) });
      if (made) await access.delete('newKeys', name);
    });
  }

  /**
   * Forgets a site and its key.
   *
   * @param {string} siteId
   */
  async forget(siteId) {
    await this.#vault.change(async (access) => {
      await Promise.all([access.delete('sites', siteId), access.delete('newKeys', siteId)]);
    });
  }
}

/**
 * @param {string} siteId
 * @param {Site} site
 * @returns {SiteRecord}
 */
function fresh(siteId, site) {
  return { siteId, site, pinned: false, usedTime: 0, goneTime: 0 };
}
