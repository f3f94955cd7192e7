"""Certificates on one machine: what `serve` prints works as pasted, and SIGHUP ends nobody."""

import json
import shlex
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from authy_grpc.v1.account_pb2 import CreateSessionRequest
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub
from tests.cli.conftest import TIMEOUT, Shell, Start, lines_until
from tests.ports import free_port

pytestmark = pytest.mark.slow


def issue(ca: trustme.CA, folder: Path) -> None:
    made = ca.issue_cert("authy.internal")
    (folder / "tls.crt").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    (folder / "tls.key").write_bytes(made.private_key_pem.bytes())


def shown(port: int) -> bytes:
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as plain, context.wrap_socket(plain) as inner:
        return inner.getpeercert(binary_form=True) or b""


def locked(key: bytes) -> bytes:
    """The same key with a passphrase."""
    form = Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    return load_pem_private_key(key, None).private_bytes(*form)


def issue_rest(ca: trustme.CA, shell: Shell) -> None:
    """The same files, in the gateway's settings, too."""
    issue(ca, shell.home)
    shell.exported |= {"AUTHY_HTTP_TLS_CERT": "tls.crt", "AUTHY_HTTP_TLS_KEY": "tls.key"}


def until(holds: "object", what: str) -> None:
    assert callable(holds)
    end = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_with_a_certificate_what_is_printed_works_and_renewal_ends_nobody(shell: Shell, start: Start) -> None:
    ca = trustme.CA()
    issue(ca, shell.home)
    (shell.home / "ca.pem").write_bytes(ca.cert_pem.bytes())
    given = {
        "AUTHY_TLS_CERT": "tls.crt",
        "AUTHY_TLS_KEY": "tls.key",
        "AUTHY_TLS_CLIENT_CA": "ca.pem",
        "AUTHY_CLIENT_CERT": "tls.crt",
        "AUTHY_CLIENT_KEY": "tls.key",
        "AUTHY_SMS_URL": "console:",
    }
    shell.exported |= given
    issue_rest(ca, shell)
    process = start("up", "--listen", "127.0.0.1:0")
    said = lines_until(shell, process, "Ctrl-C")
    rest = int(said.split("serves REST at https://127.0.0.1:")[1].split()[0])
    pasted = [shlex.split(line) for line in said.splitlines() if line.startswith("  ")]
    shell.exported = {
        key: value for words in pasted if words[0] == "export" for key, value in [words[1].split("=")]
    }
    server = shell.exported["AUTHY_SERVER"]

    assert "Added app_" in shell.out("application", "create", "Shop", "https://shop.example")
    assert f"{server} is SERVING, by TLS" in shell.run("doctor").stdout
    check = next(words for words in pasted if words[-1].endswith("Health/Check"))
    done = subprocess.run(check, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert "SERVING" in done.stdout, done.stderr
    # Without the certificate of a client the command says what is missing.
    others = {key: value for key, value in shell.exported.items() if "CLIENT" not in key}
    assert "AUTHY_CLIENT_CERT" in Shell(shell.home, others).run("application", "list").stderr

    port = int(server.rpartition(":")[2])
    first = shown(port)
    (shell.home / "tls.key").write_bytes(ca.issue_cert("x").private_key_pem.bytes())
    process.send_signal(signal.SIGHUP)
    until(lambda: "is not the key" in (shell.home / "log").read_text(), "no line about the bad pair")
    assert shown(port) == shown(rest) == first
    issue(ca, shell.home)
    process.send_signal(signal.SIGHUP)
    for each in (port, rest):
        until(lambda each=each: shown(each) != first, "the renewed certificate is not shown")
    # And without a signal, too.
    second = shown(port)
    issue(ca, shell.home)
    for each in (port, rest):
        until(lambda each=each: shown(each) != second, "a renewed certificate is not noticed")
    assert "Shop" in shell.out("application", "list")

    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0


def test_a_gateway_says_why_it_does_not_reach_the_core_and_survives_sighup(
    shell: Shell, start: Start
) -> None:
    shell.install()
    core = start("serve", "--listen", "127.0.0.1:0")
    port = (
        lines_until(shell, core, "serves gRPC at")
        .split("serves gRPC at ")[1]
        .split(",")[0]
        .rpartition(":")[2]
    )
    wrong = start("gateway", "--server", f"grpcs://127.0.0.1:{port}", "--http-listen", "127.0.0.1:0")
    lines_until(shell, wrong, "Ctrl-C")
    until(lambda: "does not speak TLS" in (shell.home / "log").read_text(), "no line about the core")
    log = [json.loads(line) for line in (shell.home / "log").read_text().splitlines()]
    told = next(line for line in log if line["event"] == "core not reached")
    assert f"write grpc://127.0.0.1:{port}" in told["reason"]

    ca = trustme.CA()
    issue_rest(ca, shell)
    right = start("gateway", "--server", f"grpc://127.0.0.1:{port}", "--http-listen", "127.0.0.1:0")
    address = lines_until(shell, right, "The gateway serves").split("serves ")[1].split(",")[0]
    first, own = shown(int(address.rpartition(":")[2])), ssl.create_default_context()
    assert address.startswith("https://")
    ca.configure_trust(own)
    own.check_hostname = False
    issue(ca, shell.home)
    for process in (core, right):
        process.send_signal(signal.SIGHUP)

    def ready() -> bool:
        try:
            with urlopen(f"{address}/readyz", timeout=TIMEOUT, context=own) as answer:
                return b"SERVING" in answer.read()
        except URLError:
            return False

    until(ready, "the gateway is not ready")
    until(lambda: shown(int(address.rpartition(":")[2])) != first, "the renewed certificate is not shown")
    assert (core.poll(), right.poll()) == (None, None)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("https://authy.example/v1", "grpcs://authy.example"),
        ("127.0.0.1:99999", "from 1 to 65535"),
        ("unix:/no/such.sock", "no socket at"),
        ("127.0.0.1:1", "nobody listens"),
    ],
)
def test_a_command_says_what_is_wrong_with_its_address(shell: Shell, target: str, said: str) -> None:
    shell.exported |= {"AUTHY_OPERATOR_KEY": f"op_{'0' * 52}"}
    done = shell.run("application", "list", "--server", target)
    assert done.returncode == 1 and said in done.stderr


