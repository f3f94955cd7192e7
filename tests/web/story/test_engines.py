"""The story in WebKit and Firefox: shop and phone beside each other, the QR code read from a picture."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from tests.examples.shop import MovingClock, Shop, shop
from tests.harness import Service
from tests.web import serving
from tests.web.conftest import engines
from tests.web.engines import Browser, Tab
from tests.web.story.acting import PASSWORD, before
from tests.web.test_setting_up import on, set_up

pytestmark = pytest.mark.slow
PATIENCE = 30
# Gives a file to the scanner, as a person who chooses one does.
_CHOOSE = """
const bytes = Uint8Array.from(atob(args[0]), each => each.charCodeAt(0));
const chosen = new DataTransfer();
chosen.items.add(new File([bytes], 'screen.png', {type: 'image/png'}));
const input = document.querySelector('input[type=file]');
input.files = chosen.files;
input.dispatchEvent(new Event('change'));
return true;
"""


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def installed(sqlite_url: str, clock: MovingClock, random: Any) -> AsyncIterator[tuple[Service, str]]:
    """A service, and the origin of its gateway."""
    service = Service.on(sqlite_url, clock, random)
    async with before(service) as origin:
        yield service, origin


# What a person does in the elements of the shop, whose fields are in shadow trees.
_TYPE_CODE = """
const form = document.querySelector('authy-enroll').shadowRoot.querySelector('form');
form.elements.code.value = args[0];
form.requestSubmit();
return true;
"""
_NEW_CODE = """
const code = document.querySelector('.code')?.textContent.replace(/\\D/g, '');
return code !== args[0] && code;
"""
_NUMBER = """
const asking = document.querySelector('authy-approval[state=pending]');
const shown = asking?.shadowRoot.querySelector('[part=number]');
return shown?.textContent.replace(/\\D/g, '');
"""


async def once(tab: Tab, source: str, *args: Any) -> Any:
    """What JavaScript answers, as soon as that is something."""
    async with asyncio.timeout(PATIENCE):
        while not (told := await tab.run(source, *args)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return told


async def photographed(site: Tab) -> bytes:
    """A picture of the shop's page once its QR code can be read."""
    await once(site, "return document.querySelector('authy-enroll[state=pending]') !== null")
    # WebKit tells of a page before it has painted it.
    async with asyncio.timeout(PATIENCE):
        while not _shows_a_code(shot := await site.picture()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return shot


def _shows_a_code(shot: bytes) -> bool:
    with Image.open(io.BytesIO(shot)) as image:
        return bool(zxingcpp.read_barcodes(image.convert("L")))


async def front(tab: Tab) -> Tab:
    """Bring a tab to the front: one that is hidden listens to nothing."""
    await tab.picture()
    return tab


async def form(site: Tab, address: str, *texts: str) -> None:
    """Fill the fields of a page of the shop in their order, and send it."""
    await site.open(address)
    for number, text in enumerate(texts, 1):
        await site.type(f".fields label:nth-of-type({number}) input", text)
    await site.press(".fields button")


async def switched_on(phone: Tab, site: Tab, books: Shop) -> str:
    """Sign up at the shop, scan its page, type the first code there, which is answered."""
    await form(site, f"{books.origin}/signup", "ada", PASSWORD)
    await on(site, "Security")
    await site.press("form[action='/security/start'] button")
    shot = await photographed(site)
    await phone.run("location.hash = '#/scan'; return true")
    await on(phone, "Scan")
    await phone.run(_CHOOSE, base64.b64encode(shot).decode())
    await on(phone, "Add this site?")
    await once(phone, "return document.querySelector('.actions .button.main')?.disabled === false")
    await phone.press(".actions .button.main")
    await on(phone, "Finish on northwind.example")
    code = await once(phone, "return document.querySelector('.check').textContent.replace(/\\D/g, '')")
    await once(
        await front(site), "return document.querySelector('authy-enroll[state=awaiting_code]') !== null"
    )
    await site.run(_TYPE_CODE, code)
    await on(site, "The second factor is on")
    await on(await front(phone), "Added")
    await phone.press(".actions .button.main")
    await on(phone, "Codes")
    return str(code)


async def approved(phone: Tab, site: Tab, books: Shop) -> None:
    """Log in by the number that the shop shows; its receipt is checked there."""
    await form(site, f"{books.origin}/login", "ada", PASSWORD)
    number = await once(site, _NUMBER)
    await once(await front(phone), "return document.querySelector('a[href^=\"#/ask/\"]') !== null")
    await phone.press('a[href^="#/ask/"]')
    await on(phone, "Northwind asks")
    await once(phone, "return document.querySelector('.key')?.disabled === false")
    for digit in number:
        await phone.press(f".keys .key:nth-child({11 if digit == '0' else digit})")
    await phone.press(".keys .key.go")
    await on(phone, "Approved")
    await on(await front(site), "Security")
    assert "By the key" in await site.run("return document.body.textContent")
    await phone.press(".actions .button.main")
    await on(phone, "Codes")


async def by_code(phone: Tab, site: Tab, books: Shop, used: str) -> None:
    """Log in by the code of the phone, once it is another than the one that was used."""
    await form(site, f"{books.origin}/login", "ada", PASSWORD)
    code = await once(await front(phone), _NEW_CODE, used)
    await site.type("input[name=code]", code)
    await site.press("form[action='/second/code'] button")
    await on(site, "Security")
    assert "soft token" in await site.run("return document.body.textContent")


@engines("webkit", "firefox")
async def test_the_story_beside_the_shop(
    window: Browser, installed: tuple[Service, str], tmp_path: Path, clock: MovingClock
) -> None:
    service, origin = installed
    async with shop(service, tmp_path) as books, window.tab() as phone, window.tab() as site:
        await set_up(phone, service, serving.Origin(origin))
        await phone.press(".button.main")
        await on(phone, "Ready")
        used = await switched_on(phone, site, books)
        # A code is taken once: the next one has begun by then. The phone hears of the time with the question.
        clock.turn(seconds=31)
        await approved(phone, site, books)
        await by_code(phone, site, books, used)
        assert await phone.run("return window.faults") == []
        # The control.
        await phone.run("try { document.body.innerHTML = '<i>x</i>' } catch {}")
        assert await once(phone, "return window.faults.length") > 0
