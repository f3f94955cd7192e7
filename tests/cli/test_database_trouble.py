"""A database that cannot be used is explained in its own words, without the URL, by each command."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Done, Shell
from tests.databases import Postgres, Server, own_server
from tests.proxy import Proxy

SECRET = "hunter2"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server with a role that needs its password, and databases that are not fit."""
    with own_server() as server:
        rules = Path(server._server.pgdata) / "pg_hba.conf"
        rules.write_text("local all secretive scram-sha-256\n" + rules.read_text())
        with psycopg.connect(server.url, autocommit=True) as connection:
            for statement in (
                f"CREATE ROLE secretive LOGIN PASSWORD '{SECRET}'",
                "CREATE DATABASE another",
                "CREATE DATABASE latin OWNER secretive ENCODING LATIN1 LOCALE 'C' TEMPLATE template0",
                "CREATE DATABASE ascii OWNER secretive ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0",
                "SELECT pg_reload_conf()",
            ):
                connection.execute(statement.encode())
        yield server


def explained(done: Done, words: str, step: str) -> None:
    assert done.returncode == 1
    assert words in done.stderr and step in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr and "postgresql://secretive" not in done.stderr


@pytest.mark.parametrize(
    ("password", "name", "words", "step"),
    [
        ("wrong", "another", "password authentication failed", "Give the right password"),
        (SECRET, "nowhere", 'database "nowhere" does not exist', "createdb"),
        (SECRET, "another", "permission denied for schema public", "OWNER"),
        (SECRET, "latin", "encoding is LATIN1, and only UTF8", "--encoding UTF8"),
        (SECRET, "ascii", "encoding is SQL_ASCII, and only UTF8", "--encoding UTF8"),
        (SECRET, "another&pgbouncer=true", "does not know: pgbouncer", "libpq"),
        (SECRET, "another&sslmode=perhaps", "invalid sslmode value", "sslmode"),
    ],
)
def test_the_servers_own_words(
    shell: Shell, guarded: Server, password: str, name: str, words: str, step: str
) -> None:
    shell.out("keys", "init")
    name, _, more = name.partition("&")
    host = psycopg.conninfo.conninfo_to_dict(guarded.url)["host"]
    url = f"postgresql://secretive:{password}@/{name}?host={host}{'&' + more if more else ''}"
    shell.exported["AUTHY_DATABASE_URL"] = url
    explained(shell.run("db", "upgrade"), words, step)


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "init"], ["db", "upgrade"], ["serve"], ["up"], ["account", "show", "+15005550006"],
        ["keys", "reencrypt"],
    ],
)  # fmt: skip
def test_each_command_says_that_nobody_is_there(shell: Shell, arguments: list[str]) -> None:
    if arguments != ["keys", "init"]:
        shell.out("keys", "init")
    shell.exported["AUTHY_DATABASE_URL"] = f"postgresql://u:{SECRET}@127.0.0.1:1/x"
    explained(shell.run(*arguments), "Connection refused", "Start the database")


def test_doctor_says_it_too(shell: Shell) -> None:
    shell.out("keys", "init")
    shell.exported["AUTHY_DATABASE_URL"] = f"postgresql://u:{SECRET}@127.0.0.1:1/x"
    done = shell.run("doctor", "--json")
    assert done.returncode == 1
    assert "Connection refused" in done.stdout and "Start the database" in done.stdout
    assert SECRET not in done.stdout


@pytest.mark.parametrize(
    "rest",
    [
        f"u:{SECRET}@pass:word/x@127.0.0.1/x", f"u:p@{SECRET}@127.0.0.1/x", f"u:{SECRET}/x@127.0.0.1:1/x",
        f"u:1/{SECRET}@127.0.0.1/x", f"u:{SECRET}#x@127.0.0.1/x", f"u:%{SECRET}@127.0.0.1:1/x",
        f"u@127.0.0.1:{SECRET}/x", f"u@h/x?password={SECRET}@x", f"u@h/x?{SECRET}2",
    ],
)  # fmt: skip
def test_an_url_that_cannot_be_read_is_not_shown(shell: Shell, rest: str) -> None:
    shell.out("keys", "init")
    shell.exported["AUTHY_DATABASE_URL"] = f"postgresql://{rest}"
    for command in (["db", "upgrade"], ["serve"]):
        done = shell.run(*command)
        assert done.returncode == 1 and "AUTHY_DATABASE_URL" in done.stderr, done.stderr
        assert SECRET not in done.stderr and "Traceback" not in done.stderr
    assert SECRET not in shell.run("doctor").stdout


async def test_tls_that_is_not_there_is_said(shell: Shell, postgres: Postgres) -> None:
    shell.out("keys", "init")
    async with Proxy.to(postgres._url) as proxy:
        shell.exported["AUTHY_DATABASE_URL"] = f"{proxy.url}?sslmode=require"
        done = await asyncio.to_thread(shell.run, "db", "upgrade")
    explained(done, "server does not support SSL", "sslmode")


def test_sqlite_is_explained_with_its_file(shell: Shell) -> None:
    file = shell.home / "authy.db"
    file.write_bytes(b"nothing of the kind" * 100)
    shell.exported["AUTHY_DATABASE_URL"] = f"sqlite:///{file}"
    done = shell.run("db", "upgrade")
    explained(done, "file is not a database", "backup")
    assert str(file) in done.stderr
    shell.exported["AUTHY_DATABASE_URL"] = f"sqlite:///{shell.home}"
    explained(shell.run("db", "upgrade"), "unable to open database file", "It is a folder")
    shell.exported["AUTHY_DATABASE_URL"] = f"sqlite:///{file}?mode=fast"
    explained(shell.run("db", "upgrade"), "does not know: mode", "Take them out")
