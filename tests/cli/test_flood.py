"""Strangers who send large bodies without a credential, and what an honest caller notices of them."""

import http.client
import itertools
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.conftest import TIMEOUT, Running, Shell
from tests.cli.test_up import made_key, served  # noqa: F401  # a fixture

pytestmark = pytest.mark.slow
STRANGERS, ROUNDS = 8, 300
_BODY = b'{"message":"a","details":[' + b"{}," * 87_000 + b"{}]}"


def stranger(address: str, key: str, body: bytes = _BODY) -> None:
    """Send one body after another, for ever; each is refused."""
    host, _, port = address.partition(":")
    head = (
        b"POST /v1/users/1000000/approvals HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (key.encode(), len(body))
    )
    while True:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
            answers = connection.makefile("rb")
            for number in itertools.count():
                if number == 1:
                    print("begun", flush=True)
                connection.sendall(head + body)
                line = answers.readline()
                if not line.startswith(b"HTTP/1.1 40"):
                    raise SystemExit(f"{line!r}")
                length = 0
                while (line := answers.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                answers.read(length)


@contextmanager
def strangers(address: str, many: int, key: str = "ak_1") -> Iterator[None]:
    code = f"from tests.cli.test_flood import stranger; stranger({address!r}, {key!r})"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(many)
    ]
    try:
        for each in running:
            assert each.stdout is not None and each.stdout.readline() == "begun\n"
        yield
        assert [each.poll() for each in running] == [None] * many
    finally:
        for each in running:
            each.kill()
            each.communicate(timeout=TIMEOUT)


def honest(address: str, key: str, rounds: int) -> float:
    """Milliseconds that half of the calls take at most."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    took = []
    for _ in range(rounds):
        begin = time.perf_counter()
        connection.request("POST", "/v1/users/1000000:verifyCode", '{"code":"123456"}', headers)
        answer = connection.getresponse()
        assert json.loads(answer.read())["code"] == 5
        took.append(time.perf_counter() - begin)
    connection.close()
    return statistics.median(took) * 1000


def test_strangers_with_large_bodies_cost_others_little(
    shell: Shell,
    served: tuple[Running, str],  # noqa: F811
    request: pytest.FixtureRequest,
    record_property: Any,
) -> None:
    _, address = served
    key = made_key(shell)
    proof = request.config.getoption("--proof")
    honest(address, key, 20)
    alone = honest(address, key, ROUNDS if proof else 20)
    with strangers(address, STRANGERS if proof else 1):
        beside = honest(address, key, ROUNDS if proof else 20)
    if not proof:
        return
    # Theirs are read, since they come with a key: so much would be seen.
    with strangers(address, STRANGERS, key):
        control = honest(address, key, ROUNDS)
    record_property("p50", (alone, beside, control))
    print(f"p50 {alone:.2f} ms alone, {beside:.2f} ms beside strangers, {control:.2f} ms beside a site's own")
    # On a machine with nothing else to do.
    assert beside <= 3 * alone < control
