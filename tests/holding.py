"""Another server of the tests, as PostgreSQL sees one: it holds rows, and others wait for them."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx


@contextmanager
def held(url: str, statement: str = "SELECT FROM account FOR UPDATE") -> Iterator[psycopg.Connection]:
    """Rows, or all accounts, as somebody holds them who changes them until the end."""
    with psycopg.connect(url) as other:
        other.execute(statement.encode())
        yield other


async def waiting(database: Database) -> None:
    """Return when somebody waits for a lock."""
    while not await database.read(_waits):
        pass


def _waits(tx: Tx) -> bool:
    found = tx.connection().exec_driver_sql(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(found.scalar())
