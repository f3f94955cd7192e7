"""Works that tests run on a store: they leave a trace, or hold the writer. Counts and delays commits."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine, Executable, event
from sqlmodel import col, select

from authy_grpc.store.database import Database
from authy_grpc.store.tables import BudgetRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.threads import Event

NEVER = datetime(2100, 1, 1, tzinfo=UTC)


def trace(name: str) -> BudgetRow:
    """A row by which a test sees that a work took place."""
    return BudgetRow(name=name, times="[]", expire_time=NEVER)


def does(statement: Executable) -> Callable[[Tx], None]:
    """A work that runs a statement."""

    def work(tx: Tx) -> None:
        tx.connection().execute(statement)

    return work


def leaves(name: str) -> Callable[[Tx], str]:
    """A work that leaves a trace, and answers its name."""

    def work(tx: Tx) -> str:
        rows.add(tx, trace(name))
        return name

    return work


async def traces(database: Database) -> list[str]:
    """The names of all traces, sorted."""
    statement = select(BudgetRow.name).order_by(col(BudgetRow.name))
    return await database.read(lambda tx: rows.found(tx, statement))


@asynccontextmanager
async def held(database: Database) -> AsyncIterator[None]:
    """A writer that begins nothing else meanwhile."""
    began, release = Event(), Event()

    def work(tx: Tx) -> None:
        began.set()
        release.wait()

    holder = asyncio.create_task(database.write(work))
    await asyncio.to_thread(began.wait)
    try:
        yield
    finally:
        release.set()
        await asyncio.wait([holder])


@contextmanager
def commits() -> Iterator[list[Engine]]:
    """Grows by one with each commit of a writer."""
    seen: list[Engine] = []

    def count(connection: Engine) -> None:
        if threading.current_thread().name == "authy-writer":
            seen.append(connection)

    event.listen(Engine, "commit", count)
    try:
        yield seen
    finally:
        event.remove(Engine, "commit", count)


@contextmanager
def slow_commit() -> Iterator[tuple[Event, Event]]:
    """Commits of writers wait: two events, that one has begun, and that it may go on."""
    begun, go_on = Event(), Event()

    def wait(connection: Engine) -> None:
        if threading.current_thread().name == "authy-writer":
            begun.set()
            go_on.wait()

    event.listen(Engine, "commit", wait)
    try:
        yield begun, go_on
    finally:
        go_on.set()
        event.remove(Engine, "commit", wait)
