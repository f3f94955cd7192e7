"""The check-up finds what is wrong, and says nothing where nothing is."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from authy_grpc.bootstrap import World, build, real_clock
from authy_grpc.home import read_secrets
from authy_grpc.settings import Settings
from tests.cli.conftest import Running, Shell

pytestmark = pytest.mark.slow


def findings(shell: Shell) -> dict[str, tuple[str, str]]:
    """Level and text of each, by name."""
    return {
        each["name"]: (each["level"], each["text"])
        for each in json.loads(shell.run("doctor", "--json").stdout)
    }


def test_a_service_that_runs_is_well(shell: Shell, serve: Callable[[], Running]) -> None:
    serve()
    shell.exported |= {"AUTHY_DEV": "1"}

    found = findings(shell)

    assert {level for level, _ in found.values()} == {"ok"}
    assert {
        "settings",
        "listen",
        "texts",
        "secrets",
        "permissions",
        "database",
        "keyset",
        "clock",
        "server",
    } <= {*found}
    assert shell.run("doctor", "--strict").returncode == 0


def test_what_is_wrong_is_found(shell: Shell) -> None:
    shell.install()
    (shell.home / "authy-home" / "data" / "authy.db").chmod(0o644)
    wrong = {"AUTHY_LISTN": "x", "AUTHY_SMS_URL": "", "AUTHY_LISTEN": "0.0.0.0:1"}
    shell.exported |= {**wrong, "AUTHY_API_KEY": "ak_of_a_site"}

    found = findings(shell)

    assert {name for name, (level, _) in found.items() if level != "ok"} == {
        "settings",
        "listen",
        "texts",
        "permissions",
        "server",
    }
    assert "AUTHY_LISTN" in found["settings"][1]
    assert "AUTHY_API_KEY" not in found["settings"][1]
    assert shell.run("doctor").returncode == 1


def test_the_server_is_that_of_this_homes_settings(shell: Shell, serve: Callable[[], Running]) -> None:
    serve()
    at = shell.exported.pop("AUTHY_SERVER")
    shell.exported |= {"AUTHY_DEV": "1", "AUTHY_LISTEN": at}
    found = findings(shell)
    assert found["server"] == ("ok", f"{at} is SERVING, in clear text")

    # Another home's settings name the same place, and the server there is not its own.
    shell.exported["AUTHY_HOME"] = str(shell.home / "another")
    shell.install()
    assert findings(shell)["server"][0] == "fail"
    assert shell.run("doctor").returncode == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTHY_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("AUTHY_CORS_ORIGINS", "shop.example"),
        ("AUTHY_HTTP_KEEP_ALIVE", "long"),
        ("AUTHY_HTTP_LISTEN", "0.0.0.0:8080"),
        ("AUTHY_DATABASE_URI", "x"),
    ],
)
def test_what_would_stop_the_gateway_is_found(shell: Shell, name: str, value: str) -> None:
    shell.exported[name] = value
    done = shell.run("doctor", "--json")
    assert done.returncode == 1
    assert any(name in each["text"] and each["level"] == "fail" for each in json.loads(done.stdout))


def test_a_lost_keyset_is_found(shell: Shell) -> None:
    shell.install()
    (shell.home / "authy-home" / "secrets" / "keyset.json").unlink()
    assert findings(shell)["database"][0] == "fail"


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), timedelta(days=2)])
def test_a_clock_behind_the_newest_row_is_found(shell: Shell, database_url: str, ahead: timedelta) -> None:
    """A few minutes are other servers' clocks; it is said how far this clock is from the newest row."""
    shell.exported["AUTHY_DATABASE_URL"] = database_url
    shell.out("keys", "init")
    assert "newest row" not in findings(shell)["clock"][1]

    async def happen() -> None:
        """Something, by a clock that runs ahead."""
        settings = Settings(home=Path(shell.environment["AUTHY_HOME"]), database_url=database_url)  # type: ignore[arg-type]
        world = World(clock=lambda: real_clock() + ahead, log_stream=None)
        core = await build(settings, read_secrets(settings), world)
        await core.operator_keys.create("deploy")
        await core.operator_keys.revoke("deploy")
        await core.stop(now=True)

    asyncio.run(happen())
    level, text = findings(shell)["clock"]
    if ahead < timedelta(minutes=5):
        assert level == "ok" and "; the newest row is -" in text, text
    else:
        assert level == "fail" and "s behind the newest row" in text, text
        assert 170_000 < int(text.split()[0]) <= 172_800
        assert shell.run("doctor").returncode == 1


def test_a_bad_setting_is_found_without_its_value(shell: Shell) -> None:
    shell.exported |= {"AUTHY_DEV": "hunter2"}
    level, text = findings(shell)["settings"]
    assert level == "fail"
    assert "AUTHY_DEV" in text
    assert "hunter2" not in text


def test_postgresql_out_of_reach_is_found_without_its_password(shell: Shell) -> None:
    shell.exported |= {"AUTHY_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"}
    done = shell.run("doctor", "--json")
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
