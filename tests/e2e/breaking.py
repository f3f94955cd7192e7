"""How things break: services that fail with all that they were told in the text, and a lost database."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import psycopg

from tests.harness import Service

SECRET = "+4915112345678 +canary+ 271828"


class Fault(Exception):
    """What nobody has foreseen."""


class Broken:
    """Fails at once."""

    def __getattr__(self, name: str) -> Any:
        return fail

    def __call__(self, *asked: Any, **more: Any) -> NoReturn:
        fail(*asked, **more)


class Breaking:
    """Fails on the way of a stream."""

    def __getattr__(self, name: str) -> Any:
        return fail_later


def fail(*asked: Any, **more: Any) -> NoReturn:
    """Raise, with other exceptions behind it."""
    local = SECRET
    try:
        raise ValueError(f"{local} {asked} {more}")
    except ValueError as error:
        raise Fault(f"{SECRET} {asked} {more}") from ExceptionGroup(SECRET, [error])


async def fail_later(*asked: Any, **more: Any) -> AsyncIterator[Any]:
    """Raise where the first item is due."""
    await asyncio.sleep(0)
    fail(*asked, **more)
    yield


@contextmanager
def broken(service: Service, stand_in: Any) -> Iterator[None]:
    """Put something else into the place of all that the servicers call."""
    servicers = [registered.servicer for registered in service.core.server._services]
    whole = [dict(vars(servicer)) for servicer in servicers]
    for servicer in servicers:
        for name in set(vars(servicer)) - {"_streams"}:
            setattr(servicer, name, stand_in)
    try:
        yield
    finally:
        for servicer, attributes in zip(servicers, whole, strict=True):
            vars(servicer).update(attributes)


@contextmanager
def gone(service: Service) -> Iterator[None]:
    """Take the database away, and bring it back."""
    cut = _without_sqlite if service.url.startswith("sqlite") else _without_postgres
    with cut(service):
        yield


@contextmanager
def _without_sqlite(service: Service) -> Iterator[None]:
    database = service.core.database
    file = Path(service.url.removeprefix("sqlite:///"))
    aside = file.with_suffix(".aside")
    for engine in (database._reads, database._writer._engine):
        engine.dispose()
    file.rename(aside)
    file.mkdir()
    try:
        yield
    finally:
        file.rmdir()
        aside.rename(file)


@contextmanager
def _without_postgres(service: Service) -> Iterator[None]:
    name = urlsplit(service.url).path.removeprefix("/")
    with psycopg.connect(service.url, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        try:
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


@contextmanager
def held_up(service: Service) -> Iterator[None]:
    """Let somebody else hold what writes need."""
    if service.url.startswith("sqlite"):
        other = sqlite3.connect(service.url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
    else:
        with psycopg.connect(service.url) as connection:
            connection.execute("LOCK TABLE link, account, approval IN ACCESS EXCLUSIVE MODE")
            yield
