"""`up` in development: the page of text messages, and the example site that starts and stops with it."""

import http.client
import json
import re
import signal
import time

import pytest

from authy_grpc.cli import development
from tests.cli.conftest import TIMEOUT, Shell, Start, lines_until
from tests.ports import free_port

pytestmark = pytest.mark.slow
_LINK = re.compile(r"http://(127\.0\.0\.1:\d+)(/dev/messages)(\?token=[\w-]+)")
_REST = re.compile(r"serves REST at http://(127\.0\.0\.1:\d+)")
UP = ("up", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")


def get(address: str, path: str, body: str | None = None) -> tuple[int, str]:
    """Ask once, as a browser on this machine does."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    told = answer.status, answer.read().decode()
    connection.close()
    return told


def text_to(address: str, number: str) -> None:
    status, told = get(address, "/v1/account/phoneVerifications", json.dumps({"phoneNumber": number}))
    assert status == 200, told


def shown(address: str, path: str) -> list[dict[str, str]]:
    """The messages, once there is one: it is sent after the answer."""
    ends = time.monotonic() + TIMEOUT
    while time.monotonic() < ends:
        status, told = get(address, path)
        assert status == 200, told
        if found := json.loads(told)["messages"]:
            return list(found)
    raise AssertionError("no message came")


def test_messages_are_shown_by_the_link_that_is_printed(shell: Shell, start: Start) -> None:
    shell.exported |= {"AUTHY_DEV": "1", "AUTHY_SMS_URL": f"file:{shell.home / 'texts'}"}
    said = lines_until(shell, start(*UP), "dev/messages")
    link = _LINK.search(said)
    assert link is not None, said
    address, path, token = link.groups()
    text_to(address, "+15005550006")
    [message] = shown(address, f"{path}/list{token}")
    sent = json.loads((shell.home / "texts").read_text())
    assert (message["to"], message["body"]) == ("+15005550006", sent["body"])
    assert get(address, f"{path}/list{token[:-1]}")[0] == 403
    assert "Northwind" not in said


def test_outside_of_development_there_is_no_such_page(shell: Shell, start: Start) -> None:
    shell.exported |= {
        "AUTHY_PUBLIC_URL": "https://auth.example",
        "AUTHY_SMS_URL": f"file:{shell.home / 'texts'}",
    }
    said = lines_until(shell, start(*UP), "Ctrl-C")
    rest = _REST.search(said)
    assert rest is not None and "dev/messages" not in said
    assert get(rest[1], "/healthz")[0] == 200
    assert get(rest[1], "/dev/messages")[0] == 404
    assert get(rest[1], "/dev/messages.js")[0] == 404


def test_the_example_site_starts_and_stops_with_it(shell: Shell, start: Start) -> None:
    place = f"127.0.0.1:{free_port()}"
    shell.exported |= {"AUTHY_DEV": "1", "AUTHY_SMS_URL": "console:", "NORTHWIND_LISTEN": place}
    process = start(*UP, "--example")
    said = lines_until(shell, process, "dev/messages")
    assert f"http://{place}/" in said
    status, page = get(place, "/")
    assert status == 200 and "Northwind Books" in page
    kept = shell.home / "authy-home" / "northwind" / "site.json"
    given = json.loads(kept.read_text())
    assert given["AUTHY_API_KEY"].startswith("ak_") and given["HOOK_SECRET"].startswith("whsec_")
    assert kept.stat().st_mode & 0o77 == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0
    with pytest.raises(ConnectionRefusedError):
        get(place, "/")
    # Kept for the next run, and made anew where the service does not know it: its database was removed.
    for path in (shell.home / "authy-home" / "data").iterdir():
        path.unlink()
    keys = [given["AUTHY_API_KEY"]]
    for _ in range(2):
        process = start(*UP, "--example")
        lines_until(shell, process, "dev/messages")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        keys.append(json.loads(kept.read_text())["AUTHY_API_KEY"])
    assert keys[0] != keys[1] == keys[2]


def test_the_example_site_is_for_development_and_in_a_checkout(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = shell.run("up", "--example")
    assert refused.returncode == 1 and "AUTHY_DEV=1" in refused.stderr
    monkeypatch.setattr(development, "_ROOT", shell.home)
    shell.exported |= {"AUTHY_DEV": "1"}
    refused = shell.run("up", "--example")
    assert refused.returncode == 1 and "examples/site is not here" in refused.stderr
