"""Checks addresses: what keeps a server from listening, certificates, and whether the service answers."""

import os
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc import listening
from authy_grpc.bootstrap import real_clock
from authy_grpc.cli.failure import Failure, explain
from authy_grpc.cli.finding import Finding
from authy_grpc.cli.options import LOCAL_SERVER
from authy_grpc.cli.serve import check_address, check_certificates
from authy_grpc.client import connect
from authy_grpc.client.certificates import CertificateError, PemFile, lifetime, names
from authy_grpc.client.diagnosis import diagnose
from authy_grpc.settings import Settings

_PATIENCE = 3.0
_FEW_DAYS = 14
_MIB = 1024 * 1024
_UNREADABLE = re.compile(r"^\w+_forwarded_unreadable_total ([0-9.e+]+)$", re.MULTILINE)


def server(at: str) -> Iterator[Finding]:
    """Whether a service answers."""
    try:
        road = connect.road(at)
    except (connect.TargetError, connect.CertificateError) as error:
        yield _failed("server", error)
        return
    state = _health(road)
    if state is None:
        mend = "Start it with `authy-grpc serve`, or set AUTHY_SERVER."
        yield Finding("server", "warn", f"Not reached: {diagnose(road) or f'no answer from {at}'}.", mend)
    else:
        how = "by TLS" if road.secure else "in clear text"
        yield Finding("server", "ok" if state == "SERVING" else "warn", f"{at} is {state}, {how}")


def own(settings: Settings) -> str:
    """Where the service of these settings is reached from this machine; else the usual place."""
    try:
        place = listening.parse("AUTHY_LISTEN", settings.listen, unix=True)
    except listening.ListenError:
        return LOCAL_SERVER
    return str(listening.reachable(place)) if place.port or place.path else LOCAL_SERVER


def _health(road: connect.Road) -> str | None:
    """What the service says of itself; None where it says nothing."""
    with road.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_PATIENCE)
        except grpc.RpcError:
            return None
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def listens(settings: Settings) -> Iterator[Finding]:
    """Whether the service can listen where its settings say, and with which certificate."""
    try:
        place = check_address(settings)
        check_certificates(settings)
        if settings.insecure:
            mend = "Let only a proxy that does TLS reach it."
            yield Finding("listen", "warn", f"{place}, AUTHY_INSECURE", mend)
        else:
            tls = "with TLS" if settings.tls_cert else "without TLS"
            yield Finding("listen", "ok", f"{place}, {tls}")
        yield from _binds("listen", place, partial(_speaks_grpc, place, settings))
        yield from certificate("tls", settings.tls_cert)
    except (Failure, listening.ListenError, CertificateError) as error:
        yield _failed("listen", error)
    else:
        yield from _origin(settings)
    for name, setting, text in (
        ("http listen", "AUTHY_HTTP_LISTEN", settings.http_listen),
        ("metrics listen", "AUTHY_METRICS_LISTEN", settings.metrics_listen),
    ):
        # Its default may be another program's: the gateway need not run here.
        if text and setting.removeprefix("AUTHY_").lower() in settings.model_fields_set:
            try:
                place = listening.parse(setting, text)
                yield from _binds(name, place, partial(_speaks_http, place, settings))
            except listening.ListenError as error:
                yield _failed(name, error)


def proxies(settings: Settings) -> Iterator[Finding]:
    """Whose word on who calls is believed."""
    found = settings.forwarding
    if settings.proxy_header and not found:
        mend = "Set AUTHY_TRUSTED_PROXIES to the proxies that write it."
        yield Finding("proxies", "warn", "AUTHY_PROXY_HEADER is set, and no proxy is believed.", mend)
    if not found:
        return
    mend = f"Have them write {found.header}, with one address a hop."
    if any(network.prefixlen == 0 for network in found.networks):
        mend = "Name the proxies' own addresses."
        yield Finding(
            "proxies", "warn", "AUTHY_TRUSTED_PROXIES is everybody: each may give any address.", mend
        )
    elif unread := _unreadable(settings):
        text = (
            f"{unread} calls came through a proxy without an address that can be read; they share one budget."
        )
        yield Finding("proxies", "warn", text, mend)
    else:
        told = ", ".join([str(network) for network in found.networks] + ["unix:"] * found.unix)
        text = f"{found.header} is believed of {told}; what cannot be read there shares one budget"
        yield Finding("proxies", "ok", text)


