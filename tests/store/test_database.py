"""A caller is told the truth about its work, whatever becomes of the database."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import Pool
from sqlmodel import select

from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.store import schema
from authy_grpc.store.database import Database
from authy_grpc.store.postgres import is_postgres, plain
from authy_grpc.store.tables import BudgetRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.databases import own_server
from tests.proxy import Break, Proxy
from tests.threads import PATIENCE, Event
from tests.works import commits, held, leaves, slow_commit, trace, traces


def raise_times(name: str) -> Callable[[Tx], int]:
    """A work that adds one to a number that it reads, and answers it."""

    def work(tx: Tx) -> int:
        found = rows.found(tx, select(BudgetRow).where(BudgetRow.name == name).with_for_update())
        if not found:
            rows.add(tx, trace(name))
        count = int(found[0].times.strip("[]") or 0) + 1 if found else 1
        rows.change(tx, BudgetRow, name, times=str(count))
        return count

    return work


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with Proxy.to(postgres_url) as opened:
        yield opened


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgres://a@b/c", "postgresql://a@b/c"),
        ("postgresql://a@b/c", "postgresql://a@b/c"),
        ("postgresql+psycopg://a@b/c", "postgresql://a@b/c"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_urls_are_taken_in_every_spelling(given: str, url: str) -> None:
    assert plain(given) == url
    assert is_postgres(given) == url.startswith("postgresql")


async def test_a_read_writes_nothing(database: Database) -> None:
    await database.write(leaves("a"))
    if not database.postgres:
        with pytest.raises(BackendUnavailable):
            await database.read(lambda tx: tx.connection().execute(text("DELETE FROM budget")))
    assert await traces(database) == ["a"]


async def test_a_log_that_cannot_be_emptied_fails_nobody_whose_work_is_done(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    database = Database(f"sqlite:///{home / 'authy.db'}")
    assert await database.truncate_log() == 1
    database.deleted()
    assert await database.truncate_log() == 1, "the control: while it can be"
    await database.close()
    database = Database(f"sqlite:///{home / 'authy.db'}")
    shutil.rmtree(home)
    assert await database.truncate_log() == 0
    await database.close()


async def test_a_read_sees_one_moment(database: Database) -> None:
    looked, changed = Event(), Event()

    def look_twice(tx: Tx) -> tuple[int, int]:
        first = len(rows.found(tx, select(BudgetRow.name)))
        looked.set()
        changed.wait()
        return first, len(rows.found(tx, select(BudgetRow.name)))

    reading = asyncio.create_task(database.read(look_twice))
    await asyncio.to_thread(looked.wait)
    await database.write(leaves("a"))
    changed.set()
    assert await reading == (0, 0)
    assert await database.read(look_twice) == (1, 1)


async def test_a_wrong_statement_is_a_fault_and_no_outage(database: Database) -> None:
    def work(tx: Tx) -> None:
        tx.connection().execute(text("SELECT * FROM nowhere"))

    for run in (database.read, database.write):
        with pytest.raises(DBAPIError, match="nowhere"):
            await run(work)


@pytest.fixture
async def hasty(database: Database) -> AsyncIterator[Database]:
    """A store whose callers do not wait for long, on the database of another that is more patient."""
    opened = Database(database.url, timeout=0.2, guard=True)
    yield opened
    await opened.close()


async def test_who_waits_too_long_for_a_turn_is_told_that_nothing_was_decided(
    database: Database, hasty: Database
) -> None:
    async with held(hasty):
        with pytest.raises(BackendUnavailable):
            await hasty.write(leaves("late"))
    assert await database.write(leaves("next")) == "next"
    await hasty.close()
    assert await traces(database) == ["next"]


async def test_a_work_whose_callers_time_is_up_is_not_committed(database: Database, hasty: Database) -> None:
    """Not even where it has begun: what the caller is told stays true."""
    began, release = Event(), Event()

    def slow(tx: Tx) -> None:
        rows.add(tx, trace("slow"))
        began.set()
        release.wait()

    task = asyncio.create_task(hasty.write(slow))
    await asyncio.to_thread(began.wait)
    with pytest.raises(BackendUnavailable):
        await task
    release.set()
    await hasty.close()
    assert await database.write(leaves("next")) == "next"
    assert await traces(database) == ["next"]


async def test_a_commit_that_is_under_way_when_the_time_is_up_is_waited_for(
    database: Database, hasty: Database
) -> None:
    loop = asyncio.get_running_loop()
    with slow_commit() as (begun, go_on):
        task = asyncio.create_task(hasty.write(leaves("a")))
        await asyncio.to_thread(begun.wait)
        loop.call_later(0.5, go_on.set)
        assert await task == "a"
    assert await traces(database) == ["a"]


async def test_reads_have_a_time_too(hasty: Database) -> None:
    release = Event()
    with pytest.raises(BackendUnavailable):
        await hasty.read(lambda tx: release.wait())
    release.set()


async def test_a_closed_store_is_out_of_reach(database_url: str) -> None:
    database = Database(database_url)
    waiting = [asyncio.create_task(database.write(leaves(str(number)))) for number in range(3)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*waiting) == ["0", "1", "2"]
    with pytest.raises(BackendUnavailable):
        await database.write(leaves("late"))
    with pytest.raises(BackendUnavailable):
        await traces(database)


async def test_a_locked_file_is_out_of_reach_and_comes_back(sqlite_url: str) -> None:
    hasty, database = Database(sqlite_url, timeout=0.2), Database(sqlite_url, guard=True)
    other = sqlite3.connect(Path(sqlite_url.removeprefix("sqlite:///")), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BackendUnavailable):
        await hasty.write(leaves("late"))
    # Who only reads is not in its way.
    assert await traces(database) == []
    other.execute("ROLLBACK")
    other.close()
    assert await database.write(leaves("next")) == "next"
    await hasty.close()
    assert await traces(database) == ["next"]
    await database.close()


async def test_connections_that_are_ended_are_made_anew(postgres_url: str) -> None:
    database = Database(postgres_url, guard=True)
    names = [str(number) for number in range(8)]
    await asyncio.gather(*(database.write(raise_times(name)) for name in names))
    await asyncio.gather(*(traces(database) for _ in range(8)))
    with psycopg.connect(plain(postgres_url), autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    # That of writes, and at least one of reads.
    assert len(ended) >= 2
    assert await traces(database) == names
    answers = await asyncio.gather(*(database.write(raise_times(name)) for name in names))
    assert answers == [2] * 8
    await database.close()


async def test_a_work_whose_connection_ends_runs_again_and_counts_once(postgres_url: str) -> None:
    database = Database(postgres_url, guard=True)
    runs: list[int] = []

    def work(tx: Tx) -> int:
        count = raise_times("a")(tx)
        runs.append(count)
        if len(runs) == 1:
            tx.connection().execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return count

    assert await database.write(work) == 1
    assert runs == [1, 1]
    await database.close()


@pytest.mark.parametrize(("breaks", "runs"), [("answer", 1), ("ask", 2)])
async def test_what_became_of_a_commit_whose_answer_is_lost_is_asked_for(
    proxy: Proxy, breaks: Break, runs: int
) -> None:
    database = Database(proxy.url, guard=True)
    assert await database.write(raise_times("a")) == 1
    ran: list[int] = []

    def work(tx: Tx) -> int:
        ran.append(1)
        return raise_times("a")(tx)

    proxy.breaks = breaks
    assert await database.write(work) == 2
    assert (proxy.broken, len(ran)) == (1, runs)
    assert await database.write(raise_times("a")) == 3
    await database.close()


async def test_a_commit_of_which_nobody_knows_is_never_said_to_have_been_made(proxy: Proxy) -> None:
    database = Database(proxy.url, guard=True)
    assert await database.write(raise_times("a")) == 1

    def work(tx: Tx) -> int:
        proxy.refuses = True
        return raise_times("a")(tx)

    proxy.breaks = "answer"
    with pytest.raises(BackendUnavailable):
        await database.write(work)
    proxy.refuses = False
    # It was made, once: what was told was only that nobody knows.
    assert await database.write(raise_times("a")) == 3
    await database.close()


async def test_a_server_that_says_nothing_is_out_of_reach_in_time(proxy: Proxy) -> None:
    hasty, database = Database(proxy.url, timeout=0.3), Database(proxy.url)
    assert await database.write(leaves("a")) == "a"
    proxy.breaks = "silence"
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            await hasty.write(leaves("late"))
        with pytest.raises(BackendUnavailable):
            await traces(hasty)
    proxy.breaks = ""
    proxy.cut()
    assert await database.write(leaves("b")) == "b"
    await hasty.close()
    assert await traces(database) == ["a", "b"]
    await database.close()


async def test_servers_that_lock_each_other_out_run_again(postgres_url: str) -> None:
    database, other = Database(postgres_url, guard=True), Database(postgres_url, guard=True)
    both = threading.Barrier(2, timeout=PATIENCE)
    runs: list[str] = []

    def work(first: str, second: str) -> Callable[[Tx], int]:
        waits = [both]

        def run(tx: Tx) -> int:
            runs.append(first)
            raise_times(first)(tx)
            if waits:
                waits.pop().wait()
            return raise_times(second)(tx)

        return run

    await database.write(raise_times("a"))
    await database.write(raise_times("b"))
    answers = await asyncio.gather(database.write(work("a", "b")), other.write(work("b", "a")))
    assert sorted(answers) == [2, 3]
    assert len(runs) >= 3
    await database.close()
    await other.close()


@pytest.mark.slow
async def test_a_server_that_stops_is_out_of_reach_and_comes_back() -> None:
    with own_server() as server:
        schema.upgrade(server.url)
        database = Database(server.url, guard=True)
        assert await database.write(raise_times("a")) == 1
        await asyncio.to_thread(server.stop)
        with commits() as seen:
            for _ in range(3):
                with pytest.raises(BackendUnavailable):
                    await database.write(raise_times("a"))
                with pytest.raises(BackendUnavailable):
                    await traces(database)
        assert seen == []
        await asyncio.to_thread(server.start)
        assert await database.write(raise_times("a")) == 2
        assert await traces(database) == ["a"]
        await database.close()


@pytest.mark.parametrize("apart", [True, False])
async def test_one_callers_writes_do_not_hold_up_anothers(database: Database, apart: bool) -> None:
    order: list[str] = []

    def work(name: str) -> Callable[[Tx], None]:
        def note(tx: Tx) -> None:
            order.append(name)

        return note

    begun, go_on = Event(), Event()

    def hold(tx: Tx) -> None:
        begun.set()
        go_on.wait()

    holder = asyncio.create_task(database.write(hold))
    await asyncio.to_thread(begun.wait)
    many = [asyncio.create_task(database.write(work("a"), by="a")) for _ in range(200)]
    await asyncio.sleep(0)
    other = asyncio.create_task(database.write(work("b"), by="b" if apart else "a"))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(holder, other, *many)
    # The control: of one caller it is the last.
    assert order.index("b") == (1 if apart else 200)


async def test_a_connection_in_use_while_reads_connect_anew_is_closed_in_the_end(database_url: str) -> None:
    """A pool that was replaced closes nothing of what comes back to it."""
    opened, closed = set[int](), set[int]()
    started, release = Event(), Event()

    def connected(connection: object, _: object) -> None:
        opened.add(id(connection))

    def ended(connection: object, _: object) -> None:
        closed.add(id(connection))

    def holds(tx: Tx) -> None:
        tx.connection()
        started.set()
        release.wait()

    event.listen(Pool, "connect", connected)
    event.listen(Pool, "close", ended)
    try:
        database = Database(database_url)
        reading = asyncio.ensure_future(database.read(holds))
        await asyncio.to_thread(started.wait)
        # As after a fault: what can be written again is read anew, too.
        database.writable = False
        await database.probe()
        assert database.writable
        release.set()
        await reading
        await database.close()
    finally:
        event.remove(Pool, "connect", connected)
        event.remove(Pool, "close", ended)
    assert len(opened) >= 2 and opened == closed
