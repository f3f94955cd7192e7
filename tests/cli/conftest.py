"""How these tests run commands: with an environment of their own, in this process or in one apart."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

import pytest
from typer.testing import CliRunner

from authy_grpc.cli.app import app
from authy_grpc.cli.options import LOCAL_ORIGIN
from tests.strangers import nobody

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 90
_SERVES = re.compile(r"serves gRPC at (127\.0\.0\.1:\d+)")
_DIGITS = re.compile(r"\b\d{6}\b")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Shell:
    """A user's shell: a home folder, and settings that were exported."""

    home: Path
    exported: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """Where the phone keeps its keys."""
        return self.home / "phone" / "phone.json"

    @property
    def environment(self) -> dict[str, str]:
        ours = {
            "AUTHY_HOME": str(self.home / "authy-home"),
            "AUTHY_PHONE_STATE": str(self.state),
            # The usual ports may be another's.
            "AUTHY_LISTEN": "127.0.0.1:0",
            "AUTHY_HTTP_LISTEN": "127.0.0.1:0",
            "AUTHY_PUBLIC_URL": LOCAL_ORIGIN,
        }
        return {"HOME": str(self.home), "COLUMNS": "100", **ours, **self.exported}

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """Run `authy-grpc` in this process: a process apart takes seconds to import what it needs."""
        others = {name: None for name in os.environ if name.startswith("AUTHY_")}
        done = CliRunner().invoke(app, arguments, stdin, env={**others, **self.environment})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    def out(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must succeed, and return what it prints."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self) -> None:
        """Make secrets and a database that is sealed by them, without a server."""
        self.out("keys", "init")
        self.out("db", "upgrade")
        assert "No account" in self.run("account", "show", "+15005550006").stderr

    def run_apart(self, *arguments: str, without: str = "") -> Done:
        """Run `authy-grpc` in a process of its own, as if the module `without` were not installed."""
        hidden = f"import sys; sys.modules[{without!r}] = None; " if without else ""
        start = f"{hidden}from authy_grpc.__main__ import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", start, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=self._whole_environment(),
            cwd=self.home,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command that goes on; its stderr goes to the file `log`."""
        with (self.home / "log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-u", "-m", "authy_grpc", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._whole_environment(),
                cwd=self.home,
            )

    def _whole_environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHY_")}
        return {**kept, "PYTHONPATH": str(ROOT), **self.environment}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty home, whose commands find no server that another runs at the usual port."""
    with nobody() as port:
        yield Shell(tmp_path, {"AUTHY_SERVER": f"127.0.0.1:{port}"})


@dataclass
class Running:
    """A service that `serve` runs, whose texts go to a file."""

    shell: Shell
    process: "subprocess.Popen[str]"
    welcome: list[str]

    def code(self) -> str:
        """Waits for the first text message, and returns the digits in it."""
        texts = self.shell.home / "texts"
        while not texts.exists() or not texts.read_text().endswith("\n"):
            assert self.process.poll() is None
        return str(_DIGITS.findall(json.loads(texts.read_text())["body"])[0])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)


@pytest.fixture
def serve(shell: Shell) -> Iterator[Callable[[], Running]]:
    """Starts `serve` on a free port, and exports where it is."""
    started: list[subprocess.Popen[str]] = []

    def start() -> Running:
        shell.exported |= {"AUTHY_SMS_URL": f"file:{shell.home / 'texts'}"}
        process = shell.start("serve", "--listen", "127.0.0.1:0")
        started.append(process)
        assert process.stdout is not None
        welcome: list[str] = []
        for line in process.stdout:
            welcome.append(line.strip())
            if found := _SERVES.search(line):
                shell.exported["AUTHY_SERVER"] = found.group(1)
            if "Ctrl-C" in line:
                return Running(shell, process, welcome)
        raise AssertionError((shell.home / "log").read_text())

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(shell: Shell) -> Iterator[Start]:
    """Starts commands that go on, and kills what is left of them."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> "subprocess.Popen[str]":
        started.append(shell.start(*arguments))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def lines_until(shell: Shell, process: "subprocess.Popen[str]", mark: str) -> str:
    """What a command prints, up to the line with a mark; one that does not print it in time is killed."""
    assert process.stdout is not None
    said: list[str] = []
    timer = Timer(TIMEOUT, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            said.append(line)
            if mark in line:
                return "".join(said)
    finally:
        timer.cancel()
    raise AssertionError("".join(said) + (shell.home / "log").read_text())
