"""What all tests share: a clock that is turned by hand, real databases, a real server on loopback."""

import gc
import io
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from authy_grpc import logs
from authy_grpc.service.signals import Signals
from authy_grpc.store import schema
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tools
from authy_grpc.store.vault import Vault, new_keyset
from tests import compiled
from tests.clock import TurnedClock
from tests.databases import Postgres, postgres_server, watched

hypothesis.settings.register_profile("authy", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("authy")


_MEMORY = Path("/dev/shm")
_ROOM = 4 * 1024**3


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Nothing here outlives the machine, and the tests wait for thousands of commits.
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    compiled.share()
    if config.getoption("--proof"):
        config.option.timeout = 0
    # Where bytecode is forbidden, each of the hundreds of programs that tests start compiles all it imports.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Programs are started with grpc's threads about, and its handlers of a fork may wait for ever.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    # Every server that stops would be a line among the results.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proof", action="store_true", help="run the rules at their full figures")
    parser.addoption("--web", action="store_true", help="run what shows the pages in browsers, too")
    parser.addoption("--db", choices=["sqlite", "postgres"], help="run nothing that is for another database")


def pytest_xdist_auto_num_workers() -> int:
    """Tests wait for each other's threads and processes as much as they compute: two workers a core."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `make proof` or `make test-web` alone runs, and, with `--db`, the other database's."""
    other = {"sqlite": "postgres", "postgres": "sqlite"}.get(config.getoption("--db") or "")
    left = [
        item
        for item in items
        if (other and any(other in name for name in (item.name, *_fixtures(item))))
        or (item.get_closest_marker("proof") and not config.getoption("--proof"))
        or (item.get_closest_marker("web") and not config.getoption("--web"))
    ]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in set(left)]


def pytest_collection_finish() -> None:
    """Have the collector leave alone what was imported: it took a fifth of a worker's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Fail what is skipped where all must run."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("AUTHY_REQUIRE_ALL") == "1":
        report.outcome = "failed"
    return report


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


@pytest.fixture(scope="session")
def figure(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often: the first figure, or the second under --proof."""
    proof = request.config.getoption("--proof")
    return lambda small, big: big if proof else small


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def random() -> Callable[[int], bytes]:
    return os.urandom


@pytest.fixture(scope="session")
def keyset_text() -> str:
    """A keyset that many tests share: to make one takes longer than most of them."""
    return new_keyset()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that is started when the first test asks for it."""
    with postgres_server() as url:
        server = Postgres(url)
        yield server
        server.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that was migrated once."""
    path = tmp_path_factory.mktemp("template") / "authy.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An empty SQLite database of the present schema."""
    path = tmp_path / "authy.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty PostgreSQL database of the present schema."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def blank_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / '100% new.db'}"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        with server.blank() as url:
            yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of the present schema, of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def tools(vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]) -> Tools:
    return Tools(vault, clock, random)


@pytest.fixture
async def database(database_url: str, tools: Tools) -> AsyncIterator[Database]:
    """A store whose works are watched."""
    opened = watched(database_url, tools)
    yield opened
    await opened.close()


@pytest.fixture
async def servers(database: Database, tools: Tools) -> AsyncIterator[list[Database]]:
    """The store as three servers have it; the first is `database`, which is woken for all."""
    more = [watched(database.url, replace(tools)) for _ in range(2)]
    for each in more:
        each.on_events = lambda: database.on_events()
    yield [database, *more]
    for each in more:
        await each.close()


@pytest.fixture
def vault(keyset_text: str) -> Vault:
    return Vault(keyset_text)


@pytest.fixture
async def signals(database: Database, clock: TurnedClock) -> AsyncIterator[Signals]:
    """Signals that read the store's events."""
    started = Signals(database, logs.build(io.StringIO(), clock))
    database.on_events = started.wake
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def service(
    database_url: str, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[Any]:
    """A running service on an empty database."""
    from tests.harness import Service

    async with Service.on(database_url, clock, random) as running:
        yield running
