"""Reads that wait share a transaction, callers take turns, and none suffers from what another does."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from authy_grpc.domain.errors import BackendUnavailable, NotFound, RateLimited
from authy_grpc.store.database import Database
from authy_grpc.store.look_ups import LookUps
from authy_grpc.store.tx import Tx
from tests.threads import PATIENCE, Event


@contextmanager
def transactions() -> Iterator[list[Engine]]:
    """Grows by one with each transaction of a reader."""
    seen: list[Engine] = []

    def count(connection: Engine) -> None:
        if threading.current_thread().name.startswith("authy-reader"):
            seen.append(connection)

    event.listen(Engine, "begin", count)
    try:
        yield seen
    finally:
        event.remove(Engine, "begin", count)


def says(value: int) -> Callable[[Tx], int]:
    """A read that asks the database for a number."""
    return lambda tx: int(tx.connection().execute(text("SELECT :value"), {"value": value}).scalar_one())


async def together(database: Database, *works: Callable[[Tx], Any]) -> list[Any]:
    """What each is answered, all of which come in one turn of the loop."""
    reads = [database.read(work, by=f"app_{number}") for number, work in enumerate(works)]
    return await asyncio.gather(*reads, return_exceptions=True)


async def test_what_comes_together_shares_a_transaction(database: Database) -> None:
    with transactions() as seen:
        assert await together(database, *map(says, range(20))) == list(range(20))
    assert len(seen) == 1


async def test_lists_and_the_services_own_reads_have_transactions_of_their_own(database: Database) -> None:
    with transactions() as seen:
        own = [database.read(says(number)) for number in range(2)]
        lists = [database.read(says(number), by="app_1", pages=True) for number in range(2)]
        await asyncio.gather(*own, *lists)
    assert len(seen) == 4


@pytest.mark.parametrize("fault", [NotFound, ValueError, SystemExit, StopIteration, asyncio.CancelledError])
async def test_a_read_that_raises_leaves_the_others(database: Database, fault: type[BaseException]) -> None:
    def bad(tx: Tx) -> None:
        tx.connection().execute(text("SELECT 1"))
        raise fault

    with transactions() as seen:
        answers = await together(database, says(1), bad, says(2))
    assert answers[0::2] == [1, 2]
    assert isinstance(answers[1], fault if issubclass(fault, NotFound | ValueError) else RuntimeError)
    assert len(seen) == 1


async def test_a_read_that_the_database_refuses_leaves_the_others(database: Database) -> None:
    def wrong(tx: Tx) -> None:
        tx.connection().execute(text("SELECT * FROM nowhere"))

    answers = await together(database, says(1), wrong, says(2))
    assert answers[0::2] == [1, 2]
    assert isinstance(answers[1], DBAPIError)


async def test_one_callers_late_groups_leave_a_place_for_another(database: Database) -> None:
    release, begun = Event(), threading.Semaphore(0)

    def slow(tx: Tx) -> str:
        if not release.is_set():
            begun.release()
            release.wait()
        return "late"

    late = [asyncio.create_task(database.read(slow, by="app_1")) for _ in range(32 * 4)]
    try:
        # As many groups as one caller may have; each begins once the one before is late.
        for _ in range(3):
            assert await asyncio.to_thread(begun.acquire, timeout=PATIENCE)
        assert await database.read(says(3), by="app_2") == 3
    finally:
        release.set()
    assert set(await asyncio.gather(*late)) == {"late"}


class ByHand(Executor):
    """Threads that run a group when they are told to."""

    def __init__(self) -> None:
        self.groups: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self.stopped = False

    def submit(self, run: Callable[..., Any], /, *given: Any, **more: Any) -> Future[Any]:
        if self.stopped:
            raise RuntimeError("stopped")
        self.groups.put_nowait(lambda: run(*given, **more))
        return Future()


class Desk:
    """Look-ups without a database: each group is a list of what was read, in order."""

    def __init__(self) -> None:
        self.threads = ByHand()
        self.groups: list[list[str]] = []
        self.tasks: list[asyncio.Task[str]] = []
        self.look_ups = LookUps(self._run, self.threads, at_once=1, slots=2, late=PATIENCE)

    async def come(self, *callers: str) -> list[asyncio.Task[str]]:
        made = [asyncio.create_task(self._read(each)) for each in callers]
        self.tasks += made
        await asyncio.sleep(0)
        return made

    async def _read(self, caller: str) -> str:
        def work(tx: Any) -> str:
            self.groups[-1].append(caller)
            return caller

        return await self.look_ups.read(work, caller)

    def _run(self, work: Callable[[Any], None]) -> None:
        class NoTx:
            def next_work(self) -> None:
                """Nothing is kept."""

        self.groups.append([])
        work(NoTx())

    async def run(self) -> list[str]:
        """Run the next group: who was read, in order."""
        async with asyncio.timeout(PATIENCE):
            (await self.threads.groups.get())()
        return self.groups[-1]


async def test_callers_take_turns_within_a_group_and_between_groups() -> None:
    desk = Desk()
    await desk.come("a")
    # The others come while the first is read.
    await asyncio.sleep(0)
    await desk.come(*["a"] * 40, "b", "g/1", "g/1", "g/2")
    assert await desk.run() == ["a"]
    group = await desk.run()
    assert group == ["a", "b", "g/1", "a", "g/2", "a", "g/1", *["a"] * 25]
    assert await desk.run() == ["a"] * 12
    await asyncio.gather(*desk.tasks)


async def test_who_has_gone_is_not_read() -> None:
    desk = Desk()
    await desk.come("a")
    await asyncio.sleep(0)
    gone, *_ = await desk.come("gone", "stays")
    gone.cancel()
    await asyncio.wait([gone])
    assert await desk.run() == ["a"]
    assert await desk.run() == ["stays"]


async def test_one_caller_has_no_more_waiting_than_its_share() -> None:
    desk = Desk()
    await desk.come("a")
    await asyncio.sleep(0)
    waiting = await desk.come(*["b"] * 2_000)
    with pytest.raises(RateLimited):
        await desk.look_ups.read(lambda tx: "too much", "b")
    *_, other = await desk.come("c")
    assert await desk.run() == ["a"]
    assert (await desk.run())[:2] == ["b", "c"]
    assert await other == "c"
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


async def test_who_comes_when_the_threads_have_stopped_is_told_so() -> None:
    desk = Desk()
    desk.threads.stopped = True
    (late,) = await desk.come("late")
    with pytest.raises(BackendUnavailable):
        await late
