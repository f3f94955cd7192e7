"""Checks addresses: what keeps a server from listening, certificates, and whether the service answers."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc import listening
from authy_grpc.bootstrap import real_clock
from authy_grpc.cli.failure import Failure, explain
from authy_grpc.cli.finding import Finding
from authy_grpc.cli.serve import check_address, check_certificates
from authy_grpc.client import connect
from authy_grpc.client.certificates import CertificateError, PemFile, lifetime, names
from authy_grpc.client.diagnosis import diagnose
from authy_grpc.settings import Settings

_PATIENCE = 3.0
_FEW_DAYS = 14
_MIB = 1024 * 1024


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
        yield from _lifetime(settings)
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
                yield from _binds(name, place, partial(_speaks_http, place))
            except listening.ListenError as error:
                yield _failed(name, error)


def _origin(settings: Settings) -> Iterator[Finding]:
    if not settings.origin.startswith("https://") and not settings.dev:
        yield Finding(
            "public url",
            "warn",
            f"QR links begin with {settings.origin}",
            "Set AUTHY_PUBLIC_URL to an https origin.",
        )


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


def _speaks_http(place: listening.Place) -> bool:
    at = listening.reachable(place)
    connection = HTTPConnection(at.host, at.port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/healthz" if "HTTP" in place.setting else "/metrics")
        return (
            connection.getresponse().read(_MIB).find(b"ALIVE" if "HTTP" in place.setting else b"# HELP") >= 0
        )
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _lifetime(settings: Settings) -> Iterator[Finding]:
    if settings.tls_cert is None:
        return
    shown = settings.tls_cert.read_bytes()
    begin, end = lifetime(shown)
    left = (end - real_clock()).days
    mend = "Renew it: the server reads it anew by itself."
    if begin > real_clock():
        yield Finding(
            "tls", "fail", f"The certificate is good from {begin:%Y-%m-%d} on.", "Is this clock right?"
        )
    elif left < 0:
        yield Finding("tls", "fail", f"The certificate has ended, {end:%Y-%m-%d}.", mend)
    elif left < _FEW_DAYS:
        yield Finding("tls", "warn", f"The certificate ends in {left} days, {end:%Y-%m-%d}.", mend)
    else:
        yield Finding("tls", "ok", f"a certificate for {', '.join(names(shown).all)}, until {end:%Y-%m-%d}")
