"""Owns how a client reaches the service: which targets may be plaintext, and the options of a channel."""

from ipaddress import ip_address

import grpc

# A quiet connection that died is noticed in 40 s; the server allows pings at half this interval.
_ALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # By default up to two minutes may pass before a server that came back is tried again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def tls(
    target: str, credentials: grpc.ChannelCredentials | None, insecure: bool | None
) -> grpc.ChannelCredentials | None:
    """Returns the TLS credentials to connect with; None for plaintext.

    Args:
        target: where the service listens, such as `authy.example:443`.
        credentials: the caller's own, such as those of a private CA.
        insecure: True for plaintext, False for TLS; where None, a loopback target alone is plaintext.

    Raises:
        ValueError: both credentials and `insecure=True`.
    """
    if credentials is not None:
        if insecure:
            raise ValueError("insecure=True sends the API key in plaintext: leave it out, or the credentials")
        return credentials
    if insecure or (insecure is None and is_loopback(target)):
        return None
    return grpc.ssl_channel_credentials()


def options(secure: bool) -> tuple[tuple[str, int], ...]:
    """Returns the options of a channel."""
    # A proxy named by the environment would read the API key of a plaintext connection.
    return _ALIVE if secure else (*_ALIVE, ("grpc.enable_http_proxy", 0))


def is_loopback(target: str) -> bool:
    """Tells whether what is sent to the target stays on this machine. What it cannot read does not."""
    scheme, colon, rest = target.partition(":")
    if scheme in ("unix", "unix-abstract") and colon:
        return True
    if scheme in ("dns", "ipv4", "ipv6") and colon:
        target = rest.removeprefix("///")
    if target.startswith("["):
        host, bracket, port = target[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return False
    else:
        host = target.rpartition(":")[0] if target.count(":") == 1 else target
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
