"""Owns events that tests record, in transactions of their own where they need to interleave."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from authy_grpc.domain.event import UserEvent
from authy_grpc.store.database import Database
from authy_grpc.store.engine import connect
from authy_grpc.store.events import EARLIEST, Events, NewEvent, Position, Recorded
from authy_grpc.store.tx import Tx

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def happened(
    name: str, application_id: str | None = "app_1", type: str = "user.locked", padding: int = 0
) -> NewEvent:
    """An event whose subject is its name."""
    body = UserEvent(authy_id=name, custom_user_id="x" * padding)
    return NewEvent(type=type, subject_id=name, application_id=application_id, body=body)


async def record(database: Database, events: Events, *names: str, application_id: str = "app_1") -> None:
    """Record events, in one transaction."""
    made = [happened(name, application_id) for name in names]
    await database.write(lambda tx: events.record(tx, NOON, *made))


def names(rows: list[Recorded]) -> list[str]:
    """The subjects of events."""
    return [row.subject_id for row in rows]


async def read(database: Database, events: Events, after: Position = EARLIEST) -> list[Recorded]:
    """All events after a place."""
    return await database.read(lambda tx: events.read_after(tx, after, limit=1000))


class Transaction:
    """A transaction that a test begins and ends."""

    def __init__(self, tx: Tx, events: Events) -> None:
        self._tx = tx
        self._events = events

    def record(self, *names: str) -> None:
        """Record events; nobody is told."""
        self._events.record(self._tx, NOON, *map(happened, names))

    def begin(self) -> int:
        """Take the transaction's id."""
        connection = self._tx.connection()
        xid: int = connection.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint").scalar_one()
        return xid

    def commit(self) -> None:
        """Let others see it."""
        self._tx.connection().commit()


@contextmanager
def transaction(url: str, events: Events) -> Iterator[Transaction]:
    """A transaction on a connection of its own, rolled back where it is not committed."""
    engine = connect(url, writes=True, connections=1)
    with engine.connect() as connection, Tx(connection) as tx:
        yield Transaction(tx, events)
    engine.dispose()
