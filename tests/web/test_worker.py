"""The web authenticator's worker: installs by hash, all or nothing, works offline, waits to be taken over."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import web
from gateway.web.files import served
from tests.web import serving
from tests.web.conftest import engines
from tests.web.engines import Browser, Tab

# Registers the worker, and answers with the state that it ends in.
REGISTER = """
const {scriptURL} = await load('/app/base/policy.js');
const registration = await navigator.serviceWorker.register(scriptURL('sw.js'), {scope: './'});
const worker = registration.installing ?? registration.waiting ?? registration.active;
const ends = ['activated', 'redundant'];
const changed = () => new Promise(done => worker.addEventListener('statechange', done, {once: true}));
while (!ends.includes(worker.state)) await changed();
return worker.state;
"""
# Asks for a file, as a page does.
ASK = """
try {
  const answer = await fetch('/app/main.js', {cache: 'no-store'});
  return [answer.status, answer.headers.get('content-security-policy'), (await answer.text()).length];
} catch { return ['unreached', '', 0]; }
"""
BEGIN = """
const [{Worker}, {Store}] = await Promise.all([load('/app/worker.js'), load('/app/base/store.js')]);
window.store = new Store({update: false});
window.worker = new Worker(window.store);
await window.worker.start();
return navigator.serviceWorker.controller !== null;
"""
UPDATE = "await (await navigator.serviceWorker.getRegistration('/app/')).update(); return true;"
READY = "return window.store?.state.update ?? null;"
CACHES = "return await caches.keys();"


@dataclass
class Served:
    """The files at an origin, which may be tampered with, be of another version, or be away."""

    origin: serving.Origin
    changed: dict[str, bytes] = field(default_factory=dict)
    away: bool = False

    async def answer(self, request: Request) -> Response:
        name = request.url.path.removeprefix("/app/")
        if self.away:
            return Response("gone", 503)
        file = next(each for each in served() if each.path == name)
        return Response(self.changed.get(name, file.body), media_type=file.type, headers=web.APP_HEADERS)


@pytest.fixture
async def files() -> AsyncIterator[Served]:
    made = Served(serving.Origin())
    routes = [Route(f"/app/{each.path}", made.answer) for each in served()]
    async with serving.served(Starlette(routes=[*routes, *made.origin.routes()])) as url:
        made.origin.url = url
        yield made


@pytest.fixture
async def tab(window: Browser, files: Served) -> AsyncIterator[Tab]:
    async with window.tab(files.origin.page) as opened:
        yield opened


async def until(tab: Tab, source: str, wanted: object) -> None:
    """Wait until a page answers so; a reload may be under way."""
    async with asyncio.timeout(30):
        while True:
            try:
                if await tab.run(source) == wanted:
                    return
            except Exception:  # The page is not there yet.
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.05)


@engines("chromium", "webkit")
async def test_what_is_installed_is_served_whole_and_without_the_service(tab: Tab, files: Served) -> None:
    assert await tab.run(REGISTER) == "activated"
    await until(tab, "return navigator.serviceWorker.controller !== null", True)
    files.away = True
    (main,) = (each for each in served() if each.name == "app/main.js")
    status, policy, length = await tab.run(ASK)
    assert (status, length) == (200, len(main.body.decode()))
    assert policy == web.APP_HEADERS["content-security-policy"]
    # The control: what is not of the app is asked of the service.
    assert await tab.run("return (await fetch('/app/sw.js', {cache: 'no-store'})).status") == 503


@engines("chromium", "webkit")
async def test_one_wrong_file_and_nothing_is_installed(tab: Tab, files: Served) -> None:
    files.changed["view/start.js"] = b"// other bytes\n"
    assert await tab.run(REGISTER) == "redundant"
    assert await tab.run(CACHES) == []
    files.changed.clear()
    assert await tab.run(REGISTER) == "activated"
    assert len(await tab.run(CACHES)) == 1


@engines("chromium")
async def test_a_new_version_waits_for_a_tap_and_reloads(tab: Tab, files: Served) -> None:
    await tab.run(REGISTER)
    await until(tab, BEGIN, True)
    assert await tab.run(READY) is False
    (worker,) = (each for each in served() if each.name == "app/sw.js")
    before = await tab.run(CACHES)
    files.changed["sw.js"] = worker.body.replace(b'const VERSION = "', b'const VERSION = "new-')
    await tab.run(UPDATE)
    await until(tab, READY, True)
    # It has installed, and waits.
    assert await tab.run("return (await navigator.serviceWorker.getRegistration('/app/')).waiting !== null")
    await tab.run("setTimeout(() => window.worker.reload()); return true")
    # Loaded anew: what stood in the page is gone.
    await until(tab, READY, None)
    after = await tab.run(CACHES)
    assert after == [before[0].replace("app-", "app-new-")]
