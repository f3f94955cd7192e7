"""What `serve` makes, refuses and says, and how it stops."""

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from authy_grpc.cli import welcome
from authy_grpc.settings import Settings
from tests.cli.conftest import TIMEOUT, Running, Shell, Start, lines_until
from tests.databases import Postgres

pytestmark = pytest.mark.slow


def test_a_new_home_is_made_for_its_owner_alone_and_served_once(
    shell: Shell, serve: Callable[[], Running]
) -> None:
    running = serve()

    home = shell.home / "authy-home"
    told = "\n".join(running.welcome)
    assert str(home / "data" / "authy.db") in told
    assert str(home / "secrets") in told
    # Nothing of this command serves what the links open.
    assert "a gateway has to be reached there" in told
    assert "authy-grpc application create" in told
    assert "authy-grpc phone register" in told
    assert "AUTHY_SMS_URL" not in told
    made = [path for path in home.rglob("*") if path.is_file()]
    assert {"authy.db", "keyset.json", "operator.key", "gateway.key"} <= {path.name for path in made}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in made)
    assert stat.S_IMODE((home / "secrets").stat().st_mode) == 0o700

    # Two on one port would each get half of the calls.
    other = shell.run_apart("serve", "--listen", shell.exported["AUTHY_SERVER"])
    assert other.returncode == 1
    assert "is another server there?" in other.stderr
    assert "Traceback" not in other.stderr
    assert running.stop() == 0


def test_that_no_text_can_go_out_is_said(shell: Shell, start: Start) -> None:
    process = start("serve", "--listen", "127.0.0.1:0")
    told = lines_until(shell, process, "Ctrl-C")
    assert "set AUTHY_SMS_URL" in told
    assert "phone register" not in told


@pytest.mark.parametrize(
    ("command", "http", "url", "said"),
    [
        (
            "serve",
            "127.0.0.1:8080",
            "",
            "QR links begin with http://127.0.0.1:8080, where this command serves nothing",
        ),
        (
            "serve",
            "127.0.0.1:8080",
            "https://a.example",
            "QR links open https://a.example/app/: a gateway has to",
        ),
        ("up", "127.0.0.1:8080", "", "QR links open the web authenticator at http://127.0.0.1:8080/app/"),
        (
            "up",
            "0.0.0.0:8080",
            "https://a.example",
            "QR links open the web authenticator at https://a.example/app/",
        ),
        ("up", "0.0.0.0:8080", "", "QR links begin with http://0.0.0.0:8080: set AUTHY_PUBLIC_URL"),
        ("up", "127.0.0.1:0", "", "QR links begin with http://127.0.0.1:0: set AUTHY_PUBLIC_URL"),
    ],
)
def test_where_qr_links_lead_is_said_where_they_lead_somewhere(
    command: str, http: str, url: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(http_listen=http, public_url=url)
    if command == "up":
        welcome.welcome_up(settings, 50051, 8080)
    else:
        welcome.welcome(settings, 50051)
    assert said in " ".join(capsys.readouterr().out.split())


def test_it_stops_at_the_first_signal_and_starts_again(shell: Shell, serve: Callable[[], Running]) -> None:
    assert serve().stop() == 0

    again = serve()

    assert "New database" not in "\n".join(again.welcome)
    again.process.send_signal(signal.SIGINT)
    again.process.send_signal(signal.SIGINT)
    assert again.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--listen", "0.0.0.0:50099"], "AUTHY_TLS_CERT"),
        (["--listen", "0.0.0.0:50099", "--dev", "--insecure"], "unset AUTHY_DEV"),
        (["--listen", "50099"], "HOST:PORT"),
        (["--metrics-listen", "here"], "HOST:PORT"),
        (["--sms-url", "pigeon:"], "AUTHY_SMS_URL"),
        (["--sms-countries", "ZZ"], "AUTHY_SMS_COUNTRIES"),
        (["--database-url", "mysql://root:hunter2@db/x"], "AUTHY_DATABASE_URL"),
        (["--tls-cert", "cert.pem"], "AUTHY_TLS_KEY"),
        (["--database-url", "postgresql://u:hunter2@127.0.0.1:1/x"], "AUTHY_DATABASE_URL"),
    ],
)
def test_what_cannot_be_right_is_refused_with_what_to_do(shell: Shell, flags: list[str], said: str) -> None:
    done = shell.run("serve", *flags)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert not (shell.home / "authy-home").exists()


def test_a_database_of_another_keyset_is_not_served(shell: Shell) -> None:
    shell.install()
    secrets = shell.home / "authy-home" / "secrets"
    (secrets / "keyset.json").unlink()

    missing = shell.run("serve")
    assert missing.returncode == 1
    assert "keyset.json is missing" in missing.stderr

    made = shell.run("keys", "init")
    assert made.returncode == 1
    assert "backup" in made.stderr

    shell.exported["AUTHY_KEYSET"] = _another_keyset(shell)
    other = shell.run_apart("serve", "--listen", "127.0.0.1:0")
    assert other.returncode == 1
    assert "not the database's own" in other.stderr


def test_secrets_that_lie_open_are_refused(shell: Shell) -> None:
    shell.install()
    key = shell.home / "authy-home" / "secrets" / "keyset.json"
    key.chmod(0o644)

    done = shell.run("serve")

    assert done.returncode == 1
    assert f"chmod 600 {key}" in done.stderr


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The URL of a PostgreSQL database without tables."""
    with postgres.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            # As it was: the database is another test's next.
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        yield url


def test_postgresql_with_an_old_schema_names_the_upgrade(shell: Shell, empty: str) -> None:
    shell.exported["AUTHY_DATABASE_URL"] = empty
    assert "authy-grpc db upgrade" in shell.run("serve").stderr

    shell.out("db", "upgrade")
    assert "authy-grpc keys init" in shell.run("serve").stderr

    shell.out("keys", "init")
    # Nothing is made twice.
    assert "Nothing new" in shell.out("keys", "init")
    process = shell.start("serve", "--listen", "127.0.0.1:0")
    assert process.stdout is not None
    assert any("Ctrl-C" in line for line in process.stdout)
    process.terminate()
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def _another_keyset(shell: Shell) -> str:
    other = Shell(shell.home / "other")
    os.mkdir(other.home)
    other.out("keys", "init")
    return Path(other.home, "authy-home", "secrets", "keyset.json").read_text()
