"""Every screen in each state: axe, sideways scrolling, console, both themes and languages, pictures."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import pytest_asyncio

from tests.web import screens_foreign
from tests.web.screens import SCREENS
from tests.web.staging import Screen, Stage, stage, violations

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.web, pytest.mark.asyncio(loop_scope="module")]
# The last is the one that axe looks at.
WIDTHS = (320, 1280, 390)
_STILL = """Promise.all([...document.getAnimations().map(each => each.finished.catch(() => null)),
  new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))])"""
# Fields whose text a browser writes to its disk, to restore them after a crash. Autofill asks for a number.
_KEPT = """[...document.querySelectorAll('input, textarea')].filter(each =>
  !['password', 'checkbox', 'radio', 'file', 'hidden'].includes(each.type) && !each.readOnly
  && !['off', 'one-time-code', 'tel-national'].includes(each.autocomplete)
  || each.localName === 'textarea').map(each => each.outerHTML)"""
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def staged() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


@pytest.mark.parametrize("screen", [*SCREENS, *screens_foreign.SCREENS], ids=lambda screen: screen.name)
async def test_a_screen_is_accessible_and_fits(staged: Stage, screen: Screen) -> None:
    async with staged.page() as page:
        await staged.show(page, screen)
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 844})
                await picture(page, f"{screen.name}-{width}-{theme}")
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, width
            assert await settled(page) == [], theme
        assert await page.evaluate(_KEPT) == []
        heading = await page.locator("h1").inner_text()
        assert heading and (not screen.title or heading == screen.title)
        await page.evaluate("document.documentElement.style.fontSize = '200%'")
        # Anew: Chromium lays out only a part of what is there by a new size.
        await staged.show(page, screen)
        await picture(page, f"{screen.name}-390-large")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, "200 % text"
        await page.evaluate("document.documentElement.style.fontSize = ''")
        await page.set_viewport_size({"width": 320, "height": 844})
        for language in ("de", "pseudo"):
            await staged.show(page, screen, language=language)
            await picture(page, f"{screen.name}-320-{language}")
            assert await page.evaluate("document.documentElement.scrollWidth") <= 320, language


async def settled(page: "Page") -> list[str]:
    """What axe finds once colours stand still: another theme, or a button that opens, takes a moment."""
    for _ in range(10):
        if not (found := await violations(page)):
            return found
        await page.evaluate(_STILL)
    return found


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
        assert len(await page.evaluate(_KEPT)) == 1
        await page.evaluate("document.querySelector('form').style.width = '400px'")
        assert await page.evaluate("document.documentElement.scrollWidth") > 320
