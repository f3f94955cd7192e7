"""Makes SQLAlchemy engines for SQLite and PostgreSQL: how connections are set up, begin and are dropped."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from authy_grpc.store import postgres
from authy_grpc.store.faults import ends_connection
from authy_grpc.store.trouble import DatabaseTrouble

_STATEMENT_TIMEOUT_MILLIS = 5_000
_IDLE_TIMEOUT_MILLIS = 10_000
_WAL_TRIES = 10
# What is deleted is overwritten, so that it is not read from the file's free pages.
_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "cache_size = -16000")
_TRUNCATE_WAIT_MILLIS = 1_000
# SQLite's own code for a file that was moved away; in WAL mode it does not look.
_MOVED = 1032


def connect(url: str, *, writes: bool, connections: int) -> Engine:
    """An engine for one kind of work.

    Args:
        url: `sqlite:///…` or `postgresql://…`.
        writes: whether its transactions take the write lock at once: in SQLite's WAL a transaction
            that reads first and writes later fails whatever the busy timeout. Those that only read
            see one moment, on PostgreSQL too.
        connections: how many it keeps.

    Raises:
        DatabaseTrouble: the URL cannot be read.
    """
    engine = (
        _postgres(url, writes, connections)
        if postgres.is_postgres(url)
        else _sqlite(_sqlite_url(url), writes, connections)
    )

    @event.listens_for(engine, "handle_error")
    def _drop(context: Any) -> None:
        # What the pool holds was made to the same server, and is dropped with it.
        if ends_connection(context.original_exception):
            context.is_disconnect = True

    return engine


def _postgres(url: str, writes: bool, connections: int) -> Engine:
    given = postgres.parameters(url)
    # The driver is an extra: only servers on PostgreSQL need it.
    from authy_grpc.store import pipeline

    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: postgres.open_connection(given, pipeline.Connection),
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        use_native_hstore=False,
    )
    level = "read committed" if writes else "repeatable read"
    limits = {
        "statement_timeout": _STATEMENT_TIMEOUT_MILLIS,
        "lock_timeout": _STATEMENT_TIMEOUT_MILLIS,
        "idle_in_transaction_session_timeout": _IDLE_TIMEOUT_MILLIS,
    }
    # For this transaction alone: the next may be on another connection.
    limited = ", ".join(f"set_config('{name}', '{millis}', true)" for name, millis in limits.items())
    pipeline.use(engine, (f"BEGIN ISOLATION LEVEL {level}", f"SELECT {limited}"))
    return engine


def _sqlite_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite":
        raise DatabaseTrouble(
            "AUTHY_DATABASE_URL names no database that is known here.",
            "sqlite:///relative/path, sqlite:////absolute/path or postgresql://USER@HOST/NAME",
        )
    if parsed.query and "uri" not in parsed.query:
        raise DatabaseTrouble(
            f"AUTHY_DATABASE_URL has parameters that SQLite does not know: {', '.join(parsed.query)}.",
            "Take them out.",
        )
    return parsed


def truncate_wal(engine: Engine) -> bool:
    """Copy SQLite's write-ahead log into the database file and empty it.

    False where that cannot be done now: somebody still reads it, the disk is full, the file is gone.

    Args:
        engine: of `connect`, for reads: a checkpoint is none of the changes that those may not make.
    """
    try:
        with closing(engine.raw_connection()) as connection:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout = {_TRUNCATE_WAIT_MILLIS}")
            busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            cursor.execute(f"PRAGMA busy_timeout = {_STATEMENT_TIMEOUT_MILLIS}")
            return not busy
    except (sqlite3.Error, DBAPIError):
        # Who asks has done its work, and must not be told that it failed.
        return False


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
    files = _Files(Path(url.database or ""))

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, record: Any) -> None:
        # The driver must not begin transactions by itself.
        connection.isolation_level = None
        _use_wal(connection)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        # Of SQLite's own since 3.41, as `unhex`.
        connection.create_function("from_hex", 1, _from_hex, deterministic=True)
        if not writes:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        files.check(connection)

    return engine


def _from_hex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


class _Files:
    """Notices that the database's file, or its log of writes, is not the one any more that is open.

    What is written then is lost without a word: both go on in a file that has no name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = Path(f"{path}-wal")
        # None: in memory, or made by the first connection.
        self._identity = _identity(path)

    def check(self, connection: Any) -> None:
        """Ask after a transaction has begun.

        Raises:
            OperationalError: they are others.
        """
        if (found := _identity(self._path)) is None and self._identity is None:
            return
        self._identity = self._identity or found
        # A connection has its log for as long as it lives; the last one that closes removes it.
        log = _identity(self._log)
        known = connection.info.setdefault("wal", log) or log
        connection.info["wal"] = known
        if found != self._identity or log != known:
            fault = sqlite3.OperationalError("the database's file was replaced or removed while it was open")
            fault.sqlite_errorcode, fault.sqlite_errorname = _MOVED, "SQLITE_READONLY_DBMOVED"
            raise OperationalError("BEGIN", None, fault)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
