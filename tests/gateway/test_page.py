"""The page at `/docs` in a real Chromium: what a search shows, and the calls on a small screen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.app import build
from tests.gateway.asking import serving, settings
from tests.gateway.everything import echo
from tests.gateway.test_browser import window

if TYPE_CHECKING:
    from playwright.async_api import Page

WIDE, PHONE = 1280, 390

pytestmark = pytest.mark.slow


CALL = "details.operation:visible"


@asynccontextmanager
async def shown(width: int) -> AsyncIterator["Page"]:
    """The page, as a screen of this width shows it."""
    async with echo() as channel, serving(build(channel, settings())) as port, window() as opened:
        page = await opened.new_page()
        await page.set_viewport_size({"width": width, "height": 800})
        # "/" leads there too.
        await page.goto(f"http://127.0.0.1:{port}/")
        await page.wait_for_selector("main:not([aria-busy])")
        yield page


async def test_a_search_says_that_it_found_nothing() -> None:
    async with shown(WIDE) as page:
        assert page.url.endswith("/docs")
        said = page.get_by_role("status")
        every = await page.locator(CALL).count()
        await page.fill("#search", "verifyCode")
        assert 0 < await page.locator(CALL).count() < every
        assert await said.inner_text() == ""
        await page.fill("#search", "nosuchword")
        assert await page.locator(CALL).count() == 0
        assert await said.inner_text() == "Nothing found." and await said.is_visible()
        await page.fill("#search", "")
        assert await page.locator(CALL).count() == every
        assert await said.inner_text() == ""


async def test_the_list_of_calls_is_there_on_every_screen() -> None:
    async with shown(WIDE) as page:
        link = page.get_by_role("navigation").get_by_text("Verify code")
        assert await link.is_visible()
        await page.set_viewport_size({"width": PHONE, "height": 800})
        await link.wait_for(state="hidden")
    async with shown(PHONE) as page:
        link = page.get_by_role("navigation").get_by_text("Verify code")
        assert not await link.is_visible()
        await page.get_by_role("navigation").get_by_text("Calls").click()
        await link.click()
        await page.locator("#VerifyCode[open]").wait_for()
        assert not await link.is_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE
