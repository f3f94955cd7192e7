"""Reads the certificate that the gateway shows, and again when its files change."""

import ssl
from dataclasses import dataclass, field
from typing import Any

from authy_grpc.client.certificates import PemFile, read_pair
from authy_grpc.client.renewal import Renewal
from gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Shown:
    """What connections are shown: equal where certificate and key are."""

    certificate: bytes
    key: bytes = field(repr=False)
    context: ssl.SSLContext = field(compare=False, repr=False)


def read_shown(settings: GatewaySettings, log: Any = None) -> Renewal[Shown] | None:
    """What the gateway shows; None for clear text.

    Raises:
        CertificateError: a file cannot be used.
    """
    if settings.http_tls_cert is None or settings.http_tls_key is None:
        return None
    certificate = PemFile("AUTHY_HTTP_TLS_CERT", settings.http_tls_cert)
    key = PemFile("AUTHY_HTTP_TLS_KEY", settings.http_tls_key)

    def read() -> Shown:
        return Shown(*read_pair(certificate, key), _context(certificate, key))

    return Renewal([certificate.path, key.path], read, log=log)


def _context(certificate: PemFile, key: PemFile) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(["http/1.1"])
    try:
        # A key with a passphrase was refused before; nobody is to be asked for one on a terminal.
        made.load_cert_chain(certificate.path, key.path, password=bytes)
    except OSError as error:
        reason = (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or "no reason is known"
        raise certificate.wrong(f"TLS cannot use it: {reason.replace('_', ' ').lower()}") from None
    return made
