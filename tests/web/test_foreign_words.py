"""Markup and marks of direction in every foreign string of every screen: text, in an element of its own."""

from dataclasses import replace
from typing import Any

import pytest

from tests.web.conftest import engines
from tests.web.engines import Browser
from tests.web.screens import SCREENS
from tests.web.staging import Screen, pages, show_in

pytestmark = pytest.mark.web
EVIL = "<b class=evil>\u202e\u2067x"
# What comes from elsewhere, by the names that the app has for it.
FOREIGN = {"name", "siteName", "deviceName", "label", "message", "site", "issuer", "account"}
_SEEN = """() => {
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    if (texts.currentNode.data.includes('\\u202e')) found.push(texts.currentNode.parentElement);
  }
  return {
    bare: found.filter(each => !each.closest('bdi')).map(each => each.outerHTML),
    shown: found.length,
    made: document.querySelectorAll('.evil').length,
  };
}"""


def evil(given: Any, key: str = "") -> Any:
    """The same, with something evil in each string from elsewhere."""
    if isinstance(given, dict):
        return {name: evil(value, name) for name, value in given.items()}
    if isinstance(given, list):
        return [evil(each, key) for each in given]
    return f"{given} {EVIL}" if isinstance(given, str) and key in {*FOREIGN, "details"} else given


def foreign() -> list[Screen]:
    """The screens that show something from elsewhere, with something evil in it."""
    return [
        replace(screen, given=given) for screen in SCREENS if (given := evil(screen.given)) != screen.given
    ]


@engines()
async def test_what_comes_from_elsewhere_is_text_and_isolated(window: Browser) -> None:
    shown = 0
    async with pages() as address, window.tab(address) as tab:
        for screen in foreign():
            await show_in(tab, screen)
            told = await tab.run(f"return ({_SEEN})()")
            assert told["bare"] == [], screen.name
            assert told["made"] == 0, screen.name
            shown += told["shown"]
        assert shown >= 40
        # The control.
        await show_in(tab, SCREENS[0])
        await tab.run("document.querySelector('h1').append(args[0]); return true", EVIL)
        assert len((await tab.run(f"return ({_SEEN})()"))["bare"]) == 1
