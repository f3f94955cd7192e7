"""Diagnoses why a service cannot be reached: name, port, clear text against TLS, certificates."""

import os
import socket
import ssl
import tempfile

from authy_grpc.client.connect import Road
from authy_grpc.client.target import Target

_UNIX = "unix:"
# OpenSSL's codes for a signer that is not among the known ones.
_NOT_KNOWN = (18, 19, 20, 21)
# Where one is named, grpc goes through it, which cannot be seen from here.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


def diagnose(road: Road, seconds: float = 3.0) -> str:
    """Connects once, beside grpc, and says what stands in the way. It blocks, for that many seconds at most.

    Returns:
        one clause such as `nobody listens at 127.0.0.1:50051`; empty where nothing is wrong that it can see.
    """
    place = road.target
    shown = str(place)
    if road.secure and not place.loopback and any(os.environ.get(name) for name in _PROXIES):
        return ""
    try:
        with _connect(place, seconds) as connection:
            connection.settimeout(seconds)
            if road.secure:
                return _by_tls(road, connection, shown)
            return _in_clear(place, connection, shown)
    except socket.gaierror:
        return f"the name {place.host} cannot be looked up"
    except FileNotFoundError:
        return f"there is no socket at {place.dial}"
    except ConnectionRefusedError:
        return f"nobody listens at {shown}"
    except TimeoutError:
        return f"{shown} does not answer: a firewall, or another address"
    except _Unknown:
        return ""
    except OSError as error:
        return f"{shown} cannot be reached: {error.strerror or error}"


class _Unknown(Exception):
    """Only grpc can resolve this address."""


def _connect(place: Target, seconds: float) -> socket.socket:
    if place.host:
        return socket.create_connection((place.host, int(place.dial.rpartition(":")[2])), seconds)
    if not place.dial.startswith(_UNIX):
        raise _Unknown
    path = place.dial.removeprefix(_UNIX)
    found = socket.socket(socket.AF_UNIX)
    try:
        found.settimeout(seconds)
        found.connect("/" + path.lstrip("/") if path.startswith("//") else path)
    except BaseException:
        found.close()
        raise
    return found


def _in_clear(place: Target, connection: socket.socket, shown: str) -> str:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(connection, server_hostname=place.host or None):
            pass
    except OSError:
        return ""
    how = (
        "set AUTHY_TLS_CERT as the server has it, or AUTHY_CA"
        if place.loopback
        else f"write grpcs://{place.dial}"
    )
    return f"{shown} speaks TLS, and was asked in clear text: {how}"


def _by_tls(road: Road, connection: socket.socket, shown: str) -> str:
    trust = road.trust
    if road.credentials is not None:
        return ""
    context = ssl.create_default_context(cadata=trust.roots.decode(errors="replace") if trust.roots else None)
    # As grpc does: a certificate that is trusted itself needs no issuer.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    # That name was taken from the certificate itself, and libraries differ about wildcards.
    context.check_hostname = not trust.name
    if trust.certificate and trust.key:
        _show(context, trust.certificate + b"\n" + trust.key)
    try:
        with context.wrap_socket(connection, server_hostname=trust.name or road.target.host) as inner:
            if inner.selected_alpn_protocol() != "h2":
                return f"{shown} speaks TLS and no HTTP/2: it is no gRPC server, or a proxy without it"
            if not _says_something(inner):
                return _unknown(road, shown)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.rstrip(".")
        return f"the certificate of {shown} is not taken: {reason}{_known(road, error)}"
    except ssl.SSLError as error:
        return _refused(road, shown, error)
    return ""


def _known(road: Road, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code not in _NOT_KNOWN:
        return ""
    if road.trust.roots is None:
        return " (set AUTHY_CA to the file of who has signed it, where that is nobody known)"
    return " (known are those of AUTHY_CA, or on its own machine of AUTHY_TLS_CERT)"


def _says_something(connection: ssl.SSLSocket) -> bool:
    """Whether the server goes on after the handshake, in which TLS 1.3 does not tell what it thinks of us."""
    try:
        return bool(connection.recv(1))
    except TimeoutError:
        return True
    except (ConnectionError, ssl.SSLEOFError):
        return False


def _refused(road: Road, shown: str, error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if "ALERT" in reason:
        return f"{_unknown(road, shown)} ({reason.lower().replace('_', ' ')})"
    return f"{shown} does not speak TLS: for clear text write grpc://{road.target.dial}"


def _unknown(road: Road, shown: str) -> str:
    if road.trust.certificate:
        return f"{shown} does not take the certificate of AUTHY_CLIENT_CERT"
    return f"{shown} asks for a client's certificate: set AUTHY_CLIENT_CERT and AUTHY_CLIENT_KEY"


def _show(context: ssl.SSLContext, pem: bytes) -> None:
    # The library takes these from a file alone.
    with tempfile.NamedTemporaryFile() as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
