"""VerifyCode beside what users compare with: over gRPC and REST, and a code that each peer checks."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.calls import Calls
from benchmarks.control import Target
from benchmarks.gateways import UP
from benchmarks.load import Case, Total, run
from benchmarks.peers import running
from benchmarks.rest import Asking

_SLICE = 32


@dataclass(frozen=True)
class Beside:
    """One way to have a code checked."""

    name: str
    at_once: int
    total: Total
    ours: Total

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "name": self.name,
            "at_once": self.at_once,
            "calls": len(self.total.latencies),
            "rate": self.total.rate,
            "ours": self.ours.rate / self.total.rate,
            "p50_ms": self.total.percentile(0.5),
            "p99_ms": self.total.percentile(0.99),
        }


async def beside(
    target: Target, python: Path, urls: Sequence[str], folder: Path, seconds: float
) -> list[Beside]:
    """Measure, at 1, 16 and 64 at once.

    Args:
        target: our server with its gateways.
        python: the peers' own.
        urls: an empty database for each of them.
        folder: for their files.
        seconds: for the slowest of them, at each number.
    """
    calls, asking = Calls(target, phones=0), Asking(target)
    cases: dict[str, Case] = {"ours, gRPC": calls.accepted, "ours, REST": partial(asking.accepted, UP)}
    found = list[Beside]()
    async with AsyncExitStack() as opened:
        for kind, url in zip(running.KINDS, urls, strict=True):
            peer = await opened.enter_async_context(running.running(kind, python, url, folder))
            cases[kind.name] = peer.accepted
        for at_once in (1, 16, 64):
            totals = await _turns(list(cases.values()), at_once, seconds)
            found += [
                Beside(name, at_once, total, totals[0]) for name, total in zip(cases, totals, strict=True)
            ]
    asking.close()
    await calls.close()
    return found


async def _turns(cases: Sequence[Case], at_once: int, seconds: float) -> list[Total]:
    """As `load.turns`, of servers that are not all ours: what they use of the CPU is not asked."""
    totals = [Total() for _ in cases]
    for case in cases:
        await run(await case(at_once), at_once)
    while max(total.seconds for total in totals) < seconds:
        for total, case in zip(totals, cases, strict=True):
            total.add(await _timed(case, max(_SLICE, at_once), at_once))
    return totals


async def _timed(case: Case, count: int, at_once: int) -> Total:
    calls = await case(count)
    begin = time.perf_counter()
    latencies = await run(calls, at_once)
    return Total(seconds=time.perf_counter() - begin, latencies=latencies)
