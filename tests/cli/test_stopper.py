"""The signals that end the commands which serve: in which order all stops, and that it always does."""

import asyncio
import os
import signal
from typing import Any

import pytest

from authy_grpc.cli.stopper import Stopper
from tests.rushing import PATIENCE


class Part:
    """Something that serves; it tells what is asked of it, and stops when it may."""

    def __init__(self, name: str, told: list[str], *, free: bool = True, fails: bool = False) -> None:
        self._name = name
        self._told = told
        self._free = asyncio.Event()
        self._fails = fails
        self.asked = asyncio.Event()
        if free:
            self._free.set()

    def quit(self) -> None:
        self._told.append(f"{self._name} says so")

    async def stop(self, *, now: bool = False) -> None:
        self._told.append(f"{self._name} stops {'now' if now else 'well'}")
        self.asked.set()
        if self._fails:
            raise OSError("it cannot")
        if not now:
            await self._free.wait()
        self._free.set()
        self._told.append(f"{self._name} has stopped")


def stopper(*before: Part, core: Any = None) -> Stopper:
    made = Stopper(*before, core=core)
    made.listen()
    return made


async def ended(stopping: Stopper) -> None:
    async with asyncio.timeout(PATIENCE):
        await stopping.stopped()


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_core_says_so_first_and_stops_last(number: signal.Signals) -> None:
    told: list[str] = []
    stopping = stopper(Part("http", told), Part("posts", told), core=Part("core", told))
    send(number)
    await ended(stopping)
    assert told[0] == "core says so" and told[-2:] == ["core stops well", "core has stopped"]
    assert {"http has stopped", "posts has stopped"} <= set(told[:-2])


async def test_what_is_before_the_core_stops_at_one_time() -> None:
    told: list[str] = []
    one, other = Part("http", told, free=False), Part("posts", told, free=False)
    stopping = stopper(one, other, core=Part("core", told))
    send(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(one.asked.wait(), other.asked.wait())
    assert "core stops well" not in told
    send(signal.SIGTERM)
    await ended(stopping)
    assert "core stops now" in told


async def test_the_second_signal_stops_at_once() -> None:
    told: list[str] = []
    core = Part("core", told, free=False)
    stopping = stopper(core=core)
    send(signal.SIGINT)
    async with asyncio.timeout(PATIENCE):
        await core.asked.wait()
    send(signal.SIGINT)
    await ended(stopping)
    assert "core stops now" in told


async def test_what_cannot_stop_ends_the_command_and_is_said() -> None:
    stopping = stopper(Part("http", [], fails=True), core=Part("core", []))
    send(signal.SIGTERM)
    with pytest.raises(OSError, match="it cannot"):
        await ended(stopping)
