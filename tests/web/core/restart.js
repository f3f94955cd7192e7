// Makes a device's keys, or finds those of an earlier start and uses them.
import { Vault } from '/app/core/vault.js';
import { fromBase64, toBase64, utf8 } from '/app/core/bytes.js';
import { agree, codeAt, makeDeviceKeys, makeSiteKey, sign, siteCodeKey } from '/app/core/keys.js';

export async function used(serverPoint) {
  const vault = new Vault('restart');
  const kept = await vault.get('device', 'current');
  if (!kept) {
    const { agreement, ...made } = await makeDeviceKeys();
    const base = await agree(agreement, fromBase64(serverPoint));
    const device = { ...made, base, deviceId: 'dev_1', serverPoint: fromBase64(serverPoint) };
    await vault.put('device', device, 'current');
    await vault.put('sites', { siteId: 'sit_1', ...(await makeSiteKey()) });
  }
  const device = await vault.get('device', 'current');
  const site = await vault.get('sites', 'sit_1');
  return {
    found: Boolean(kept),
    points: [device.signingPoint, site.point, device.agreementPoint].map(toBase64),
    signatures: [await sign(device.signing, utf8('again')), await sign(site.key, utf8('again'))].map(toBase64),
    code: await codeAt(await siteCodeKey(device, 'sit_1'), 1764000000, { digits: 6, period: 30 }),
  };
}

// A browser that nothing drives tells by itself.
if (location.hash) {
  const told = await used(decodeURIComponent(location.hash.slice(1))).catch((error) => ({ error: String(error) }));
  await fetch('/report', { method: 'POST', body: JSON.stringify(told) });
}
