"""Connects to the service: clear text or TLS, which certificates, and the options of a channel."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import grpc
import grpc.aio

from authy_grpc.client.certificates import CertificateError, PemFile, names, read_pair, read_roots
from authy_grpc.client.renewal import Renewal
from authy_grpc.client.target import Target, TargetError, is_loopback, parse

__all__ = ["CertificateError", "Road", "TargetError", "TlsFiles", "is_loopback", "options", "parse", "road"]

Option = tuple[str, int | str]
# A quiet connection that died is noticed in 50 s, one whose server is slow to answer is not cut before; the
# server allows pings at half this interval.
_ALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Without it a ping that nobody answers is waited for a minute, whatever the line above says.
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # By default up to two minutes may pass before a server that came back is tried again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
# The service takes 600 streams on a connection; more would wait without a word, and calls behind them. With
# this gRPC connects once more instead (gRFC A105): enough for all the streams that a site may hold.
_CONNECTIONS = 20
_SCALING: tuple[Option, ...] = (
    ("grpc.max_connections_per_subchannel_cap", _CONNECTIONS),
    (
        "grpc.service_config",
        json.dumps({"connectionScaling": {"maxConnectionsPerSubchannel": _CONNECTIONS}}),
    ),
)


@dataclass(frozen=True)
class TlsFiles:
    """The PEM files by which a caller knows the service, and the service the caller.

    Attributes:
        ca: who has signed the service's certificate (AUTHY_CA); None for the usual authorities.
        certificate: the caller's own (AUTHY_CLIENT_CERT), with its `key` (AUTHY_CLIENT_KEY).
        served: what a server of this environment shows (AUTHY_TLS_CERT): trusted on this machine.
    """

    ca: PemFile | None = None
    certificate: PemFile | None = None
    key: PemFile | None = None
    served: PemFile | None = None

    @classmethod
    def of(
        cls,
        environment: Mapping[str, str],
        *,
        ca: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | None = None,
        client_key: str | os.PathLike[str] | None = None,
    ) -> "TlsFiles":
        """Those that are given, and else those that the environment names.

        Raises:
            TargetError: a certificate without its key, or a key without its certificate.
        """

        def file(setting: str, given: str | os.PathLike[str] | None = None) -> PemFile | None:
            path = given or environment.get(setting, "").strip()
            return PemFile(setting, Path(path)) if path else None

        found = cls(
            ca=file("AUTHY_CA", ca),
            certificate=file("AUTHY_CLIENT_CERT", client_cert),
            key=file("AUTHY_CLIENT_KEY", client_key),
            served=file("AUTHY_TLS_CERT"),
        )
        if (found.certificate is None) != (found.key is None):
            raise TargetError("AUTHY_CLIENT_CERT and AUTHY_CLIENT_KEY go together: set both or neither")
        return found

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        files = (self.ca, self.certificate, self.key, self.served)
        return [file.path for file in files if file is not None]


@dataclass(frozen=True)
class Trust:
    """What the files hold, as PEM."""

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    name: str = ""

    def __repr__(self) -> str:
        return f"Trust(name={self.name!r})"


_NO_TRUST = Trust()


@dataclass(frozen=True)
class Road:
    """How to reach the service.

    Attributes:
        target: where.
        secure: whether by TLS.
        credentials: the caller's own; where None, made of the files.
        renewal: of what the files hold; None for clear text and for credentials of the caller.
    """

    target: Target
    secure: bool
    credentials: grpc.ChannelCredentials | None = None
    renewal: Renewal[Trust] | None = None

    def channel(self, *more: Option) -> grpc.Channel:
        """Makes a channel."""
        found = self._credentials()
        given = (*options(self.secure), *self._named(), *more)
        if found is None:
            return grpc.insecure_channel(self.target.dial, given)
        return grpc.secure_channel(self.target.dial, found, given)

    def aio_channel(self, *more: Option) -> grpc.aio.Channel:
        """Makes a channel for asyncio."""
        found = self._credentials()
        given = (*options(self.secure), *self._named(), *more)
        if found is None:
            return grpc.aio.insecure_channel(self.target.dial, given)
        return grpc.aio.secure_channel(self.target.dial, found, given)

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if not self.secure or self.credentials is not None:
            return self.credentials
        trust = self.trust
        return grpc.ssl_channel_credentials(trust.roots, trust.key, trust.certificate)

    def _named(self) -> tuple[Option, ...]:
        return (("grpc.ssl_target_name_override", self.trust.name),) if self.trust.name else ()

    @property
    def trust(self) -> Trust:
        """What the files hold now."""
        return self.renewal.look() if self.renewal is not None else _NO_TRUST


def road(
    target: str,
    credentials: grpc.ChannelCredentials | None = None,
    insecure: bool | None = None,
    files: TlsFiles | None = None,
) -> Road:
    """Settles how to reach a service.

    Args:
        target: where it listens, such as `authy.example:443`.
        credentials: the caller's own for TLS, in place of those of files.
        insecure: True for plaintext, False for TLS; where None, the scheme says it. Without one a target on
            this machine is plaintext unless there are files, and every other is TLS.
        files: of certificates; where None, those of the environment.

    Raises:
        TargetError: the target cannot be read, or says something else than the arguments.
        CertificateError: a file cannot be used.
    """
    place = parse(target)
    if credentials is not None and (insecure or place.secure is False):
        raise TargetError(
            "plaintext shows the API key: leave out insecure=True or grpc://, or the credentials"
        )
    if insecure is not None and place.secure is insecure:
        raise TargetError(f"{place} and insecure={insecure} say two things: leave `insecure` out")
    if credentials is not None:
        return Road(place, True, credentials)
    files = TlsFiles.of(os.environ) if files is None else files
    secure = _secure(place, insecure, files)
    if not secure:
        return Road(place, False)
    return Road(place, True, None, Renewal(files.paths, partial(_trust, place, files)))


def _secure(place: Target, insecure: bool | None, files: TlsFiles) -> bool:
    if place.secure is not None:
        return place.secure
    if insecure is not None:
        return not insecure
    return not place.loopback or bool(files.paths)


def _trust(place: Target, files: TlsFiles) -> Trust:
    here = place.loopback or _is_here(place.host)
    served = read_roots(files.served) if files.served is not None and here else None
    roots = read_roots(files.ca) if files.ca is not None else served
    certificate, key = (
        read_pair(files.certificate, files.key) if files.certificate and files.key else (None, None)
    )
    name = ""
    if served is not None:
        found = names(served)
        # A wildcard is no name, but one that it stands for is.
        name = "" if place.host in found.all else found.first.replace("*.", "any.", 1)
    return Trust(roots, certificate, key, name)


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine's own: names are looked up by grpc alone."""
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as tried:
            tried.bind((host, 0))
    except (ValueError, OSError):
        return False
    return True


def options(secure: bool) -> tuple[Option, ...]:
    """Returns the options of a channel."""
    # A proxy named by the environment would read the API key of a plaintext connection.
    found = (*_ALIVE, *_SCALING)
    return found if secure else (*found, ("grpc.enable_http_proxy", 0))
