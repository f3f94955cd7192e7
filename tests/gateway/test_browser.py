"""Streams in a real Chromium: a page of another origin reads them by fetch, in tabs that are closed."""

import asyncio
import io
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from authy_grpc import logs
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest
from gateway.app import build
from gateway.channels import Channels
from gateway.server import HttpServer
from tests.databases import unavailable
from tests.gateway.asking import Event, settings
from tests.gateway.test_sse import QUICK, begin, many, until_open
from tests.harness import Service
from tests.rushing import PATIENCE

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

pytestmark = pytest.mark.slow
FEED = "/v1/events:watch"
OPEN = Event("open")

# `tell` is the test's. It is awaited, so that all comes in the order of the stream.
PAGE = r"""<!doctype html><title>A site</title><script>
async function read(address, headers) {
  const response = await fetch(address, {headers});
  if (!response.ok) return tell(String(response.status), "", await response.text());
  await tell("open", "", "null");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return tell("closed", "", "null");
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = {event: "message", id: "", data: ""};
      for (const [, name, value] of block.matchAll(/^([a-z]+): ?(.*)$/gm)) fields[name] = value;
      if (fields.data) await tell(fields.event, fields.id, fields.data);
    }
  }
}
function watch([address, headers]) {
  read(address, headers).catch(error => tell("unreadable", "", JSON.stringify(error.name)));
}
</script>"""


@dataclass
class Tab:
    """An open tab, and what its page tells."""

    page: "Page"
    address: str
    told: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)

    async def tell(self, kind: str, last: str, data: str) -> None:
        self.told.put_nowait(Event(kind, last, json.loads(data)))

    async def watch(self, path: str, key: str = "", last: str = "") -> Event:
        """Begin to read a stream: `open`, or why not."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if last:
            headers["Last-Event-ID"] = last
        await self.page.evaluate("watch", [self.address + path, headers])
        return await self.event()

    async def event(self) -> Event:
        """The next event."""
        async with asyncio.timeout(PATIENCE):
            return await self.told.get()


@dataclass
class Browser:
    """One window of a browser, a site's page, and a gateway whose pages that site's may read."""

    window: "BrowserContext"
    page: str
    gateway: str

    @asynccontextmanager
    async def tab(self, page: str = "") -> AsyncIterator[Tab]:
        """A tab with the page, closed at the end."""
        opened = Tab(await self.window.new_page(), self.gateway)
        await opened.page.expose_function("tell", opened.tell)
        await opened.page.goto(page or self.page)
        try:
            yield opened
        finally:
            await opened.page.close()


@asynccontextmanager
async def window() -> AsyncIterator["BrowserContext"]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        program = None
    if program is None:
        unavailable("no browser: it needs Chromium (Debian's package chromium) and playwright")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=program, args=["--disable-gpu"])
        yield await chromium.new_context()
        await chromium.close()


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[Browser]:
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(window())

        async def serve(app: ASGIApp) -> int:
            server = HttpServer(app, "127.0.0.1:0", grace=1)
            stack.push_async_callback(server.stop)
            return await server.start()

        page = f"http://127.0.0.1:{await serve(Starlette(routes=[Route('/', shown)]))}"
        channels = Channels(service.target)
        stack.push_async_callback(channels.close)
        log = logs.build(io.StringIO(), service.clock)
        port = await serve(build(channels, settings(cors_origins=page), log=log, pace=QUICK))
        yield Browser(opened, page, f"http://127.0.0.1:{port}")


async def shown(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


def open_streams(service: Service) -> float:
    """How many streams the core has open, as it tells its operator."""
    told = service.core.registry.restricted_registry(["grpc_server_open_streams"])
    return sum(sample.value for metric in told.collect() for sample in metric.samples)


async def test_an_enrollment_is_followed_from_one_tab_to_the_next(service: Service, browser: Browser) -> None:
    site, phone = await service.site(), await service.phone()
    made = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
    path = f"/v1/enrollments/{made.enrollment.enrollment_id}:watch"
    async with browser.tab() as tab:
        assert await tab.watch(path, site.api_key) == OPEN
        seen = [await tab.event()]
    async with browser.tab() as tab:
        # Nothing is new: what the last tab has read does not come again.
        assert await tab.watch(path, site.api_key, seen[-1].id) == OPEN
        offer = await phone.open(made.qr.uri)
        seen.append(await tab.event())
    await until_open(service, 0)
    await phone.accept(offer)
    async with browser.tab() as tab:
        assert await tab.watch(path, site.api_key, seen[-1].id) == OPEN
        while seen[-1].kind == "message":
            seen.append(await tab.event())
        assert await tab.event() == Event("closed")
    assert seen.pop() == Event("end", "", {})
    states = [event.data["enrollment"]["state"].removeprefix("ENROLLMENT_STATE_") for event in seen]
    assert states == ["PENDING", "SCANNED", "COMPLETED"]
    revisions = [int(event.id) for event in seen]
    assert revisions == sorted(set(revisions))


async def test_a_feed_is_read_by_many_tabs_once_and_whole(
    service: Service, browser: Browser, figure: Callable[[int, int], int]
) -> None:
    site, count = await service.site(), figure(12, 500)
    made = asyncio.ensure_future(many(site, count))
    seen: list[str] = []
    last = ""
    while len(seen) < count:
        until = min(len(seen) + count // 3, count)
        async with browser.tab() as tab:
            # The query alone would begin anew in each tab.
            assert await tab.watch(f"{FEED}?cursor=earliest", site.api_key, last) == OPEN
            while len(seen) < until:
                event = await tab.event()
                last = event.id
                if "event" in event.data:
                    seen.append(event.data["event"]["enrollment"]["customUserId"])
    await made
    assert seen == [f"user-{number}" for number in range(count)]


async def test_a_tab_that_is_closed_ends_its_call_and_no_other(service: Service, browser: Browser) -> None:
    site = await service.site()
    async with browser.tab() as stays:
        assert await stays.watch(FEED, site.api_key) == OPEN
        async with AsyncExitStack() as others:
            tabs = [await others.enter_async_context(browser.tab()) for _ in range(3)]
            for tab in tabs:
                assert await tab.watch(FEED, site.api_key) == OPEN
            for tab in (stays, *tabs):
                assert (await tab.event()).id
            assert open_streams(service) == 4
        await until_open(service, 1)
        assert open_streams(service) == 1
        await begin(site)
        assert "event" in (await stays.event()).data
    await until_open(service, 0)
    assert open_streams(service) == 0


async def test_a_page_of_an_origin_that_may_not_call_reads_nothing(
    service: Service, browser: Browser
) -> None:
    site = await service.site()
    # The same page and address, but another origin to a browser.
    async with browser.tab(browser.page.replace("127.0.0.1", "localhost")) as tab:
        for key in (site.api_key, ""):
            assert await tab.watch(FEED, key) == Event("unreadable", "", "TypeError")
    async with browser.tab() as tab:
        refused = await tab.watch(FEED)
        assert (refused.kind, refused.data["details"][0]["reason"]) == ("401", "BAD_CREDENTIAL")
        assert await tab.watch(FEED, site.api_key) == OPEN
        assert (await tab.event()).kind == "message"
