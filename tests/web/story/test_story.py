"""The whole story in Chromium: a shop's page and phones beside each other, the QR code read by a camera."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.examples.shop import MovingClock
from tests.harness import NUMBER, Service
from tests.web.staging import until
from tests.web.story.acting import PASSWORD, Person, World, world
from tests.web.test_setting_up import sent

pytestmark = pytest.mark.slow


@pytest.fixture
def clock() -> MovingClock:
    made = MovingClock()
    # It is turned twice, and stays within what a browser's own clock may be off.
    made.turn(seconds=-45)
    return made


@pytest.fixture
async def stage(sqlite_url: str, clock: MovingClock, random: Any, tmp_path: Path) -> AsyncIterator[World]:
    async with world(Service.on(sqlite_url, clock, random), tmp_path) as running:
        yield running


async def switched_on(stage: World, phone: Person, site: Person) -> None:
    """Sign up at the shop, scan its code, type the first code there."""
    await site.page.goto(f"{stage.books.origin}/signup")
    await site.type("Name", "ada")
    await site.type("Password", PASSWORD)
    await site.press("Sign up")
    await site.on("Security")
    await site.press("Switch on")
    await site.page.locator("authy-enroll[state=pending] img[part=image]").wait_for()
    await stage.show(site.page)
    await phone.page.get_by_role("link", name="Scan").first.click()
    await phone.on("Add this site?")
    await phone.says("Only go on if you have")
    assert "/e/" not in phone.page.url
    await site.says("Seen. Go on on your phone.")
    await phone.press("Yes, I have it open: add it")
    await phone.on("Finish on northwind.example")
    await site.type("Code", await phone.code())
    await site.press("Confirm")
    await site.on("The second factor is on")
    await phone.on("Added")
    await phone.press("Done")
    await phone.on("Codes")


async def logging_in(stage: World, site: Person) -> str:
    """Log out, and in again by the password: the number that the shop shows then."""
    await site.page.goto(f"{stage.books.origin}/")
    leave = site.page.get_by_role("button", name="Log out")
    if await leave.count():
        await leave.click()
    await site.page.goto(f"{stage.books.origin}/login")
    await site.type("Name", "ada")
    await site.type("Password", PASSWORD)
    await site.press("Log in")
    return await number(site)


async def number(site: Person) -> str:
    """The number that the shop's page shows."""
    shown = site.page.locator("authy-approval[state=pending] [part=number]")
    await shown.wait_for()
    return re.sub(r"\D", "", await shown.inner_text())


async def asked(phone: Person) -> None:
    """Open the question."""
    await phone.press("Look at it", "link")
    await phone.on("Northwind asks")


async def wrong_and_right(stage: World, phone: Person, site: Person) -> None:
    """A wrong number has tries left, the right one lets in."""
    # A code is taken once: the next one has begun by then. The phone hears of the time with the question.
    stage.service.clock.turn(seconds=31)
    shown = await logging_in(stage, site)
    await asked(phone)
    await phone.digits(f"{(int(shown) + 1) % 10 ** len(shown):0{len(shown)}}")
    await phone.press("Approve")
    await phone.says("That is not the number on the page. 2 tries left.")
    await phone.page.keyboard.type(shown)
    await phone.picture("question")
    await phone.press("Approve")
    await phone.on("Approved")
    await phone.press("Done")
    await site.on("Security")
    await site.says("By the key")


async def denied_and_reported(stage: World, phone: Person, site: Person) -> None:
    """Deny lets nobody in; "it was not me" is told to the shop."""
    await logging_in(stage, site)
    await asked(phone)
    await phone.press("Deny: I changed my mind")
    await phone.on("Denied")
    await site.says("Refused on the phone.")
    await phone.press("Done")
    await logging_in(stage, site)
    await asked(phone)
    await phone.press("It was not me")
    await phone.press("Yes, it was not me")
    await phone.on("Reported")
    await site.says("Reported. Change your password.")
    await phone.press("Done")


async def by_code(stage: World, phone: Person, site: Person) -> None:
    """The code of the card is that of pyotp, and lets in."""
    code = await phone.code()
    assert code in await codes(stage, phone)
    await site.page.goto(f"{stage.books.origin}/second")
    await use(site, code)
    await site.on("Security")


async def backup_codes(site: Person) -> list[str]:
    """The codes that the shop shows once."""
    await site.press("Show my backup codes")
    await site.on("Your backup codes")
    shown = await site.page.locator("ul.codes code").all_inner_texts()
    await site.press("I have them", "link")
    await site.on("Security")
    return shown


async def use(site: Person, code: str) -> None:
    """Type a code at the shop."""
    await site.page.locator("input[name=code]").fill(code)
    await site.press("Use this code")


async def by_text(stage: World, site: Person) -> None:
    """A code is texted to a number that the shop does not know, and lets in."""
    before = len(stage.service.carrier.texts)
    await logging_in(stage, site)
    await site.press("Text me a code")
    await site.says("A code is on its way to your phone.")
    await use(site, await sent(stage.service, before))
    await site.on("Security")
    await site.says("sms")


async def by_backup_code(stage: World, site: Person, code: str) -> None:
    """A backup code lets in, and does so once."""
    await logging_in(stage, site)
    await use(site, code)
    await site.on("Security")
    await site.says("backup code")
    await logging_in(stage, site)
    await use(site, code)
    await site.says("That is not the code.")