def test_the_check_up_finds_what_serve_would_refuse(shell: Shell) -> None:
    ca = trustme.CA()
    issue(ca, shell.home)
    (shell.home / "other.key").write_bytes(ca.issue_cert("x").private_key_pem.bytes())
    named = {"AUTHY_TLS_CERT": str(shell.home / "tls.crt"), "AUTHY_TLS_KEY": str(shell.home / "other.key")}
    rest = {name.replace("TLS", "HTTP_TLS"): value for name, value in named.items()}
    (shell.home / "locked.key").write_bytes(locked((shell.home / "tls.key").read_bytes()))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for given, said in (
            (named, "is not the key of"),
            (rest, "is not the key of"),
            ({**rest, "AUTHY_HTTP_TLS_KEY": str(shell.home / "locked.key")}, "it has a passphrase"),
            ({**rest, "AUTHY_HTTP_TLS_CERT": "no.crt"}, "AUTHY_HTTP_TLS_CERT is no.crt: there is no such"),
            ({**rest, "AUTHY_HTTP_TLS_KEY": ""}, "go together"),
            ({"AUTHY_HTTP_LISTEN": "203.0.113.7:8080"}, "without TLS others could read"),
            ({**rest, "AUTHY_DEV": "1", "AUTHY_HTTP_LISTEN": "203.0.113.7:8080"}, "is for this machine"),
            (
                {"AUTHY_LISTEN": "203.0.113.7:50051", "AUTHY_INSECURE": "1"},
                "this machine has no such address",
            ),
            ({"AUTHY_LISTEN": "127.0.0.1:99999"}, "up to 65535"),
            ({"AUTHY_LISTEN": f"127.0.0.1:{port}"}, "another program listens there"),
            ({"AUTHY_HTTP_LISTEN": f"127.0.0.1:{port}"}, "another program listens there"),
            ({"AUTHY_METRICS_LISTEN": "127.0.0.1:x"}, "up to 65535"),
        ):
            checked = Shell(shell.home, {**given, "AUTHY_SMS_URL": "console:"})
            found = json.loads(checked.run("doctor", "--json").stdout)
            assert any(each["level"] == "fail" and said in each["text"] for each in found), (given, found)
            refused = checked.run("up" if any("HTTP" in name for name in given) else "serve")
            assert refused.returncode == 1 and said in refused.stderr.replace("\n", " ")
    assert not (shell.home / "authy-home" / "data").exists()


def test_the_check_up_says_which_proxies_are_believed(shell: Shell, start: Start) -> None:
    def proxies(**given: str) -> list[tuple[str, str]]:
        shell.exported |= {"AUTHY_SMS_URL": "console:", **given}
        found = json.loads(shell.run("doctor", "--json").stdout)
        return [(each["level"], each["text"]) for each in found if each["name"] == "proxies"]

    assert proxies() == []
    assert proxies(AUTHY_PROXY_HEADER="X-Real-IP")[0][0] == "warn"
    assert "x-real-ip is believed of 127.0.0.1/32" in proxies(AUTHY_TRUSTED_PROXIES="127.0.0.1")[0][1]
    assert "everybody" in proxies(AUTHY_TRUSTED_PROXIES="0.0.0.0/0")[0][1]

    metrics = f"127.0.0.1:{free_port()}"
    shell.exported |= {"AUTHY_TRUSTED_PROXIES": "127.0.0.1", "AUTHY_METRICS_LISTEN": metrics}
    process = start("serve", "--listen", "127.0.0.1:0")
    address = lines_until(shell, process, "serves gRPC at").split("serves gRPC at ")[1].split(",")[0]
    with grpc.insecure_channel(address) as channel:
        stub: Any = AccountServiceStub(channel)
        for told in ("203.0.113.7", "CANARY"):
            with pytest.raises(grpc.RpcError):
                stub.CreateSession(CreateSessionRequest(), metadata=(("x-real-ip", told),), timeout=TIMEOUT)
    assert ("warn", "1 calls came through") in [(level, text[:20]) for level, text in proxies()]
    assert "CANARY" not in (shell.home / "log").read_text()
