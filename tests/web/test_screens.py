"""Every screen in each state: axe, sideways scrolling, console, both themes and languages, pictures."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.web.screens import SCREENS
from tests.web.staging import Screen, Stage, stage, violations

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.web, pytest.mark.asyncio(loop_scope="module")]
WIDTHS = (320, 390, 1280)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def staged() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)
async def test_a_screen_is_accessible_and_fits(staged: Stage, screen: Screen) -> None:
    for dark in (False, True):
        async with staged.page(dark=dark) as page:
            await staged.show(page, screen)
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 844})
                await picture(page, f"{screen.name}-{width}-{'dark' if dark else 'light'}")
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, width
                if width == 390 or not dark:
                    assert await violations(page) == [], width
            heading = await page.locator("h1").inner_text()
            assert heading and (not screen.title or heading == screen.title)
    async with staged.page(320) as page:
        await staged.show(page, screen, language="de")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        await picture(page, f"{screen.name}-320-de")


async def picture(page: "Page", name: str) -> None:
    """Keep a picture in AUTHY_TEST_PICTURES, where that is set."""
    if folder := os.environ.get("AUTHY_TEST_PICTURES"):
        await page.screenshot(path=str(Path(folder, f"{name}.png")))


async def test_what_is_wrong_is_found(staged: Stage) -> None:
    """The control: axe and the width see a screen that is bad."""
    async with staged.page(320) as page:
        await staged.show(page, SCREENS[0])
        assert await violations(page) == []
        await page.evaluate("document.querySelector('form').append(document.createElement('input'))")
        assert any(each.startswith("label:") for each in await violations(page))
        await page.evaluate("document.querySelector('form').style.width = '400px'")
        assert await page.evaluate("document.documentElement.scrollWidth") > 320
