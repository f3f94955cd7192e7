"""A person sets up the web authenticator by its screens, with a real service: number, code, name, account."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.harness import NUMBER, Service
from tests.web import serving
from tests.web.conftest import engines
from tests.web.engines import Browser, Tab

PATIENCE = 30
HEADING = "return document.querySelector('h1')?.textContent ?? ''"
# What a page says in its console or throws is a fault.
WATCH = """
window.faults = [];
addEventListener('error', event => faults.push(String(event.message)));
addEventListener('unhandledrejection', event => faults.push(String(event.reason?.stack ?? event.reason)));
document.addEventListener('securitypolicyviolation', event => faults.push(event.violatedDirective));
return true;
"""

ALERTS = "return [...document.querySelectorAll('[role=alert]')].map(each => each.textContent).join('')"


async def on(tab: Tab, heading: str) -> None:
    """Wait for a screen."""
    seen = ""
    try:
        async with asyncio.timeout(PATIENCE):
            while (seen := await tab.run(HEADING)) != heading:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        wrong = await tab.run(ALERTS)
        raise AssertionError(f"{seen!r} stands there: {wrong}") from None


async def sent(service: Service, before: int) -> str:
    """The code in the next text."""
    async with asyncio.timeout(20):
        while len(service.carrier.texts) <= before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return await service.text_code()


async def set_up(tab: Tab, service: Service, origin: serving.Origin, fragment: str = "") -> None:
    """As far as the name of the device."""
    await tab.open(f"{origin.url}/app/{fragment}")
    await tab.run(WATCH)
    if fragment:
        await on(tab, "Is the authenticator already on this phone?")
        await tab.press(".button.main")
    await on(tab, "Authenticator")
    before = len(service.carrier.texts)
    await tab.run("document.querySelector('select').value = 'DE'; return true")
    await tab.type("input[type=tel]", "0" + NUMBER.removeprefix("+49"))
    await tab.press(".button.main")
    await on(tab, "Check your phone")
    await tab.type("input", await sent(service, before))
    await tab.press(".button.main")
    await on(tab, "Name this device")
    assert (await tab.run("return document.querySelector('input').value")).endswith("on Linux")


@pytest.fixture
async def phone(window: Browser, gateway: serving.Origin) -> AsyncIterator[Tab]:
    async with window.tab() as opened:
        yield opened


@engines()
async def test_a_number_a_code_and_a_name_make_a_device(
    phone: Tab, service: Service, gateway: serving.Origin
) -> None:
    await set_up(phone, service, gateway)
    await phone.press(".button.main")
    await on(phone, "Ready")
    assert await phone.run("return window.faults") == []


@engines("chromium")
async def test_a_wrong_code_comes_back_to_its_field(
    phone: Tab, service: Service, gateway: serving.Origin
) -> None:
    await phone.open(f"{gateway.url}/app/")
    await on(phone, "Authenticator")
    await phone.run("document.querySelector('select').value = 'DE'; return true")
    await phone.type("input[type=tel]", "0" + NUMBER.removeprefix("+49"))
    await phone.press(".button.main")
    await on(phone, "Check your phone")
    code = await sent(service, 0)
    await phone.type("input", f"{(int(code) + 1) % 1_000_000:06}")
    await phone.press(".button.main")
    await on(phone, "Name this device")
    await phone.press(".button.main")
    await on(phone, "Check your phone")
    assert "not the code" in await phone.run("return document.querySelector('.wrong').textContent")
    # A page loaded anew goes on where it was.
    await phone.open(f"{gateway.url}/app/")
    await on(phone, "Check your phone")
    await phone.type("input", code)
    await phone.press(".button.main")
    await on(phone, "Name this device")
    await phone.press(".button.main")
    await on(phone, "Ready")


@engines("chromium")
async def test_a_second_device_waits_with_its_digits_or_begins_anew(
    phone: Tab, service: Service, gateway: serving.Origin
) -> None:
    await service.phone()
    service.clock.turn(minutes=2)
    await set_up(phone, service, gateway)
    await phone.press(".button.main")
    await on(phone, "Is this account yours?")
    assert "1 device" in await phone.run("return document.querySelector('.lead').textContent")
    await phone.press(".button.main")
    await on(phone, "This device must wait")
    digits = re.sub(r"\D", "", await phone.run("return document.querySelector('.check.big').textContent"))
    assert len(digits) == 6
    await phone.run("location.hash = '#/codes'; return true")
    await on(phone, "This device must wait")
    await phone.run("location.hash = '#/whose'; return true")
    await on(phone, "Is this account yours?")
    before = len(service.carrier.texts)
    service.clock.turn(minutes=2)
    await phone.press(".actions .button.quiet")
    await phone.press(".card .button.main")
    await on(phone, "Check your phone")
    await phone.type("input", await sent(service, before))
    await phone.press(".button.main")
    await on(phone, "Name this device")
    await phone.press(".button.main")
    # The service opens no empty account for a number that has one: that is said, and nobody is let in.
    async with asyncio.timeout(PATIENCE):
        while "empty account" not in await phone.run(ALERTS):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert await phone.run("return window.faults") == []


@engines("chromium")
async def test_a_link_waits_while_one_sets_up(phone: Tab, service: Service, gateway: serving.Origin) -> None:
    token = "AAAAAAAAAAAAAAAAAAAAAA"
    await set_up(phone, service, gateway, f"#/e/{token}")
    assert token not in await phone.run("return location.href")
    # Opened again meanwhile, it leads back to where one is.
    await phone.run("location.hash = args[0]; return true", f"#/e/{token}")
    await on(phone, "Check your phone")
    await phone.run("history.replaceState(null, '', '#/name'); return true")
    await phone.type("input", await service.text_code())
    await phone.press(".button.main")
    await on(phone, "Name this device")
    await phone.press(".button.main")
    await on(phone, "Ready")
    assert "One site waits" in await phone.run("return document.querySelector('.lead').textContent")


@engines("chromium")
async def test_it_starts_without_the_service(
    phone: Tab, window: Browser, service: Service, gateway: serving.Origin
) -> None:
    await set_up(phone, service, gateway)
    await phone.press(".button.main")
    await on(phone, "Ready")
    await phone.press(".button.main")
    await on(phone, "Codes")
    assert await phone.run("return window.faults") == []
    ready = "return (await navigator.serviceWorker.ready).active.state"
    assert await phone.run(ready) in ("activating", "activated")
    driver: Any = window.driver
    await window.do(driver.context.set_offline, True)
    try:
        await phone.open(f"{gateway.url}/app/")
        await on(phone, "Codes")
        assert "No connection" in await phone.run("return document.querySelector('.strip').textContent")
        # The control: without the worker there is no page.
        assert await phone.run("return fetch('/healthz').then(() => true, () => false)") is False
    finally:
        await window.do(driver.context.set_offline, False)