async def switched_off(stage: World, phone: Person, site: Person) -> None:
    """The shop switches off by an answer of the phone, which drops it; what the shop knows is little."""
    await site.page.goto(f"{stage.books.origin}/security")
    await site.press("Switch off")
    shown = await number(site)
    await asked(phone)
    await phone.says("Switch off the second factor")
    await phone.page.locator(".key:not([disabled])").first.wait_for()
    await phone.page.keyboard.type(shown)
    await phone.press("Approve")
    await phone.on("Approved")
    await site.on("Switch off the second factor?")
    await site.press("Yes, switch it off")
    await site.on("Security")
    await site.press("Switch on")
    await site.page.locator("authy-enroll[state=pending]").wait_for()
    await phone.press("Done")
    await phone.says("No sites yet")
    await site.page.goto(f"{stage.books.origin}/security/about")
    known = await site.page.locator("pre").inner_text()
    assert '"authy_id": null' in known and '"keys": []' in known
    assert NUMBER not in known and NUMBER.removeprefix("+49") not in known


async def codes(stage: World, phone: Person) -> set[str]:
    """The codes of about now, by pyotp and the service's own secret."""
    device, site = await phone.page.evaluate(
        """async () => {
          const {open} = await import('/app/core/vault.js');
          const vault = open();
          const [{deviceId}, [{siteId}]] = [await vault.get('device', 'current'), await vault.all('sites')];
          return [deviceId, siteId];
        }"""
    )
    totp = await stage.seed(device, site)
    now = int(stage.service.clock.now.timestamp())
    return {totp.at(now + 30 * step) for step in (-1, 0, 1)}


async def offline(stage: World, phone: Person) -> None:
    """Without a network the page starts, says so, and has codes."""
    await until(phone.page, "navigator.serviceWorker.controller !== null")
    await phone.context.set_offline(True)
    await phone.says("No connection. Codes work; questions do not arrive.")
    assert await phone.code() in await codes(stage, phone)
    await phone.context.set_offline(False)


async def second_device(stage: World, phone: Person, tablet: Person) -> None:
    """A second device waits, is let in by its six digits on the first one, and is put out again."""
    # No two texts in a minute.
    stage.service.clock.turn(seconds=50)
    await stage.set_up(tablet, "Tablet")
    await tablet.on("Is this account yours?")
    await tablet.press("Yes, it is mine")
    await tablet.on("This device must wait")
    await phone.says("A device wants in")
    await phone.picture("alarm")
    assert await stage.seen() is False
    await phone.press("A device wants in", "link")
    await phone.on("Devices")
    await phone.press("Look at it", "link")
    await phone.on("A device wants in")
    async with asyncio.timeout(20):
        while not await stage.seen():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await phone.picture("wants-in")
    check = await tablet.code()
    await phone.digits(f"{(int(check) + 1) % 1_000_000:06}")
    await phone.press("Let it in")
    await phone.says("Those are not the digits it shows. Nothing was let in.")
    await phone.digits(check)
    await phone.press("Let it in")
    await phone.on("Let in")
    await phone.press("Done")
    await tablet.on("Codes")
    await tablet.press("Use it on this device")
    await tablet.page.locator("code-card .code").wait_for()
    assert await tablet.code() in await codes(stage, tablet)
    assert await tablet.code() != await phone_code(phone)


async def put_out(phone: Person) -> None:
    """The first device removes the second."""
    await phone.press("Devices", "link")
    await phone.page.get_by_role("link", name="Tablet").click()
    await phone.press("Remove it")
    await phone.page.locator(".card.danger").get_by_role("button", name="Remove it").click()
    await phone.on("Devices")
    await phone.says("Removed in the last 30 days")


async def phone_code(phone: Person) -> str:
    """The code on the first screen."""
    await phone.press("Codes", "link")
    await phone.on("Codes")
    return await phone.code()


async def sees_itself_removed(tablet: Person) -> None:
    """The screen of a device that was put out. The browser writes of each refused call to its console."""
    await tablet.on("This device was removed")
    await tablet.says("Its keys count no more.")
    await tablet.picture("removed")
    tablet.said[:] = [line for line in tablet.said if "401" not in line]


async def removed(stage: World, phone: Person, site: Person) -> None:
    """The phone drops the shop, which is told."""
    await site.page.goto(f"{stage.books.origin}/security")
    await phone.press("Northwind", "link")
    await phone.press("Remove this site")
    await phone.press("Remove it")
    await phone.says("No sites yet")
    await stage.service.due()
    await site.says("user.deleted")


async def test_the_whole_story(stage: World) -> None:
    async with stage.person("phone") as phone, stage.person("site", width=1280, height=720) as site:
        await stage.set_up(phone, "Pocket")
        await phone.on("Ready")
        await phone.press("Finish")
        await phone.on("Codes")
        await switched_on(stage, phone, site)
        await wrong_and_right(stage, phone, site)
        await denied_and_reported(stage, phone, site)
        await by_code(stage, phone, site)
        await offline(stage, phone)
        async with stage.person("tablet", width=820, height=1180) as tablet:
            await second_device(stage, phone, tablet)
            await put_out(phone)
            await sees_itself_removed(tablet)
        await phone.press("Codes", "link")
        await removed(stage, phone, site)
        # The control: what a page blocks or says is heard.
        async with phone.page.expect_console_message(lambda said: "blocked: " in said.text):
            await phone.page.evaluate("try { document.body.innerHTML = '<i>x</i>' } catch {}")
        assert phone.said
        phone.said.clear()


@pytest.mark.web
async def test_what_else_opens_the_shop(stage: World) -> None:
    async with stage.person("phone") as phone, stage.person("site", width=1280, height=720) as site:
        await stage.set_up(phone, "Pocket")
        await phone.on("Ready")
        await phone.press("Finish")
        await phone.on("Codes")
        await switched_on(stage, phone, site)
        spare = await backup_codes(site)
        await by_text(stage, site)
        await by_backup_code(stage, site, spare[0])
        await use(site, spare[1])
        await site.on("Security")
        await switched_off(stage, phone, site)