def _unreadable(settings: Settings) -> int:
    """How many calls came through a proxy without an address, as the metrics of the server that runs say."""
    if not settings.metrics_listen:
        return 0
    try:
        told = _read(listening.parse("AUTHY_METRICS_LISTEN", settings.metrics_listen), "/metrics")
    except listening.ListenError:
        return 0
    return sum(int(float(each)) for each in _UNREADABLE.findall(told))


def _read(place: listening.Place, path: str, *, secure: bool = False) -> str:
    """What an HTTP server on this machine answers; empty for none."""
    at = listening.reachable(place)
    connection = HTTPConnection(at.host, at.port, timeout=_PATIENCE)
    if secure:
        # It is asked who it is, and told nothing: the certificate need not be for this address.
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(at.host, at.port, timeout=_PATIENCE, context=trusting)
    try:
        connection.request("GET", path)
        return connection.getresponse().read(_MIB).decode(errors="replace")
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()


def _origin(settings: Settings) -> Iterator[Finding]:
    begins = f"QR links begin with {settings.origin}"
    if settings.http_tls_cert is not None and not settings.public_url:
        mend = "Set AUTHY_PUBLIC_URL to https:// and a name in the certificate of AUTHY_HTTP_TLS_CERT."
        yield Finding("public url", "warn", begins, mend)
    elif not settings.origin.startswith("https://") and not settings.dev:
        yield Finding("public url", "warn", begins, "Set AUTHY_PUBLIC_URL to an https origin.")


def _failed(name: str, error: Exception) -> Finding:
    failure = explain(error) or Failure(str(error))
    return Finding(name, "fail", failure.text, failure.mend)


def _binds(name: str, place: listening.Place, ours: Callable[[], bool]) -> Iterator[Finding]:
    """Whether an address can be bound, or is by a server of ours.

    Args:
        name: of the finding.
        place: the address.
        ours: asks who listens there.
    """
    try:
        listening.probe(place)
    except listening.ListenError as error:
        if not (error.taken and ours()):
            yield _failed(name, error)


def _speaks_grpc(place: listening.Place, settings: Settings) -> bool:
    try:
        served = settings.tls_cert and PemFile("AUTHY_TLS_CERT", settings.tls_cert)
        files = replace(connect.TlsFiles.of(os.environ), served=served or None)
        road = connect.road(str(listening.reachable(place)), insecure=served is None, files=files)
        return _health(road) is not None or "asks for a client" in diagnose(road)
    except (connect.TargetError, CertificateError):
        return False


def _speaks_http(place: listening.Place, settings: Settings) -> bool:
    if "HTTP" in place.setting:
        return "ALIVE" in _read(place, "/healthz", secure=settings.http_tls_cert is not None)
    return "# HELP" in _read(place, "/metrics")


def certificate(name: str, path: Path | None) -> Iterator[Finding]:
    """Whom a served certificate is for, and until when.

    Args:
        name: of the finding.
        path: of its file, which was read before; None where clear text is served.
    """
    if path is None:
        return
    shown = path.read_bytes()
    begin, end = lifetime(shown)
    left = (end - real_clock()).days
    mend = "Renew it: the server reads it anew by itself."
    if begin > real_clock():
        yield Finding(
            name, "fail", f"The certificate is good from {begin:%Y-%m-%d} on.", "Is this clock right?"
        )
    elif left < 0:
        yield Finding(name, "fail", f"The certificate has ended, {end:%Y-%m-%d}.", mend)
    elif left < _FEW_DAYS:
        yield Finding(name, "warn", f"The certificate ends in {left} days, {end:%Y-%m-%d}.", mend)
    else:
        yield Finding(name, "ok", f"a certificate for {', '.join(names(shown).all)}, until {end:%Y-%m-%d}")
