"""What waits for a peer or a thread has an end: here are the calls that have none."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# `asyncio.Server` waits for connections that are kept since Python 3.12.1, and so does `async with`.
ENDLESS = re.compile(
    r"start_server\(|\bserver\.wait_closed\(|async with server\b|threading import .*Event|threading\.Event\("
)
ALLOWED = {
    "authy_grpc/cli/demo/listening.py",
    "authy_grpc/client/watchdog.py",  # waits with a timeout, over and over
    "tests/threads.py",
    "tests/test_waits.py",
}


def endless(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if ENDLESS.search(line)]


def test_nothing_waits_for_ever() -> None:
    folders = ("authy_grpc", "gateway", "tests", "benchmarks", "examples")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = {
        name: lines
        for path in files
        if (name := path.relative_to(ROOT).as_posix()) not in ALLOWED
        and "_pb2" not in name
        and (lines := endless(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "server = await asyncio.start_server(serve)",
        "await server.wait_closed()",
        "async with server, other:",
        "from threading import Event as Flag",
        "release = threading.Event()",
    ],
)
def test_the_control_each_of_them_is_seen(line: str) -> None:
    assert endless(f"    {line}") == [line]
