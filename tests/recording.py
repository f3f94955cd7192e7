"""Events that tests record, in transactions of their own where they need to interleave."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from authy_grpc.domain.event import UserEvent
from authy_grpc.store import events
from authy_grpc.store.database import Database
from authy_grpc.store.engine import connect
from authy_grpc.store.events import EARLIEST, NewEvent, Position, Recorded
from authy_grpc.store.tx import Tx

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def happened(
    name: str, application_id: str | None = "app_1", type: str = "user.locked", padding: int = 0
) -> NewEvent:
    """An event whose subject is its name."""
    body = UserEvent(authy_id=name, custom_user_id="x" * padding)
    return NewEvent(type=type, subject_id=name, application_id=application_id, body=body)


async def record(database: Database, *names: str, application_id: str = "app_1") -> None:
    """Record events, in one transaction."""
    made = [happened(name, application_id) for name in names]
    await database.write(lambda tx: tx.record(*made))


def names(rows: list[Recorded]) -> list[str]:
    """The subjects of events."""
    return [row.subject_id for row in rows]


async def read(database: Database, after: Position = EARLIEST) -> list[Recorded]:
    """All events after a place."""
    return await database.read(lambda tx: events.read_after(tx, after, limit=1000))


def by(tx: Tx, **tools: Any) -> Tx:
    """The same transaction, with other tools: such as another server's `vault` or `clock`."""
    return Tx(tx.connection(), replace(tx.tools, **tools))


class Transaction:
    """A transaction that a test begins and ends."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def record(self, *names: str) -> None:
        """Record events; nobody is told."""
        self._tx.record(*map(happened, names))
        self._tx.write_recorded()

    def begin(self) -> int:
        """Take the transaction's id."""
        connection = self._tx.connection()
        xid: int = connection.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint").scalar_one()
        return xid

    def commit(self) -> None:
        """Let others see it."""
        self._tx.connection().commit()


@contextmanager
def transaction(database: Database) -> Iterator[Transaction]:
    """A transaction on a connection of its own, rolled back where it is not committed."""
    engine, tools = connect(database.url, writes=True, connections=1), database.tools
    with engine.connect() as connection:
        yield Transaction(Tx(connection, tools))
    engine.dispose()
