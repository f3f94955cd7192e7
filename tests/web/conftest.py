"""Fixtures that start each browser engine once; tests open tabs in it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.harness import Service
from tests.web import serving
from tests.web.engines import ENGINES, Browser, Tab, browser


@pytest.fixture(scope="session")
def browsers() -> Iterator[Callable[[str], Browser]]:
    """Starts an engine's browser when the first test asks for it."""
    started: dict[str, Browser] = {}
    with ExitStack() as stack:

        def start(engine: str) -> Browser:
            if engine not in started:
                started[engine] = stack.enter_context(browser(engine))
            return started[engine]

        yield start


def engines(*names: str) -> pytest.MarkDecorator:
    """Runs a test in several engines: in Chromium with `make test`, in the others with `make test-web`."""
    marks = {"chromium": [], "webkit": [pytest.mark.web], "firefox": [pytest.mark.web]}
    params = [pytest.param(name, marks=marks[name]) for name in names or ENGINES]
    return pytest.mark.parametrize("engine", params)


@pytest.fixture
def window(engine: str, browsers: Callable[[str], Browser]) -> Browser:
    """The browser of the engine that `engines` names."""
    return browsers(engine)


@pytest.fixture
async def origin() -> AsyncIterator[serving.Origin]:
    """An origin with the authenticator's files, and a storage that is empty."""
    async with serving.files() as served:
        yield served


@pytest.fixture
async def tab(window: Browser, origin: serving.Origin) -> AsyncIterator[Tab]:
    """A tab on a page of the origin."""
    async with window.tab(origin.page) as opened:
        yield opened


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Databases are not what is tried here: SQLite alone."""
    return sqlite_url


@pytest.fixture
async def gateway(service: Service) -> AsyncIterator[serving.Origin]:
    """The origin of a service with its gateway."""
    async with serving.gateway(service) as served:
        yield served
