"""Works that wait share a commit, and none suffers from what another does."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from authy_grpc.domain.errors import BackendUnavailable, CodeRejected, NotFound
from authy_grpc.store.database import Database
from authy_grpc.store.engine import connect
from authy_grpc.store.tables import BudgetRow
from authy_grpc.store.tx import Tools, Tx
from authy_grpc.store.writer import MOST_WAITING, ChangedAndRaised, Job, Writer
from tests import rows
from tests.recording import happened, names, read, record
from tests.threads import PATIENCE, Event
from tests.works import commits, held, leaves, trace, traces


async def together(database: Database, *works: Callable[[Any], Any]) -> list[Any]:
    """What each work is answered, all of one group."""
    async with held(database):
        tasks = [asyncio.create_task(database.write(work)) for work in works]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("works", "groups"), [(1, 1), (64, 1), (65, 2)])
async def test_what_waits_shares_a_commit_64_at_a_time(database: Database, works: int, groups: int) -> None:
    names = [f"{number:02}" for number in range(works)]
    with commits() as seen:
        answers = await together(database, *map(leaves, names))
    assert answers == names
    assert len(seen) == groups + 1  # and the holder's
    assert await traces(database) == names


async def test_a_refusal_that_is_raised_leaves_the_others(database: Database) -> None:
    def refuse(tx: Tx) -> None:
        rows.found(tx, select(BudgetRow).with_for_update())
        raise NotFound

    with commits() as seen:
        answers = await together(database, leaves("a"), refuse, leaves("b"))
    assert answers[0::2] == ["a", "b"]
    assert isinstance(answers[1], NotFound)
    assert len(seen) == 2
    assert await traces(database) == ["a", "b"]


async def test_a_refusal_that_is_returned_is_kept_and_raised(database: Database) -> None:
    def count(tx: Tx) -> CodeRejected:
        rows.add(tx, trace("counted"))
        return CodeRejected()

    answers = await together(database, leaves("a"), count)
    assert answers[0] == "a"
    assert isinstance(answers[1], CodeRejected)
    assert await traces(database) == ["a", "counted"]
    with pytest.raises(CodeRejected):
        await database.write(lambda tx: CodeRejected())


async def test_a_fault_rolls_the_group_back_and_each_runs_alone(database: Database) -> None:
    runs: list[str] = []

    def work(name: str, fault: Exception | None = None) -> Callable[[Tx], str]:
        def run(tx: Tx) -> str:
            runs.append(name)
            rows.add(tx, trace(name))
            if fault is not None:
                raise fault
            return name

        return run

    with commits() as seen:
        answers = await together(database, work("a"), work("bad", ValueError("oops")), work("b"))
    assert answers[0::2] == ["a", "b"]
    assert isinstance(answers[1], ValueError)
    assert runs == ["a", "bad", "a", "bad", "b"]
    assert len(seen) == 3  # the holder, and two alone
    assert await traces(database) == ["a", "b"]


async def test_what_the_database_refuses_is_the_fault_of_one(database: Database) -> None:
    answers = await together(database, leaves("a"), leaves("a"), leaves("b"))
    assert answers[0::2] == ["a", "b"]
    assert isinstance(answers[1], IntegrityError)
    assert await traces(database) == ["a", "b"]


async def test_of_a_group_those_that_lock_accounts_go_first(database: Database) -> None:
    ran: list[str] = []

    def work(name: str, accounts: bool) -> asyncio.Task[None]:
        return asyncio.create_task(database.write(lambda tx: ran.append(name), accounts=accounts))

    with commits() as seen:
        async with held(database):
            tasks = [work("a", False), work("b", True), work("c", False), work("d", True)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    assert ran == ["b", "d", "a", "c"]
    assert len(seen) == 2  # and the holder's


@pytest.mark.parametrize("fault", [SystemExit, StopIteration, asyncio.CancelledError, KeyboardInterrupt])
async def test_the_writer_outlives_what_ends_a_thread_or_a_task(
    database: Database, fault: type[BaseException]
) -> None:
    def work(tx: Tx) -> None:
        raise fault

    answers = await together(database, leaves("a"), work, leaves("b"))
    assert answers[0::2] == ["a", "b"]
    assert isinstance(answers[1], RuntimeError)
    assert await database.write(leaves("c")) == "c"


def recorded(tx: Tx) -> None:
    tx.record(happened("new"))


def added(tx: Tx) -> None:
    rows.add(tx, trace("new"))


def inserted(tx: Tx) -> None:
    tx.connection().execute(insert(BudgetRow).values(**trace("new").model_dump()))


def updated(tx: Tx) -> None:
    tx.connection().execute(update(BudgetRow).values(times="[1]"))


def removed(tx: Tx) -> None:
    tx.connection().execute(delete(BudgetRow))


def hidden(tx: Tx) -> None:
    if tx.connection().dialect.name == "sqlite":
        tx.connection().execute(text("WITH x AS (SELECT 1) DELETE FROM budget"))
    else:
        tx.connection().execute(text("WITH x AS (DELETE FROM budget RETURNING name) SELECT * FROM x"))


CHANGES = [recorded, added, inserted, updated, removed, hidden]


async def left(database: Database) -> list[tuple[str, str]]:
    """The traces and what they count, and the names of events."""
    statement = select(BudgetRow.name, BudgetRow.times).order_by(col(BudgetRow.name))
    found = await database.read(lambda tx: [tuple(row) for row in rows.found(tx, statement)])
    return [*found, *((name, "") for name in names(await read(database)))]


@pytest.mark.parametrize("change", CHANGES)
async def test_the_guard_catches_a_work_that_changes_and_raises(
    database: Database, change: Callable[[Tx], None]
) -> None:
    def work(tx: Tx) -> None:
        change(tx)
        raise NotFound

    await database.write(leaves("old"))
    answers = await together(database, leaves("a"), work)
    assert answers[0] == "a"
    assert isinstance(answers[1], ChangedAndRaised)
    assert await left(database) == [("a", "[]"), ("old", "[]")]


@pytest.mark.parametrize("change", CHANGES)
async def test_what_a_work_changes_and_does_not_raise_is_kept(
    database: Database, change: Callable[[Tx], None]
) -> None:
    await database.write(leaves("old"))
    await database.write(change)
    assert await left(database) != [("old", "[]")]


async def test_without_the_guard_what_was_recorded_and_refused_is_dropped(
    database_url: str, tools: Tools
) -> None:
    database = Database(database_url, tools)

    def work(tx: Tx) -> None:
        recorded(tx)
        raise NotFound

    answers = await together(database, lambda tx: tx.record(happened("kept")), work)
    assert isinstance(answers[1], NotFound)
    assert names(await read(database)) == ["kept"]
    await database.close()


async def test_a_caller_that_goes_before_its_work_began_gets_none_done(database: Database) -> None:
    async with held(database):
        gone = asyncio.create_task(database.write(leaves("gone")))
        stays = asyncio.create_task(database.write(leaves("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert await stays == "stays"
    assert await traces(database) == ["stays"]


async def test_a_work_that_has_begun_is_finished_though_its_caller_goes(database: Database) -> None:
    began, release = Event(), Event()

    def work(tx: Tx) -> None:
        began.set()
        release.wait()
        rows.add(tx, trace("begun"))

    task = asyncio.create_task(database.write(work))
    await asyncio.to_thread(began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await database.write(leaves("next"))
    assert await traces(database) == ["begun", "next"]


async def test_no_more_wait_than_have_room(database_url: str) -> None:
    loop, began, release = asyncio.get_running_loop(), Event(), Event()

    def hold(tx: Tx) -> None:
        began.set()
        release.wait()

    engine = connect(database_url, writes=True, connections=1)
    writer = Writer(engine, loop, postgres=engine.dialect.name == "postgresql", wake=lambda credentials: None)
    holder = Job(loop.create_future(), work=hold)
    writer.put(holder)
    await asyncio.to_thread(began.wait)
    jobs = [Job(loop.create_future(), work=leaves(str(number))) for number in range(MOST_WAITING)]
    for job in jobs:
        writer.put(job)
    with pytest.raises(BackendUnavailable):
        writer.put(Job(loop.create_future(), work=leaves("too much")))
    writer.forget(jobs[7])
    writer.put(last := Job(loop.create_future(), work=lambda tx: "last"))
    for job in jobs:
        job.future.cancel()
    release.set()
    assert await last.future == "last"
    await asyncio.to_thread(writer.stop)
    with pytest.raises(BackendUnavailable):
        writer.put(Job(loop.create_future(), work=leaves("too late")))


async def test_a_fault_of_those_who_are_woken_leaves_nobody_waiting(database: Database) -> None:
    def wake() -> None:
        raise ValueError("oops")

    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    database.on_events = wake
    await record(database, "a")
    assert [type(each["exception"]) for each in faults] == [ValueError]


async def test_works_run_in_order(database: Database) -> None:
    order: list[int] = []
    works = [lambda session, number=number: order.append(number) for number in range(200)]
    await asyncio.gather(*(database.write(work) for work in works))
    assert order == list(range(200))


async def test_jobs_that_are_all_taken_back_do_not_end_the_writer(database: Database) -> None:
    for _ in range(5):
        # Close behind each other, so that the writer waits for more; and nothing comes until it has waited.
        gone = [asyncio.create_task(database.write(leaves("gone"))) for _ in range(2)]
        await database.read(lambda tx: None)
        for each in gone:
            each.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        for _ in range(50):
            await database.read(lambda tx: None)
    async with asyncio.timeout(PATIENCE):
        await database.write(leaves("kept"))


class Batches:
    """A batch that remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def run(self, tx: Tx, items: Sequence[str]) -> list[str | Exception]:
        self.calls.append(list(items))
        for item in items:
            rows.add(tx, trace(f"{item}"))
        if "fault" in items:
            raise ValueError("oops")
        return [NotFound() if item == "refused" else item.upper() for item in items]


