"""Owns how connections to SQLite and PostgreSQL are made and set up."""

from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url

_STATEMENT_TIMEOUT_MILLIS = 5_000
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -16000")


def normalize(url: str) -> str:
    """The URL with the driver that we use: `sqlite://…` stays, `postgres://…` gets psycopg."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def connect(url: str, *, writes: bool, connections: int) -> Engine:
    """An engine for one kind of work.

    Args:
        url: `sqlite:///…` or `postgresql://…`.
        writes: whether its transactions take the write lock at once. In WAL a transaction that
            reads first and writes later fails whatever the busy timeout.
        connections: how many it keeps.
    """
    parsed = make_url(normalize(url))
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed.render_as_string(hide_password=False), writes, connections)
    settings = (
        f"-c statement_timeout={_STATEMENT_TIMEOUT_MILLIS} -c lock_timeout={_STATEMENT_TIMEOUT_MILLIS}"
        " -c idle_in_transaction_session_timeout=10000"
    )
    return create_engine(
        parsed,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=not writes,
        hide_parameters=True,
        connect_args={"connect_timeout": 3, "options": settings},
        isolation_level="READ COMMITTED",
    )


def _sqlite(url: str, writes: bool, connections: int) -> Engine:
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
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        if not writes:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
