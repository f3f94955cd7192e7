"""Northwind Books in a real Chromium beside the simulated phone: the story, and each page as it is seen."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.examples.shop import MovingClock, Shop, shop
from tests.gateway.test_browser import window
from tests.harness import Service
from tests.web.embedding import ASKED, PENDING, embedding
from tests.web.staging import AXE, RULES, violations
from tests.web.test_elements import ANSWERED, ENROLLED

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

pytestmark = pytest.mark.web
WIDTHS = (320, 390, 1280)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def books(service: Service, tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(service, tmp_path) as running:
        yield running


@asynccontextmanager
async def visited(context: "BrowserContext") -> AsyncIterator["Page"]:
    """A page whose console stays empty."""
    page, said = await context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    assert said == []


async def looked_at(page: "Page", name: str) -> None:
    """Look at a page in both themes and three widths: it fits, and axe finds nothing."""
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 844})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            if folder := os.environ.get("AUTHY_TEST_PICTURES"):
                shot = Path(folder, f"shop-{name}-{width}-{theme}.png")
                await page.screenshot(path=str(shot), full_page=True)
        assert await violations(page) == [], (name, theme)


async def test_the_story_of_the_shop(books: Shop, service: Service) -> None:
    phone = await service.phone()
    async with window() as context, visited(context) as page:
        await page.goto(books.origin)
        await looked_at(page, "home")
        await page.get_by_role("link", name="Sign up").click()
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill("correct horse")
        await looked_at(page, "sign-up")
        await page.get_by_role("button", name="Sign up").click()
        await page.get_by_role("heading", name="Security").wait_for()
        await looked_at(page, "security-off")

        await page.get_by_role("button", name="Switch on").click()
        link = page.get_by_role("link", name="I am on my phone")
        await link.wait_for()
        await looked_at(page, "enroll")
        # The QR code on the page is what the phone's camera sees.
        picture = await page.locator("authy-enroll").screenshot()
        offer = await phone.open(picture)
        assert offer.origin == books.site.application.origin
        await page.locator("authy-enroll[state=scanned]").wait_for()
        linked = await phone.accept(offer)
        await page.locator("authy-enroll[state=awaiting_code]").wait_for()
        await looked_at(page, "enroll-code")
        await page.get_by_role("textbox", name="Code").fill(await phone.code(linked))
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Show my backup codes").click()
        await page.get_by_text("shows them once").wait_for()
        await looked_at(page, "backup-codes")

        await page.get_by_role("link", name="I have them").click()
        await page.get_by_text("enrollment.completed").wait_for()
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_role("link", name="Log in").click()
        for password in ("wrong horse", "correct horse"):
            await page.get_by_label("Name").fill("ada")
            await page.get_by_label("Password").fill(password)
            await page.get_by_role("button", name="Log in").click()
            if password == "wrong horse":
                await page.get_by_role("status").get_by_text("do not match").wait_for()
                await looked_at(page, "wrong-password")
        number = page.locator("authy-approval").get_by_role("img")
        await number.wait_for()
        await looked_at(page, "second")
        shown = await number.inner_text()
        await page.reload()
        await number.wait_for()
        # The same question: the phone rings once.
        assert await number.inner_text() == shown
        await phone.approve(await phone.question(), shown.replace(" ", ""))
        await page.get_by_text("This is what we checked by ourselves").wait_for()
        await looked_at(page, "security-on")

        await page.get_by_role("link", name="Northwind Books").click()
        await page.get_by_role("button", name="Buy for 38 €: The Moth Atlas").click()
        await number.wait_for()
        await phone.deny(await phone.question())
        await page.get_by_text("Refused on the phone.").wait_for()
        await looked_at(page, "denied")
        await page.goto(f"{books.origin}/security/about")
        await looked_at(page, "about")
        await page.goto(f"{books.origin}/security/off")
        await looked_at(page, "off")


async def test_what_the_shop_refuses_is_a_page(books: Shop) -> None:
    async with window() as context:
        page = await context.new_page()
        await page.goto(f"{books.origin}/no/such/page")
        await page.get_by_role("heading", name="That did not work").wait_for()
        await looked_at(page, "refused")


async def test_every_state_of_the_elements_is_accessible() -> None:
    assert AXE.is_file() and RULES
    states: list[tuple[str, dict[str, Any], str]] = [
        *(("authy-enroll", PENDING, state) for state in ("", "scanned", "awaiting_code", *ENROLLED)),
        *(("authy-approval", ASKED, state) for state in ("", *ANSWERED)),
    ]
    async with window() as context:
        for element, begin, state in states:
            async with embedding(POST=begin) as site, visited(context) as page:
                await page.goto(site.page(element))
                await page.locator(f"{element}[state=pending]").wait_for()
                if state:
                    site.tell(state)
                    await page.locator(f"{element}[state={state}]").wait_for()
                await looked_at(page, f"{element}-{state or 'pending'}")
                await page.close()


async def test_axe_looks_into_the_elements() -> None:
    """The control."""
    async with embedding() as site, window() as context:
        page = await context.new_page()
        await page.goto(site.page())
        await page.locator("authy-enroll[state=pending]").wait_for()
        await page.evaluate("document.querySelector('authy-enroll').shadowRoot.querySelector('img').alt = ''")
        bad = "document.querySelector('authy-enroll').shadowRoot.append(document.createElement('input'))"
        await page.evaluate(bad)
        assert any(each.startswith("label:") for each in await violations(page))
