"""What systemd is told by the commands that serve: by a real datagram socket, as sd_notify(3) has it."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from authy_grpc.cli import supervisor
from authy_grpc.cli.app import app
from tests.cli.conftest import ROOT, TIMEOUT, Shell, Start, lines_until


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A supervisor's socket, and where it is."""
    path = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(path)
        listener.settimeout(TIMEOUT)
        yield path, listener


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "up", "gateway"])
def test_a_supervisor_is_told_of_start_reload_and_stop(
    shell: Shell, start: Start, notified: tuple[str, socket.socket], command: str
) -> None:
    path, listener = notified
    shell.install()
    shell.exported["NOTIFY_SOCKET"] = path
    process = start(command)
    assert listener.recv(1000) == b"READY=1"
    before = time.monotonic()
    process.send_signal(signal.SIGHUP)
    reloading, moment = listener.recv(1000).decode().splitlines()
    assert reloading == "RELOADING=1" and moment.startswith("MONOTONIC_USEC=")
    # systemd passes over what is older than the signal that it has sent.
    assert before <= int(moment.partition("=")[2]) / 1e6 + 1e-6 <= time.monotonic() + 1e-6
    assert listener.recv(1000) == b"READY=1"
    process.terminate()
    assert listener.recv(1000) == b"STOPPING=1"
    assert process.wait(TIMEOUT) == 0
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(1000)


@pytest.mark.slow
def test_a_supervisor_that_is_gone_stops_nothing(shell: Shell, start: Start, tmp_path: Path) -> None:
    shell.install()
    shell.exported["NOTIFY_SOCKET"] = str(tmp_path / "nobody")
    process = start("serve")
    lines_until(shell, process, "Ctrl-C")
    process.send_signal(signal.SIGHUP)
    process.terminate()
    assert process.wait(TIMEOUT) == 0


def test_the_unit_is_understood_and_starts_a_command_that_there_is(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "authy-grpc.service").read_text()
    [started] = re.findall(r"^ExecStart=(\S+) (\S+)$", text, re.MULTILINE)
    assert started[1] in {command.name for command in app.registered_commands}
    assert "\nType=notify\n" in text and "AUTHY_HOME=" in text
    if (analyze := shutil.which("systemd-analyze")) is None:
        return
    # Users and programs of another machine.
    here = text.replace(started[0], sys.executable).replace("=authy-grpc\n", "=root\n")
    for name, unit, warned in (("ours", here, False), ("wrong", here.replace("Restart=", "Restrat="), True)):
        file = tmp_path / f"{name}.service"
        file.write_text(unit)
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=TIMEOUT
        )
        assert (str(file) in done.stderr) == warned, done.stderr


def test_a_failed_reload_is_over_too(
    notified: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, listener = notified
    monkeypatch.setenv("NOTIFY_SOCKET", path)

    def fail() -> None:
        raise OSError("no file")

    with pytest.raises(OSError, match="no file"):
        supervisor.reloading(fail)
    assert listener.recv(1000).startswith(b"RELOADING=1\n") and listener.recv(1000) == b"READY=1"


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"authy-grpc-test{tmp_path}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(TIMEOUT)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        supervisor.ready()
        assert listener.recv(1000) == b"READY=1"


@pytest.mark.parametrize("name", ["", "not/a/path", "vsock:2:1234"])
def test_nobody_is_told_where_there_is_no_socket(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    supervisor.stopping()
