"""What is the database's fault is no fault of ours: nothing was decided, and it comes back by itself."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.store import events
from authy_grpc.store.database import Database
from authy_grpc.store.faults import Fault
from authy_grpc.store.postgres import parameters, plain
from authy_grpc.store.tx import Tools, Tx
from tests.databases import watched
from tests.proxy import Proxy
from tests.recording import names, read, record
from tests.works import leaves, traces

THEIRS = [
    "08006", "25006", "25P03", "40001", "40P01", "42501", "53100", "53200", "53300", "55P03", "57014",
    "57P01", "57P03", "58030", "XX000",
]  # fmt: skip
OURS = ["22012", "23514", "42P01", "42703"]


def raises(code: str) -> Callable[[Tx], None]:
    """A work that PostgreSQL refuses with a SQLSTATE."""

    def work(tx: Tx) -> None:
        tx.connection().exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")

    return work


def runs(statement: str) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        tx.connection().execute(text(statement))

    return work


def told(database: Database) -> list[bool]:
    """What is said of whether it can be written, as it is said."""
    heard: list[bool] = []
    database.on_writable = lambda fault: heard.append(fault is None)
    return heard


@contextmanager
def read_only(url: str) -> Iterator[None]:
    """A primary that has become a standby, and is one again."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        end_others(connection)
        yield
        # The server stays as it is for who is connected: those must go by themselves.
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())


def end_others(connection: "psycopg.Connection[Any]") -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def replaced(file: Path) -> Path:
    """Put a copy of a file in its place; answers where it is now."""
    aside = file.with_name("aside")
    file.rename(aside)
    shutil.copy(aside, file)
    return aside


@pytest.fixture
async def on_postgres(postgres_url: str, tools: Tools) -> AsyncIterator[Database]:
    opened = watched(postgres_url, tools)
    yield opened
    await opened.close()


@pytest.fixture
async def on_sqlite(sqlite_url: str, tools: Tools) -> AsyncIterator[Database]:
    opened = watched(sqlite_url, tools)
    # As every database of ours has.
    await opened.write(events.begin_epoch)
    yield opened
    await opened.close()


async def test_faults_are_told_apart_by_their_sqlstate(on_postgres: Database) -> None:
    for run in (on_postgres.write, on_postgres.read):
        for code in THEIRS:
            with pytest.raises(BackendUnavailable):
                await run(raises(code))
        for code in OURS:
            with pytest.raises(DBAPIError):
                await run(raises(code))
    assert await on_postgres.write(leaves("a")) == "a"


async def test_each_error_is_counted_by_its_kind(on_postgres: Database) -> None:
    counted: list[Fault] = []
    on_postgres.on_error = counted.append
    for code, kind in (
        ("08006", Fault.CONNECTION), ("57P01", Fault.CONNECTION), ("40P01", Fault.CONTENDED),
        ("55P03", Fault.CONTENDED), ("57014", Fault.TIMEOUT), ("25P03", Fault.TIMEOUT),
        ("25006", Fault.READ_ONLY), ("53100", Fault.FULL), ("42501", Fault.RIGHTS), ("58030", Fault.SYSTEM),
        ("23514", Fault.CONSTRAINT), ("22012", Fault.STATEMENT), ("42P01", Fault.STATEMENT),
    ):  # fmt: skip
        counted.clear()
        with pytest.raises((BackendUnavailable, DBAPIError)):
            await on_postgres.read(raises(code))
        assert set(counted) == {kind}
    counted.clear()
    await on_postgres.write(leaves("a"))
    assert counted == []


async def test_a_database_that_is_gone_counts_as_a_connection(on_postgres: Database) -> None:
    counted: list[Fault] = []
    on_postgres.on_error = counted.append
    with psycopg.connect(plain(on_postgres.url), autocommit=True) as connection:
        await on_postgres.read(lambda tx: tx.connection())
        end_others(connection)
    await on_postgres.read(lambda tx: tx.connection().exec_driver_sql("SELECT 1"))
    assert set(counted) == {Fault.CONNECTION}


async def test_contention_does_not_make_it_unwritable_and_a_full_disk_does(on_postgres: Database) -> None:
    heard = told(on_postgres)
    for code in ("40001", "55P03", "57014", "22012"):
        with pytest.raises((BackendUnavailable, DBAPIError)):
            await on_postgres.write(raises(code))
    assert heard == []
    with pytest.raises(BackendUnavailable):
        await on_postgres.write(raises("53100"))
    assert heard == [False]
    await on_postgres.probe()
    assert heard == [False, True]


