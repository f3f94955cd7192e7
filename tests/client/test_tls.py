"""Certificates of either side, and what is said where one is wrong: real servers, real handshakes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from authy_grpc.client import Client
from authy_grpc.client.certificates import CertificateError, PemFile, read_pair, read_roots
from authy_grpc.client.connect import Road, TargetError, TlsFiles, road
from authy_grpc.client.diagnosis import diagnose
from authy_grpc.client.renewal import Renewal
from tests.strangers import nobody
from tests.threads import PATIENCE


class Folder:
    """PEM files of two authorities and those they have signed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ca, self.other = trustme.CA(), trustme.CA()
        self.write("ca", self.ca.cert_pem.bytes())
        self.write("other", self.other.cert_pem.bytes())
        self.issue("leaf", "authy.internal", "second.internal")
        self.issue("wild", "*.authy.internal")
        self.issue("caller", "caller.internal")
        self.issue("stranger", "caller.internal", by=self.other)
        self.issue("old", "authy.internal", ends=datetime.now(UTC) - timedelta(days=1))

    def write(self, name: str, pem: bytes) -> Path:
        (self.path / name).write_bytes(pem)
        return self.path / name

    def issue(
        self, name: str, *names: str, by: trustme.CA | None = None, ends: datetime | None = None
    ) -> None:
        made = (by or self.ca).issue_cert(*names, not_after=ends)
        self.write(f"{name}.crt", b"".join(each.bytes() for each in made.cert_chain_pems))
        self.write(f"{name}.key", made.private_key_pem.bytes())

    def pem(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def files(self, **named: str) -> TlsFiles:
        """Of the environment that names them: `ca`, `client_cert`, `client_key`, `tls_cert`."""
        return TlsFiles.of({f"AUTHY_{key.upper()}": str(self.path / name) for key, name in named.items()})


Serve = Callable[[str | None, str | None], int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("pem"))


@pytest.fixture(scope="module")
def serve(folder: Folder) -> Iterator[Serve]:
    """Serves health: with a certificate by name, for callers of an authority by name. Answers the port."""
    started: dict[tuple[str | None, str | None], tuple[grpc.Server, int]] = {}

    def start(shown: str | None, client_ca: str | None) -> int:
        if (shown, client_ca) not in started:
            server = grpc.server(ThreadPoolExecutor(2))
            health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
            if shown is None:
                port = server.add_insecure_port("127.0.0.1:0")
            else:
                pair = (folder.pem(f"{shown}.key"), folder.pem(f"{shown}.crt"))
                roots = folder.pem(client_ca) if client_ca else None
                credentials = grpc.ssl_server_credentials([pair], roots, client_ca is not None)
                port = server.add_secure_port("127.0.0.1:0", credentials)
            server.start()
            started[shown, client_ca] = server, port
        return started[shown, client_ca][1]

    yield start
    for server, _ in started.values():
        server.stop(None)


def answers(found: Road) -> bool:
    with found.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        except grpc.RpcError:
            return False
    return True


def test_on_one_machine_the_served_file_is_trusted_under_its_first_name(folder: Folder, serve: Serve) -> None:
    for shown in ("leaf", "wild"):
        found = road(f"127.0.0.1:{serve(shown, None)}", files=folder.files(tls_cert=f"{shown}.crt"))
        assert found.secure and answers(found) and diagnose(found) == ""
    # Control: another served file is not.
    found = road(f"127.0.0.1:{serve('leaf', None)}", files=folder.files(tls_cert="caller.crt"))
    assert not answers(found)
    # Elsewhere it says nothing of whom to trust.
    assert road("core:1", files=folder.files(tls_cert="leaf.crt")).trust.roots is None


def test_a_caller_shows_its_certificate(folder: Folder, serve: Serve) -> None:
    target = f"127.0.0.1:{serve('leaf', 'ca')}"
    mine = {"client_cert": "caller.crt", "client_key": "caller.key"}
    assert answers(road(target, files=folder.files(tls_cert="leaf.crt", **mine)))
    assert answers(road(target, files=folder.files(tls_cert="leaf.crt", ca="ca", **mine)))
    assert not answers(road(target, files=folder.files(tls_cert="leaf.crt")))


@pytest.mark.parametrize(
    ("shown", "client_ca", "scheme", "named", "said"),
    [
        (None, None, "grpcs://", {}, "does not speak TLS: for clear text write grpc://"),
        ("leaf", None, "", {}, "speaks TLS, and was asked in clear text"),
        ("leaf", None, "grpcs://", {}, "set AUTHY_CA"),
        ("leaf", None, "grpcs://", {"ca": "other"}, "is not taken"),
        ("leaf", None, "grpcs://", {"ca": "ca"}, "IP address mismatch"),
        ("old", None, "", {"tls_cert": "old.crt"}, "certificate has expired"),
        ("leaf", "ca", "", {"tls_cert": "leaf.crt"}, "set AUTHY_CLIENT_CERT and AUTHY_CLIENT_KEY"),
        (
            "leaf",
            "ca",
            "",
            {"tls_cert": "leaf.crt", "client_cert": "stranger.crt", "client_key": "stranger.key"},
            "does not take the certificate of AUTHY_CLIENT_CERT",
        ),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_said(
    folder: Folder,
    serve: Serve,
    shown: str | None,
    client_ca: str | None,
    scheme: str,
    named: dict[str, str],
    said: str,
) -> None:
    found = road(f"{scheme}127.0.0.1:{serve(shown, client_ca)}", files=folder.files(**named))
    assert not answers(found)
    assert said in diagnose(found)


def test_nobody_and_nowhere_are_told_apart() -> None:
    with nobody() as port:
        assert "nobody listens" in diagnose(road(f"127.0.0.1:{port}", files=TlsFiles()))
    assert "looked up" in diagnose(road("grpc://no-such-host.invalid:1", files=TlsFiles()))
    assert "no socket" in diagnose(road("unix:/no/such.sock", files=TlsFiles()))


@pytest.fixture(scope="module")
def bad(folder: Folder) -> Folder:
    key = load_pem_private_key(folder.pem("leaf.key"), None)
    certificate = load_pem_x509_certificate(folder.pem("leaf.crt"))
    secret = BestAvailableEncryption(b"x")
    folder.write("locked.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    folder.write("old-locked.key", key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, secret))
    folder.write("der.key", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    folder.write("der.crt", certificate.public_bytes(Encoding.DER))
    folder.write("turned.crt", folder.pem("ca") + folder.pem("leaf.crt"))
    folder.write("both.pem", b"\xef\xbb\xbf" + folder.pem("leaf.key") + folder.pem("leaf.crt"))
    folder.write("empty", b" \n")
    folder.write("junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("leaf.crt", "caller.key", "not the key of"),
        ("leaf.crt", "locked.key", "passphrase"),
        ("leaf.crt", "old-locked.key", "passphrase"),
        ("leaf.crt", "der.key", "DER"),
        ("leaf.crt", "leaf.crt", "a certificate and no private key"),
        ("der.crt", "leaf.key", "DER"),
        ("leaf.key", "leaf.key", "private key and no certificate"),
        ("turned.crt", "leaf.key", "comes first"),
        ("none", "leaf.key", "no such file"),
        (".", "leaf.key", "Is a directory"),
        ("empty", "leaf.key", "empty"),
        ("junk", "leaf.key", "cannot be read"),
        ("leaf.crt", "empty", "empty"),
    ],
)
def test_a_pair_that_cannot_be_used_is_refused_with_its_file(
    bad: Folder, certificate: str, key: str, said: str
) -> None:
    files = PemFile("AUTHY_TLS_CERT", bad.path / certificate), PemFile("AUTHY_TLS_KEY", bad.path / key)
    with pytest.raises(CertificateError, match=said) as caught:
        read_pair(*files)
    assert str(caught.value).startswith("AUTHY_TLS_")


def test_a_pair_in_one_file_is_taken(bad: Folder) -> None:
    both = PemFile("AUTHY_TLS_CERT", bad.path / "both.pem")
    assert read_pair(both, both)
    assert read_roots(both)


def test_a_certificate_without_its_key_is_refused(folder: Folder) -> None:
    with pytest.raises(TargetError, match="AUTHY_CLIENT_KEY"):
        Client("127.0.0.1:1", "ak_1", client_cert=folder.path / "caller.crt")
    with pytest.raises(CertificateError, match="AUTHY_CA"):
        Client("grpcs://127.0.0.1:1", "ak_1", ca=folder.path / "none")


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, **_: object) -> None:
        self.lines.append(event)

    warning = info


def test_files_are_read_anew_when_they_change_and_bad_ones_are_not_taken(folder: Folder) -> None:
    now, log = 0.0, Log()
    crt, key = (
        folder.write("new.crt", folder.pem("leaf.crt")),
        folder.write("new.key", folder.pem("leaf.key")),
    )
    pair = PemFile("AUTHY_TLS_CERT", crt), PemFile("AUTHY_TLS_KEY", key)
    renewal = Renewal([crt, key], lambda: read_pair(*pair), log=log, clock=lambda: now)
    first = renewal.look()

    folder.write("new.crt", folder.pem("caller.crt"))
    assert renewal.look() is first
    now = 60.0
    assert renewal.look() is first and log.lines == ["certificates kept"]
    now = 120.0
    assert renewal.look() is first and log.lines == ["certificates kept"]

    folder.write("new.key", folder.pem("caller.key"))
    now = 180.0
    assert renewal.look() == (folder.pem("caller.crt"), folder.pem("caller.key"))
    assert renewal.look() is renewal.look()
    assert log.lines == ["certificates kept", "certificates read"]

    key.unlink()
    assert renewal.renew()[1] == folder.pem("caller.key")
