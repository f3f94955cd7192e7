"""What is missing is named, with what to do; nobody gets a traceback for what may well happen."""

import pytest

from tests.cli.conftest import Shell

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("missing", "extra", "command"),
    [
        ("typer", "[server]", ["demo"]),
        ("pyotp", "[phone]", ["phone", "sites"]),
        ("zxingcpp", "[server,phone,gateway]", ["demo"]),
        ("uvloop", "[server,gateway]", ["up"]),
        ("uvloop", "[server,gateway]", ["gateway"]),
        ("sqlmodel", "[server]", ["serve"]),
        ("uvloop", "[server]", ["serve"]),
        ("pydantic_settings", "[server]", ["application", "list"]),
        ("tink", "[server]", ["keys", "init"]),
        ("alembic", "[server]", ["db", "upgrade"]),
        ("phonenumbers", "[server]", ["doctor"]),
    ],
)
def test_a_missing_extra_is_named(shell: Shell, missing: str, extra: str, command: list[str]) -> None:
    done = shell.run_apart(*command, without=missing)

    assert done.returncode == 1
    assert f"pip install '.{extra}'" in done.stderr
    assert "Traceback" not in done.stderr


def test_postgresql_without_its_driver_names_its_extra(shell: Shell) -> None:
    shell.exported["AUTHY_DATABASE_URL"] = "postgresql://127.0.0.1:1/authy"

    done = shell.run_apart("db", "upgrade", without="psycopg")

    assert "pip install '.[postgres]'" in done.stderr


def test_the_phone_needs_nothing_of_the_server(shell: Shell) -> None:
    done = shell.run_apart("phone", "sites", without="pydantic_settings")

    assert f"There is no phone at {shell.state}" in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["application", "list"], "AUTHY_HOME"),
        (["account", "show", "+15005550006"], "There is no database"),
        (["phone", "sites"], "phone register"),
        (["phone", "register", "+15005550006", "--server", "127.0.0.1:1"], "AUTHY_SERVER"),
        (["phone", "scan", "nothing.png"], "neither a file nor"),
    ],
)
def test_what_is_not_there_is_said(shell: Shell, command: list[str], said: str) -> None:
    done = shell.run(*command)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_completion_is_offered(shell: Shell) -> None:
    assert "--show-completion" in shell.out("--help")
