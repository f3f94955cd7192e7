"""The two elements of a site in WebKit and Firefox, under the strict policy of another site."""

import asyncio
from typing import Any

from tests.web.conftest import engines
from tests.web.embedding import ASKED, LINK, PENDING, embedding
from tests.web.engines import PATIENCE, Browser, Tab
from tests.web.test_elements import ANSWERED, ENROLLED

_INSIDE = "const inside = (query) => document.querySelector(element).shadowRoot?.querySelector(query);"
_SAYS = (
    "const [element, words] = args; const end = Date.now() + 60000;"
    + _INSIDE
    + """
    while (!inside('[role=status]')?.textContent.includes(words)) {
      if (Date.now() > end) throw new Error(inside('[role=status]')?.textContent);
      await new Promise((done) => setTimeout(done, 20));
    }"""
)
_TYPE = (
    "const [element, code] = args;"
    + _INSIDE
    + """
    const field = inside('input');
    field.value = code;
    field.form.requestSubmit();
    const end = Date.now() + 60000;
    while (inside('[role=alert]') && !inside('[role=alert]').textContent) {
      if (Date.now() > end) throw new Error('nothing is answered');
      await new Promise((done) => setTimeout(done, 20));
    }
    return inside('[role=alert]')?.textContent ?? '';"""
)


async def says(tab: Tab, element: str, words: str) -> None:
    """Wait until the element says this."""
    await tab.run(_SAYS, element, words)


async def inside(tab: Tab, element: str, query: str, name: str) -> Any:
    """A property of something inside the element."""
    look = f"const [element, query, name] = args; {_INSIDE} return inside(query)?.[name];"
    return await tab.run(look, element, query, name)


@engines("webkit", "firefox")
async def test_an_enrollment_from_the_code_to_its_end(window: Browser) -> None:
    element = "authy-enroll"
    async with embedding() as site, window.tab(site.page()) as tab:
        await says(tab, element, "Scan this code")
        loaded = (
            "const [element] = args; "
            + _INSIDE
            + "await inside('img').decode(); return inside('img').naturalWidth"
        )
        assert await tab.run(loaded, element) > 0
        assert await inside(tab, element, "a", "href") == LINK
        site.tell("scanned")
        await says(tab, element, "Seen.")
        assert await inside(tab, element, "img", "src") is None
        site.tell("awaiting_code")
        await says(tab, element, "Type the code")
        site.answers["POST /code"] = [{"error": "wrong", "left": 4}, {"state": "completed"}]
        assert "Tries left: 4" in await tab.run(_TYPE, element, "111111")
        assert await tab.run(_TYPE, element, "222222") == ""
        await says(tab, element, "Switched on.")
        assert await tab.run("return window.wrong") == []
        # The control: what the policy blocks is seen.
        await tab.run("try { document.body.innerHTML = '<i>x</i>' } catch {}")
        assert await tab.run("return window.wrong.length") == 1


@engines("webkit", "firefox")
async def test_each_end_is_said(window: Browser) -> None:
    for element, begin, ends in (("authy-enroll", PENDING, ENROLLED), ("authy-approval", ASKED, ANSWERED)):
        async with embedding(POST=begin) as site:
            for state, words in ends.items():
                async with window.tab(site.page(element)) as tab:
                    await says(tab, element, "number" if begin is ASKED else "Scan")
                    site.tell(state)
                    await says(tab, element, words)
                    assert await tab.run("return window.wrong") == []


@engines("webkit", "firefox")
async def test_an_approval_leads_where_the_site_says(window: Browser) -> None:
    element = "authy-approval"
    async with embedding(POST=ASKED) as site, window.tab(site.page(element)) as tab:
        await says(tab, element, "Type this number")
        assert await inside(tab, element, "[role=img]", "textContent") == "419 207"
        assert await inside(tab, element, "[role=img]", "ariaLabel") == "4 1 9 2 0 7"
        site.tell("approved", next="/in")
        async with asyncio.timeout(PATIENCE):
            await site.arrived.wait()
