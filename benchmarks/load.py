"""Makes and times calls: slices of a method and of empty calls take turns."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.control import Target

Call = Callable[[], Awaitable[object]]
# Makes so many calls ready, each of which can be made once.
Case = Callable[[int], Awaitable[Sequence[Call]]]
# Makes calls in some order and measure, and answers the seconds that each took.
Make = Callable[[Sequence[Call]], Awaitable[list[float]]]


@dataclass
class Total:
    """What came of the slices of one kind.

    Attributes:
        seconds: how long they took.
        server: seconds of CPU that the server used in them.
        generator: seconds of CPU that the load generator used in them.
        latencies: of each call, in seconds.
    """

    seconds: float = 0
    server: float = 0
    generator: float = 0
    latencies: list[float] = field(default_factory=list)

    def add(self, other: "Total") -> None:
        """Add a slice."""
        self.seconds += other.seconds
        self.server += other.server
        self.generator += other.generator
        self.latencies += other.latencies

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu(self) -> float:
        """Microseconds of the server's CPU a call."""
        return self.server / len(self.latencies) * 1e6

    def percentile(self, share: float) -> float:
        """The latency that a share of calls did not exceed, in milliseconds."""
        return percentile(self.latencies, share) * 1000


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True)
class Measured:
    """A method, and what was measured beside it."""

    name: str
    at_once: int
    total: Total
    empty: Total
    bare: Total

    def as_json(self) -> dict[str, object]:
        """For machines."""
        total = self.total
        return {
            "name": self.name,
            "at_once": self.at_once,
            "calls": len(total.latencies),
            "rate": total.rate,
            "of_empty": total.rate / self.empty.rate,
            "of_bare": total.rate / self.bare.rate,
            "p50_ms": total.percentile(0.5),
            "p99_ms": total.percentile(0.99),
            "server_cpu_us": total.cpu,
            "server_cpu_of_empty": total.cpu / self.empty.cpu,
            "server_busy": total.server / total.seconds,
            "generator_busy": total.generator / total.seconds,
            "empty": _plain(self.empty),
            "bare": _plain(self.bare),
        }


def _plain(total: Total) -> dict[str, float]:
    return {
        "rate": total.rate,
        "p50_ms": total.percentile(0.5),
        "server_cpu_us": total.cpu,
        "generator_busy": total.generator / total.seconds,
    }


async def measure(
    target: Target, name: str, case: Case, *, at_once: int, seconds: float, batch: int
) -> Measured:
    """Measure a method.

    Args:
        target: the server.
        name: what the table calls it.
        case: makes calls ready; what that costs is not measured.
        at_once: how many calls are under way at a time.
        seconds: how long the method is called, beside the same number of empty calls.
        batch: how many calls a slice has.
    """
    beside = max(batch, 64)

    async def empty(count: int) -> Sequence[Call]:
        return [target.empty_call] * count

    async def bare(count: int) -> Sequence[Call]:
        return [target.bare_call] * count

    totals = await turns(target, [(case, batch), (empty, beside), (bare, beside)], at_once, seconds)
    return Measured(name, at_once, *totals)


async def turns(
    target: Target, cases: Sequence[tuple[Case, int]], at_once: int, seconds: float
) -> list[Total]:
    """Measure several methods in turns, so that a ratio compares what ran within a moment.

    Args:
        target: the server.
        cases: what makes the calls ready, which is not measured, and how many a slice has.
        at_once: how many calls are under way at a time.
        seconds: how long the first is called.
    """
    totals = [Total() for _ in cases]
    for case, _ in cases:
        await run(await case(at_once), at_once)
    while totals[0].seconds < seconds:
        for total, (case, batch) in zip(totals, cases, strict=True):
            total.add(await timed(target, await case(batch), lambda calls: run(calls, at_once)))
    return totals


async def timed(target: Target, calls: Sequence[Call], make: Make) -> Total:
    """Make calls in some way, and say what it took."""
    before = await target.stand()
    own, begin = time.process_time(), time.perf_counter()
    latencies = await make(calls)
    seconds, generator = time.perf_counter() - begin, time.process_time() - own
    return Total(seconds, (await target.stand()).cpu - before.cpu, generator, latencies)


async def run(calls: Sequence[Call], at_once: int) -> list[float]:
    """Make calls, so many at a time; answers the seconds that each took."""
    waiting, latencies = iter(calls), list[float]()

    async def work() -> None:
        for call in waiting:
            begin = time.perf_counter()
            await call()
            latencies.append(time.perf_counter() - begin)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    return latencies
