"""Owns what all tests share: a clock that is turned by hand, real databases, and a real server on loopback."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from authy_grpc.store import schema
from tests.clock import TurnedClock
from tests.databases import Postgres, postgres_server

hypothesis.settings.register_profile("authy", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("authy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proof", action="store_true", help="run the rules at their full figures")


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


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of the present schema, of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "authy.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
    else:
        with request.getfixturevalue("postgres").database() as url:
            yield url


@pytest.fixture
async def service(
    database_url: str, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[Any]:
    """A running service on an empty database."""
    from tests.harness import Service

    async with Service.on(database_url, clock, random) as running:
        yield running