async def test_a_primary_that_became_a_standby_is_out_of_reach_and_comes_back(on_postgres: Database) -> None:
    heard = told(on_postgres)
    assert await on_postgres.write(leaves("before")) == "before"
    with read_only(on_postgres.url):
        for _ in range(2):
            with pytest.raises(BackendUnavailable):
                await on_postgres.write(leaves("meanwhile"))
            await on_postgres.probe()
        assert heard == [False] and not on_postgres.writable
        assert await traces(on_postgres) == ["before"]
    await on_postgres.probe()
    assert heard == [False, True] and on_postgres.writable
    assert await on_postgres.write(leaves("after")) == "after"
    assert await traces(on_postgres) == ["after", "before"]


async def test_a_standby_is_noticed_though_nobody_writes(on_postgres: Database) -> None:
    heard = told(on_postgres)
    await on_postgres.probe()
    assert heard == []
    with read_only(on_postgres.url):
        await on_postgres.probe()
        assert heard == [False]
    await on_postgres.probe()
    assert heard == [False, True]


async def test_of_several_hosts_the_one_that_can_be_written_is_found(postgres_url: str) -> None:
    assert parameters("postgresql://u@a:1,b:2/c")["target_session_attrs"] == "read-write"
    assert parameters("postgresql://u@a,b/c?target_session_attrs=any")["target_session_attrs"] == "any"
    assert "target_session_attrs" not in parameters("postgresql://u@a:1/c")
    async with Proxy.to(postgres_url) as proxy:
        near = proxy.url.replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:")
        assert near != proxy.url
        database = watched(near)
        assert await database.write(leaves("a")) == "a"
        with read_only(postgres_url), pytest.raises(BackendUnavailable):
            await database.write(leaves("b"))
        assert await database.write(leaves("c")) == "c"
        await database.close()


async def test_a_commit_whose_listeners_cannot_be_told_is_made(on_postgres: Database, tools: Tools) -> None:
    role = f"mute_{os.getpid()}"
    with psycopg.connect(plain(on_postgres.url), autocommit=True) as connection:
        for statement in (
            f"CREATE ROLE {role} LOGIN",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
            "REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC",
        ):
            connection.execute(statement.encode())
        mute = watched(plain(on_postgres.url).replace("://postgres", f"://{role}", 1), tools)
        try:
            await mute.write(events.begin_epoch)
            for name in ("a", "b"):
                await record(mute, name)
            assert names(await read(mute)) == ["a", "b"]
        finally:
            await mute.close()
            connection.execute("GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO PUBLIC")
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def test_a_full_disk_is_out_of_reach_and_comes_back(on_sqlite: Database) -> None:
    heard = told(on_sqlite)
    await on_sqlite.write(runs("PRAGMA max_page_count = 1"))
    big = "INSERT INTO budget (name, times, expire_time) VALUES ('big', zeroblob(1000000), 0)"
    with pytest.raises(BackendUnavailable):
        await on_sqlite.write(runs(big))
    assert heard == [False]
    await on_sqlite.write(runs("PRAGMA max_page_count = 100000"))
    await on_sqlite.probe()
    assert heard == [False, True]
    await on_sqlite.write(runs(big))


async def test_a_connection_that_became_read_only_is_opened_anew(on_sqlite: Database) -> None:
    await on_sqlite.write(runs("PRAGMA query_only = ON"))
    assert await on_sqlite.write(leaves("a")) == "a"


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_file_that_was_replaced_is_not_written_on(on_sqlite: Database, suffix: str) -> None:
    heard = told(on_sqlite)
    assert await on_sqlite.write(leaves("a")) == "a"
    file = Path(on_sqlite.url.removeprefix("sqlite:///") + suffix)
    aside = replaced(file)
    for run in (on_sqlite.write, on_sqlite.write if suffix else on_sqlite.read):
        with pytest.raises(BackendUnavailable):
            await run(leaves("lost"))
    assert heard == [False]
    os.replace(aside, file)
    await on_sqlite.probe()
    assert heard == [False, True]
    assert await on_sqlite.write(leaves("b")) == "b"
    assert await traces(on_sqlite) == ["a", "b"]


async def test_a_file_that_is_no_database_is_out_of_reach(tmp_path: Path) -> None:
    file = tmp_path / "authy.db"
    file.write_bytes(b"no database" * 1000)
    database = watched(f"sqlite:///{file}")
    with pytest.raises(BackendUnavailable):
        await database.write(leaves("a"))
    await database.close()
