"""What the operating system refuses is said with the path, and with the setting that leads to it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from authy_grpc.cli.failure import explain
from tests.cli.conftest import TIMEOUT, Shell

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (errno.EACCES, "chown"), (errno.EROFS, "mount it for writing"), (errno.ENOSPC, "Make room"),
        (errno.EISDIR, "name a file"), (errno.ENOENT, "Make it"), (errno.EMFILE, "ulimit -n"),
    ],
)  # fmt: skip
def test_each_kind_has_its_step(
    number: int, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHY_HOME", str(tmp_path))
    told = explain(OSError(number, os.strerror(number), str(tmp_path / "secrets")))
    assert told is not None
    assert f"{tmp_path}/secrets: {os.strerror(number)}" in told.text
    assert step in told.mend and "AUTHY_HOME" in told.mend


@pytest.mark.parametrize("command", [["keys", "init"], ["serve"], ["up"], ["db", "upgrade"]])
def test_a_home_that_is_a_file(shell: Shell, command: list[str]) -> None:
    (shell.home / "authy-home").write_text("x")
    done = shell.run(*command)
    assert done.returncode == 1
    assert str(shell.home / "authy-home") in done.stderr and "AUTHY_HOME" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "command"),
    [
        ("AUTHY_KEYSET_FILE", ["serve"]), ("AUTHY_OPERATOR_KEY_FILE", ["application", "list"]),
        ("AUTHY_DATABASE_URL_FILE", ["doctor"]),
    ],
)  # fmt: skip
def test_a_file_that_a_setting_names(shell: Shell, setting: str, command: list[str]) -> None:
    for path in (shell.home / "nothing", shell.home):
        shell.exported[setting] = str(path)
        done = shell.run(*command)
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert str(path) in said and setting in said and "Traceback" not in said


def test_a_phone_whose_folder_cannot_be_made(shell: Shell) -> None:
    (shell.home / "phone").write_text("x")
    done = shell.run("phone", "register", "+15005550006", "--server", "127.0.0.1:1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_command_whose_reader_left_prints_no_traceback(shell: Shell) -> None:
    shell.install()
    command = '"$0" -m authy_grpc doctor --json | true; "$0" -m authy_grpc doctor >/dev/full'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable],
        env=shell._whole_environment(),
        cwd=shell.home,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert "No space left on device" in done.stderr
