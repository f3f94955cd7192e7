"""What the web authenticator keeps, where the browser's storage fails, grows older or is started anew."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from authy_grpc.domain import keys
from authy_grpc.phone.state import new_key
from tests.rushing import PATIENCE
from tests.web.conftest import engines
from tests.web.core.test_keys import b64
from tests.web.engines import Tab, browser, lone_webkit
from tests.web.serving import Origin

_OPEN = """
const {Vault, open} = await load('/app/core/vault.js');
const {Device} = await load('/app/core/device.js');
const faults = await load('/tests/core/faults.js');
const why = promise => promise.then(() => 'OK', error => error.reason ?? String(error));
"""


@engines()
async def test_the_probe_says_why_a_browser_keeps_no_keys(tab: Tab) -> None:
    async def probed(fault: str, how: str = "{}") -> Any:
        await tab.open(tab_address)
        return await tab.run(
            _OPEN
            + f"{fault}; const vault = new Vault('probe', {how});"
            + "return [await why(vault.probe()), await why(vault.put('settings', 'de', 'language'))];"
        )

    tab_address = await tab.run("return location.href")
    assert await probed("") == ["OK", "OK"]
    assert await tab.run(_OPEN + "return new Vault('probe').all('device')") == []
    assert await probed("faults.refuseKeys()") == ["KEYS_REFUSED", "OK"]
    assert await probed("faults.loseKeys()") == ["KEYS_REFUSED", "OK"]
    assert await probed("faults.fill()") == ["FULL", "FULL"]
    assert await probed("", "{factory: null}") == ["NO_STORAGE"] * 2
    assert await probed("", "{factory: faults.forbidden}") == ["NO_STORAGE"] * 2
    assert await probed("", "{factory: faults.silent, wait: 50}") == ["NO_STORAGE"] * 2


@engines()
async def test_a_connection_that_died_is_tried_once_more(tab: Tab) -> None:
    told = await tab.run(
        _OPEN
        + """
        await new Vault('dying').put('settings', 1, 'number');
        const once = new Vault('dying', {factory: faults.dying(1)});
        const first = await once.get('settings', 'number');
        const changed = new Vault('dying', {factory: faults.dying(1)});
        await changed.change(async access => {
          await access.put('settings', (await access.get('settings', 'number')) + 1, 'number');
        });
        const twice = await why(new Vault('dying', {factory: faults.dying()}).get('settings', 'number'));
        const vault = new Vault('dying');
        // What is thrown within a change undoes it, and is told as it is.
        const undone = await why(vault.change(async access => {
          await access.put('settings', 9, 'number');
          throw new RangeError('mine');
        }));
        return [first, twice, undone, await vault.get('settings', 'number')];
        """
    )
    assert told == [1, "LOST_CONNECTION", "RangeError: mine", 2]


@engines()
async def test_every_older_store_is_upgraded_and_loses_nothing(tab: Tab) -> None:
    told = await tab.run(
        _OPEN
        + """
        const {makeDeviceKeys} = await load('/app/core/keys.js');
        await faults.first('old', await makeDeviceKeys());
        const stores = ['device', 'sites', 'newKeys', 'accounts', 'logos', 'settings'];
        const counts = vault => Promise.all(stores.map(async each => (await vault.all(each)).length));
        const now = open('old');
        const read = [await counts(now), (await now.get('device', 'current')).name];
        // A version that is still to come, which adds a store and changes records.
        const later = [...now.steps, (db, transaction) => {
          db.createObjectStore('more');
          const sites = transaction.objectStore('sites');
          sites.getAll().onsuccess = ({target}) => {
            for (const each of target.result) sites.put({...each, rank: 7});
          };
        }];
        const broken = [...now.steps, (db, transaction) => {
          transaction.objectStore('sites').clear();
          db.deleteObjectStore('accounts');
          throw new Error('a fault of ours');
        }];
        const failed = await why(new Vault('old', {steps: broken}).all('sites'));
        const after = [await counts(open('old')), (await open('old').all('accounts'))[0].issuer];
        await faults.hold('old');
        const blocked = await why(new Vault('old', {steps: later, wait: 300}).all('sites'));
        window.held?.close();
        globalThis.held?.close();
        const next = new Vault('old', {steps: later});
        const upgraded = [await counts(next), (await next.all('sites'))[0].rank];
        return {read, failed, after, blocked, upgraded, newer: await why(open('old').all('sites'))};
        """
    )
    assert told == {
        "read": [[1] * 6, "Old"],
        "failed": "UPGRADE_FAILED",
        "after": [[1] * 6, "ACME"],
        "blocked": "BLOCKED",
        "upgraded": [[1] * 6, 7],
        "newer": "NEWER",
    }


@engines()
async def test_keys_that_are_gone_are_told_and_accounts_of_others_stay(tab: Tab) -> None:
    told = await tab.run(
        _OPEN
        + """
        const {Accounts} = await load('/app/core/accounts.js');
        const {parseOtpauth} = await load('/app/core/otpauth.js');
        const {makeDeviceKeys, agree} = await load('/app/core/keys.js');
        const vault = open('lost'), accounts = new Accounts(vault), states = [];
        const state = async () => states.push((await Device.load(vault)).state);
        await state();
        await accounts.add(parseOtpauth('otpauth://totp/x?secret=MFRGGZDFMZTWQ2LK'));
        const made = await makeDeviceKeys(), base = await agree(made.agreement, made.agreementPoint);
        const record = {...made, base, serverPoint: made.agreementPoint, deviceId: 'dev_1', name: 'Mine',
          state: 'active', limitedUntil: 0};
        await vault.put('device', record, 'current');
        await vault.put('settings', {deviceId: 'dev_1', name: 'Mine', seenTime: 0}, 'registered');
        await state();
        const seen = (await Device.load(vault)).seenTime;
        await vault.put('device', {...record, signing: null}, 'current');
        await state();
        await vault.put('device', {...record, base: made.signing}, 'current');
        await state();
        await vault.delete('device', 'current');
        await state();
        const lost = await Device.load(vault);
        const kept = [lost.name, lost.seenTime === seen, lost.can('register'), lost.can('codes'), lost.keys];
        await lost.forget();
        await state();
        return [states, seen > 0, kept, (await accounts.list()).length];
        """
    )
    states = ["none", "active", "lost", "lost", "lost", "none"]
    assert told == [states, True, ["Mine", True, True, False, None], 1]


@pytest.mark.slow
@engines()
async def test_keys_are_there_and_good_after_a_restart(engine: str, origin: Origin, tmp_path: Path) -> None:
    server = new_key()
    point = keys.public_point(server)
    starts = []
    if engine == "webkit":
        for _ in range(2):
            address = f"{origin.url}/tests/core/restart.html#{b64(point)}"
            with lone_webkit(tmp_path, address):
                async with asyncio.timeout(PATIENCE):
                    starts.append(await origin.reports.get())
    else:
        with browser(engine, tmp_path) as window:
            for again in (False, True):
                if again:
                    await window.restart()
                async with window.tab(origin.page) as tab:
                    used = "return (await load('/tests/core/restart.js')).used(args[0])"
                    starts.append(await tab.run(used, b64(point)))
    before, after = starts
    assert [before["found"], after["found"]] == [False, True]
    assert [before["points"], before["code"]] == [after["points"], after["code"]]
    for told in starts:
        for at, signature in zip(told["points"], told["signatures"], strict=False):
            keys.verify(base64.b64decode(at), b"again", base64.b64decode(signature))
