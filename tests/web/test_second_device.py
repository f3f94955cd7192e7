"""A device wants in, with a real service: its alarm is acknowledged, and ends by digits or a refusal."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from authy_grpc.v1.account_pb2 import Device, DeviceState
from tests.harness import Service
from tests.web import serving
from tests.web.conftest import engines
from tests.web.engines import Browser, Tab
from tests.web.test_setting_up import PATIENCE, on, set_up

if TYPE_CHECKING:
    from authy_grpc.phone import Phone

pytestmark = pytest.mark.slow
DAY = 86_400
REVOKED = DeviceState.DEVICE_STATE_REVOKED
LAST = "return document.querySelector('.tabular').textContent.replace(/[^0-9]/g, '').slice(-4)"
DELETE = "document.querySelectorAll('button.row.danger')[1].click(); return true"
SURE = "document.querySelectorAll('.confirm')[1].querySelectorAll('.button')[1].click(); return true"
TEXT = "return document.querySelector(args[0])?.textContent ?? ''"


async def shows(tab: Tab, place: str, words: str) -> None:
    """Wait until an element says something."""
    seen = ""
    try:
        async with asyncio.timeout(PATIENCE):
            while words not in (seen := await tab.run(TEXT, place)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{place} says {seen!r}") from None


async def own(phone: "Phone") -> Device:
    """What the service says of a phone to itself."""
    return next(each for each in await phone.devices() if each.current)


async def alarmed(tab: Tab, service: Service, name: str) -> "Phone":
    """Another phone of the number, and the screen of its alarm."""
    service.clock.turn(minutes=2)
    phone = await service.phone(name=name)
    await shows(tab, "#urgent", name)
    assert await tab.run("return document.querySelector('.tab .dot') !== null")
    await tab.run("location.hash = '#/devices'; return true")
    await shows(tab, ".card.danger", name)
    await tab.press(".card.danger .button.main")
    await on(tab, "A device wants in")
    return phone


async def ready(tab: Tab, service: Service, gateway: serving.Origin) -> None:
    """Set up a first device."""
    await set_up(tab, service, gateway)
    await tab.press(".button.main")
    await on(tab, "Ready")


@engines("chromium")
async def test_an_alarm_arrives_and_is_answered(
    window: Browser, service: Service, gateway: serving.Origin
) -> None:
    async with window.tab() as tab:
        await ready(tab, service, gateway)
        await tab.press(".actions .button.main")
        await on(tab, "Codes")

        pixel = await alarmed(tab, service, "Pixel 9")
        # Seven days until its owner has seen it, then one.
        async with asyncio.timeout(PATIENCE):
            while (held := await own(pixel)).release_time.seconds - held.create_time.seconds > 2 * DAY:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert held.state == DeviceState.DEVICE_STATE_HELD
        wrong = f"{(int(held.check) + 1) % 1_000_000:06}"
        for digits, heading in ((wrong, "A device wants in"), (held.check, "Let in")):
            await tab.run("for (const key of args[0]) document.querySelector('digit-pad').type(key)", digits)
            await tab.press(".key.go")
            if digits == wrong:
                await shows(tab, ".wrong-digits", "not the digits")
            await on(tab, heading)
        assert (await own(pixel)).state == DeviceState.DEVICE_STATE_ACTIVE

        await alarmed(tab, service, "Thief")
        await tab.press(".button.danger")
        await on(tab, "Refused")
        await shows(tab, ".lead", "ask your carrier")
        assert [each.name for each in await pixel.devices() if each.state == REVOKED] == ["Thief"]

        await tab.run("location.hash = '#/activity'; return true")
        await shows(tab, "x-screen", "You let a device in: Pixel 9.")
        await shows(tab, "x-screen", "A device was refused: Thief.")
        assert await tab.run("return document.querySelector('.tab .dot')") is None
        assert await tab.run("return window.faults") == []


@engines("chromium")
async def test_settings_are_the_accounts_and_the_account_ends_here(
    window: Browser, service: Service, gateway: serving.Origin
) -> None:
    async with window.tab() as tab:
        await ready(tab, service, gateway)
        await tab.run("location.hash = '#/devices'; return true")
        await shows(tab, "x-screen", "this one")
        await tab.run("document.querySelector('input[value$=DENY]').click(); return true")
        await shows(tab, "x-screen", "Saved.")
        await tab.run("location.hash = '#/settings'; return true")
        await shows(tab, "x-screen", "+49")
        await tab.press(".switch")
        await shows(tab, "x-screen", "Saved.")
        digits = await tab.run(LAST)
        await tab.run(DELETE)
        await tab.type(".confirm input", digits)
        await tab.run(SURE)
        await on(tab, "Authenticator")
        assert await tab.run("return window.faults") == []
