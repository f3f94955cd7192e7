"""`up` and `gateway`: REST from a command to a webhook's post, and how they refuse and stop."""

import http.client
import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.cli.conftest import TIMEOUT, Running, Shell, Start, lines_until
from tests.cli.test_commands import registered

pytestmark = pytest.mark.slow
SCOPES = [flag for name in ("enroll", "verify", "events", "manage") for flag in ("--scope", name)]
_GRPC, _HTTP = (
    re.compile(rf"serves {name} (?:at )?(?:http://)?(127\.0\.0\.1:\d+)") for name in ("gRPC", "REST")
)
_GATEWAY = re.compile(r"serves http://(127\.0\.0\.1:\d+)")
_WEBHOOK = re.compile(r"whk_\w+")


def found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    assert match is not None, text
    return match.group(match.lastindex or 0)


@pytest.fixture
def served(shell: Shell, start: Start) -> tuple[Running, str]:
    """`up`, and where it serves REST."""
    shell.exported |= {
        "AUTHY_DEV": "1",
        "AUTHY_PUBLIC_URL": "http://127.0.0.1:8080",
        "AUTHY_SMS_URL": f"file:{shell.home / 'texts'}",
    }
    process = start("up", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
    said = lines_until(shell, process, "Ctrl-C")
    shell.exported |= {"AUTHY_SERVER": found(_GRPC, said)}
    return Running(shell, process, said.splitlines()), found(_HTTP, said)


class Rest:
    """A site that speaks REST."""

    def __init__(self, address: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def __call__(self, verb: str, path: str, body: Any = None) -> Any:
        self._connection.request(verb, path, None if body is None else json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def stream(self, path: str) -> list[Any]:
        """The messages of a stream that ends by itself."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        blocks = answer.read().decode().split("\n\n")
        return [json.loads(block.split("data: ")[1]) for block in blocks if block.startswith("id: ")]


Sites = Callable[[str, str], Rest]


@pytest.fixture
def sites() -> Iterator[Sites]:
    """Makes sites, and hangs up for them."""
    with ExitStack() as stack:
        yield lambda address, key: stack.enter_context(closing(Rest(address, key)))


def made_key(shell: Shell) -> str:
    shell.out("application", "create", "Shop", "https://shop.example")
    key: str = json.loads(shell.out("api-key", "create", "Shop", *SCOPES, "--json"))["secret"]
    return key


def test_a_site_that_only_speaks_rest(
    shell: Shell, start: Start, served: tuple[Running, str], sites: Sites
) -> None:
    running, address = served
    key = made_key(shell)
    shell.exported |= {"AUTHY_API_KEY": key}
    listening = start("webhook", "listen", "--listen", "127.0.0.1:0", "--type", "code.*")
    webhook_id = found(_WEBHOOK, lines_until(shell, listening, "Made"))
    registered(shell, running)
    site = sites(address, key)

    made = site("POST", "/v1/enrollments", {"customUserId": "user-17"})
    shell.out("phone", "scan", made["qr"]["uri"], "--yes")
    states = site.stream(f"/v1/enrollments/{made['enrollment']['enrollmentId']}:watch")
    enrollment = states[-1]["enrollment"]
    assert enrollment["state"] == "ENROLLMENT_STATE_COMPLETED"
    code = json.loads(shell.out("phone", "code", "Shop", "--json"))["code"]
    verified = site("POST", f"/v1/users/{enrollment['authyId']}:verifyCode", {"code": code})
    assert verified["result"] == "CODE_RESULT_ACCEPTED"

    assert "code.accepted" in lines_until(shell, listening, "verified")
    [event] = [
        each
        for each in site("GET", "/v1/events?cursor=earliest")["events"]
        if each["type"] == "code.accepted"
    ]
    assert event["eventId"] in lines_until(shell, listening, "eventId")
    listening.send_signal(signal.SIGTERM)
    assert listening.wait(TIMEOUT) == 0
    assert webhook_id not in json.dumps(site("GET", "/v1/webhooks"))
    assert running.stop() == 0
    # Neither addresses nor what a site calls its users.
    assert "user-17" not in (shell.home / "log").read_text()


def test_a_gateway_beside_a_service(
    shell: Shell, start: Start, serve: Callable[[], Running], sites: Sites
) -> None:
    serve()
    key = made_key(shell)
    process = start("gateway", "--http-listen", "127.0.0.1:0")
    address = found(_GATEWAY, lines_until(shell, process, "Ctrl-C"))
    site = sites(address, key)
    assert site("GET", "/readyz") == {"status": "SERVING"}
    assert site("GET", "/v1/application")["application"]["name"] == "Shop"
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["up", "--http-listen", "0.0.0.0:8080", "--listen", "127.0.0.1:0"], "AUTHY_INSECURE"),
        (["up", "--http-listen", "8080"], "HOST:PORT"),
        (["gateway", "--http-listen", "0.0.0.0:8080"], "AUTHY_INSECURE"),
        (["gateway"], "gateway.key"),
        (["gateway", "--metrics-listen", "9100"], "AUTHY_METRICS_LISTEN"),
        # Not with a proxy in front either.
        (["up", "--http-listen", "0.0.0.0:8080", "--dev", "--insecure"], "unset AUTHY_DEV"),
        (["gateway", "--http-listen", "0.0.0.0:8080", "--dev", "--insecure"], "unset AUTHY_DEV"),
    ],
)
def test_what_cannot_be_right_is_refused_with_what_to_do(shell: Shell, flags: list[str], said: str) -> None:
    done = shell.run(*flags)
    assert done.returncode == 1
    assert said in done.stderr


def test_a_port_that_is_taken_is_told(shell: Shell, served: tuple[Running, str]) -> None:
    _, address = served
    done = shell.run_apart("up", "--listen", "127.0.0.1:0", "--http-listen", address)
    assert done.returncode == 1
    assert "AUTHY_HTTP_LISTEN" in done.stderr
    assert "Traceback" not in done.stderr
