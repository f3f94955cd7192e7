"""Owns how connections to SQLite and PostgreSQL are made and set up, and which errors are the database's."""

import sqlite3
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

_STATEMENT_TIMEOUT_MILLIS = 5_000
_WAL_TRIES = 10
# What is deleted is overwritten, so that it is not read from the file's free pages.
_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "cache_size = -16000")
_TRUNCATE_WAIT_MILLIS = 1_000

# A server that has gone without a word is noticed in seconds; the kernel's own defaults take hours.
POSTGRES_CONNECTION = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8_000,
}


def normalize(url: str) -> str:
    """The URL with the driver that we use: `sqlite://…` stays, `postgres://…` gets psycopg."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def plain(url: str) -> str:
    """The URL as psycopg itself takes it."""
    return normalize(url).replace("postgresql+psycopg://", "postgresql://", 1)


def out_of_reach(error: DBAPIError) -> bool:
    """Whether the database is at fault rather than the statement: gone, locked, full or too slow."""
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    # SQLite counts a wrong statement among its operational errors.
    code: int | None = getattr(error.orig, "sqlite_errorcode", None)
    return code is None or code & 0xFF != sqlite3.SQLITE_ERROR


def connect(url: str, *, writes: bool, connections: int) -> Engine:
    """An engine for one kind of work.

    Args:
        url: `sqlite:///…` or `postgresql://…`.
        writes: whether its transactions take the write lock at once: in SQLite's WAL a transaction
            that reads first and writes later fails whatever the busy timeout. Those that only read
            see one moment, on PostgreSQL too.
        connections: how many it keeps.
    """
    parsed = make_url(normalize(url))
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, writes, connections)
    settings = (
        f"-c statement_timeout={_STATEMENT_TIMEOUT_MILLIS} -c lock_timeout={_STATEMENT_TIMEOUT_MILLIS}"
        " -c idle_in_transaction_session_timeout=10000"
    )
    given = parsed.query.get("options", "")
    return create_engine(
        parsed,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        connect_args={**POSTGRES_CONNECTION, "options": f"{settings} {given}".rstrip()},
        isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
    )


def truncate_wal(engine: Engine) -> bool:
    """Copy SQLite's write-ahead log into the database file and empty it; False where that cannot be done now,
    since somebody still reads it or the disk is full.

    Args:
        engine: of `connect`, for reads: a checkpoint is none of the changes that those may not make.
    """
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_TRUNCATE_WAIT_MILLIS}")
        busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {_STATEMENT_TIMEOUT_MILLIS}")
        return not busy
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()


def _use_wal(connection: sqlite3.Connection) -> None:
    for _ in range(_WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        # Of two that turn a new database to WAL at once SQLite refuses one without a wait; this waits.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    connection.execute("PRAGMA journal_mode = WAL")


def _sqlite(url: URL, writes: bool, connections: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": _STATEMENT_TIMEOUT_MILLIS / 1000},
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, record: Any) -> None:
        # The driver must not begin transactions by itself.
        connection.isolation_level = None
        _use_wal(connection)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        if not writes:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