async def batched(database: Database, batches: Batches, *items: str) -> list[Any]:
    """What each item is answered, all of one group, with a plain work in the midst of them."""
    run = batches.run
    async with held(database):
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(database.write_batched(run, item)) for item in items
        ]
        tasks.insert(1, asyncio.create_task(database.write(leaves("plain"))))
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_batch_takes_all_that_wait_in_order_and_answers_each(database: Database) -> None:
    batches = Batches()
    with commits() as seen:
        answers = await batched(database, batches, "a", "refused", "b")
    assert batches.calls == [["a", "refused", "b"]]
    assert (answers[0], answers[1], answers[3]) == ("A", "plain", "B")
    assert isinstance(answers[2], NotFound)
    assert len(seen) == 2
    assert await traces(database) == ["a", "b", "plain", "refused"]


async def test_a_fault_in_a_batch_is_that_of_one_item(database: Database) -> None:
    batches = Batches()
    answers = await batched(database, batches, "a", "fault", "b")
    assert batches.calls == [["a", "fault", "b"], ["a"], ["fault"], ["b"]]
    assert (answers[0], answers[1], answers[3]) == ("A", "plain", "B")
    assert isinstance(answers[2], ValueError)
    assert await traces(database) == ["a", "b", "plain"]


async def test_a_batch_that_answers_too_few_answers_nobody_wrongly(database: Database) -> None:
    def short(tx: Tx, items: Sequence[str]) -> list[str]:
        return []

    with pytest.raises(ValueError, match="zip"):
        await database.write_batched(short, "a")
