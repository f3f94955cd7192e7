"""Owns what all tests share: a clock that is turned by hand, real databases, and a real server on loopback."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import hypothesis
import pytest
import pytest_asyncio

hypothesis.settings.register_profile("authy", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("authy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proof", action="store_true", help="run the rules at their full figures")


@pytest.fixture(scope="session")
def figure(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often: the first figure, or the second under --proof."""
    proof = request.config.getoption("--proof")
    return lambda small, big: big if proof else small


class TurnedClock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float = 0, **span: float) -> None:
        self.now += timedelta(seconds=seconds, **span)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()
