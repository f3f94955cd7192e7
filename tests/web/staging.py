"""Shows single screens of the web authenticator in Chromium, under its real policy, with a fake service."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import web
from gateway.server import HttpServer
from gateway.web.files import FOLDER
from tests.databases import unavailable
from tests.web.engines import Tab

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

STAGE, LOAD = (Path(__file__).with_name(name).read_text() for name in ("stage.js", "load.js"))
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
# WCAG 2.0 to 2.2, A and AA.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_PATIENCE = 60.0


@dataclass
class Screen:
    """One screen in one state.

    Attributes:
        name: of its picture.
        view: file in `view/`, such as `codes`.
        params: of its address.
        given: what the app has: `store`, `device`, `api` and other members, by stage.js.
        then: JavaScript that brings it into the state, such as a click; it may await.
        title: what its h1 says, in English; empty: it has one.
    """

    name: str
    view: str
    params: dict[str, str] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    then: str = ""
    title: str = ""


@dataclass
class Stage:
    """A browser, and an empty page of the app."""

    browser: "Browser"
    address: str

    @asynccontextmanager
    async def page(self, width: int = 390, *, dark: bool = False, height: int = 844) -> AsyncIterator["Page"]:
        """A page that fails the test by whatever it says in its console, or throws."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            device_scale_factor=2,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Paris",
        )
        page = await context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.goto(self.address)
        try:
            yield page
            assert not said, said
        finally:
            await context.close()

    async def show(self, page: "Page", screen: Screen, *, language: str = "en") -> None:
        """Show a screen in its state."""
        await page.evaluate(f"({STAGE})({json.dumps(_given(screen, language))})")
        if screen.then:
            await page.evaluate(f"(async () => {{ {screen.then} }})()")


async def show_in(tab: Tab, screen: Screen) -> None:
    """Show a screen in its state, in a tab of any engine on a page of `pages`."""
    # Drivers cannot all import by themselves what they run.
    await tab.run(f"await ({STAGE.replace('import(', 'load(')})(args[0]); return true", _given(screen, "en"))
    if screen.then:
        await tab.run(f"{screen.then}; return true")


def _given(screen: Screen, language: str) -> dict[str, Any]:
    return {**screen.given, "view": screen.view, "params": screen.params, "language": language}


async def until(page: "Page", condition: str) -> None:
    """Wait for an expression to be true. Playwright's own way is by `eval`, which the policy forbids."""
    async with asyncio.timeout(_PATIENCE):
        await page.evaluate(
            "async () => {"
            f" while (!(await ({condition}))) await new Promise(done => setTimeout(done, 20));"
            "}"
        )


async def violations(page: "Page") -> list[str]:
    """What axe finds: rule, and where."""
    if not AXE.is_file():
        unavailable("axe-core is not installed: npm ci in gateway/web")
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("async tags => (await axe.run({runOnly: tags})).violations", RULES)
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


async def _shown(_: Request) -> Response:
    page = (FOLDER / "app" / "index.html").read_text()
    script = '<script type="module" src="early.js"></script>\n<script type="module" src="main.js"></script>\n'
    assert script in page
    loads = page.replace(script, '<script type="module" src="load.js"></script>')
    return Response(loads, media_type="text/html", headers=web.APP_HEADERS)


async def _load(_: Request) -> Response:
    return Response(LOAD, media_type="text/javascript")


@asynccontextmanager
async def pages() -> AsyncIterator[str]:
    """A server with the app's files, and an empty page of it: its address."""
    own = [Route("/app/stage.html", _shown), Route("/app/load.js", _load)]
    server = HttpServer(Starlette(routes=[*own, *web.pages("")]), "127.0.0.1:0", grace=1)
    port = await server.start()
    try:
        yield f"http://127.0.0.1:{port}/app/stage.html"
    finally:
        await server.stop()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A browser beside a server with the app's files."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        program = None
    if program is None:
        unavailable("no browser: it needs Chromium (Debian's package chromium) and playwright")
    async with pages() as address, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--disable-gpu"])
        yield Stage(browser, address)
        await browser.close()
