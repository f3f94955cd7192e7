"""Compares two source trees: their servers take turns with slices of the same calls; tells medians of pairs.

`python -m benchmarks.pairs BEFORE` starts a server of the tree at BEFORE and one of this tree on databases of
their own, both on the server's core. Each round is a slice of one and then of the other, the first by turns.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks import control
from benchmarks.__main__ import databases
from benchmarks.calls import Calls
from benchmarks.load import Call, Case, Make, Total, run, timed

# How many calls a slice has.
_LEAST, _MOST = 32, 512
_SEED = 1
_HEAD = f"{'calls/s':>16}{'ratio':>7}{'p50 ms':>16}{'ratio':>7}{'p99 ms':>16}{'CPU us':>16}"

# How many calls a slice has, and how they are made.
_Way = tuple[int, Make]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__)
    parser.add_argument("before", type=Path, help="another source tree, with what its build makes")
    parser.add_argument("--only", choices=("sqlite", "postgres"), help="one database")
    parser.add_argument("--cases", default="accepted,read", help="methods of benchmarks.calls.Calls")
    parser.add_argument("--at", default="1,2,8,64", help="how many calls are under way at once")
    parser.add_argument("--rates", default="", help="calls a second, at random, answered or not")
    parser.add_argument("--rounds", type=int, default=9)
    told = parser.parse_args()
    control.keep_off()
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=Path.cwd()))
    try:
        for name in (told.only,) if told.only else ("sqlite", "postgres"):
            with databases(name, folder) as url:
                asyncio.run(_compare(name, url, folder, told))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _compare(name: str, url: Callable[[], str], folder: Path, told: argparse.Namespace) -> None:
    async with AsyncExitStack() as opened:
        sides = []
        for tree in (told.before, None):
            served = control.served(url(), folder, _MOST, tree=tree)
            sides.append(await opened.enter_async_context(served))
        calls = [Calls(each, phones=_LEAST) for each in sides]
        print(f"{name}: {'':24}{_HEAD}")
        for case in told.cases.split(","):
            made: list[Case] = [getattr(each, case) for each in calls]
            ways = [(f"{at} at once", _closed(at)) for at in _numbers(told.at)]
            ways += [(f"{rate} a second", _open(rate)) for rate in _numbers(told.rates)]
            for title, way in ways:
                both = await _alternately(sides, made, way, told.rounds)
                print(f"{name}: {f'{case}, {title}':24}{_row(*both)}", flush=True)
        for each in calls:
            await each.close()


async def _alternately(
    sides: Sequence[control.Target], made: Sequence[Case], way: _Way, rounds: int
) -> tuple[list[Total], list[Total]]:
    """Slices of either side, in pairs; the first of each is not counted."""
    count, make = way
    both: tuple[list[Total], list[Total]] = ([], [])
    for number in range(-1, rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            total = await timed(sides[side], await made[side](count), make)
            if number >= 0:
                both[side].append(total)
    return both


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def _closed(at_once: int) -> _Way:
    return min(_MOST, max(_LEAST * 2, at_once * 6)), lambda calls: run(calls, at_once)


def _open(rate: int) -> _Way:
    count = min(_MOST, max(_LEAST * 2, rate))
    return count, lambda calls: arriving(calls, rate, random.Random(_SEED))


async def arriving(calls: Sequence[Call], rate: float, chance: random.Random) -> list[float]:
    """Make calls at random moments, so many a second; answers the seconds from each moment to its answer."""
    loop, latencies = asyncio.get_running_loop(), list[float]()

    async def call(each: Call, due: float) -> None:
        await each()
        latencies.append(loop.time() - due)

    due = loop.time()
    async with asyncio.TaskGroup() as group:
        for each in calls:
            due += chance.expovariate(rate)
            await asyncio.sleep(due - loop.time())
            group.create_task(call(each, due))
    return latencies


def _row(before: Sequence[Total], after: Sequence[Total]) -> str:
    """Medians of each side, and of the ratios of pairs."""
    columns = [
        ([each.rate for each in side] for side in (before, after)),
        ([each.percentile(0.5) for each in side] for side in (before, after)),
        ([each.percentile(0.99) for each in side] for side in (before, after)),
        ([each.cpu for each in side] for side in (before, after)),
    ]
    text = ""
    for number, column in enumerate(columns):
        old, new = column
        places = 0 if number in (0, 3) else 2
        text += f"{statistics.median(old):8.{places}f}{statistics.median(new):8.{places}f}"
        if number < 2:
            text += f"{statistics.median(b / a for a, b in zip(old, new, strict=True)):7.2f}"
    return text


if __name__ == "__main__":
    main()
