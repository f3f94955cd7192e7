"""Owns what all tests share: a clock that is turned by hand, real databases, and a real server on loopback."""

import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import hypothesis
import pytest

from tests.clock import TurnedClock

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


@pytest.fixture
async def service(
    database_url: str, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[Any]:
    """A running service on an empty database."""
    from tests.harness import Service

    async with Service.on(database_url, clock, random) as running:
        yield running
