"""Parses the address of a service: `grpc://`, `grpcs://`, bare `HOST:PORT`, `unix:`, gRPC's schemes."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_CLEAR_PORT, _TLS_PORT = 50051, 443
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
# What grpc itself resolves, and which of it can stay on this machine. These go through as they are.
_UNIX = ("unix", "unix-abstract")
_GRPC = (*_UNIX, "dns", "ipv4", "ipv6", "vsock", "xds", "google-c2p")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
# Asked of a name server, a key would be told to others.
_KEY = re.compile(r"(ak|op|gw|dt)_[0-9A-Za-z]{16}", re.IGNORECASE)
_HOW = "write HOST:PORT, grpcs://HOST:PORT for TLS or grpc://HOST:PORT for clear text"


class TargetError(ValueError):
    """An address, or a certificate to reach it with, cannot be used. The text says why."""


@dataclass(frozen=True)
class Target:
    """Where a service listens.

    Attributes:
        dial: the address as grpc takes it.
        host: of it; empty for what grpc alone can resolve.
        secure: True for TLS and False for clear text where the scheme says so; None where it says nothing.
        loopback: whether what is sent there stays on this machine.
    """

    dial: str
    host: str
    secure: bool | None
    loopback: bool

    def __str__(self) -> str:
        scheme = {None: "", True: "grpcs://", False: "grpc://"}[self.secure]
        return scheme + self.dial


def parse(text: str) -> Target:
    """Reads an address.

    Args:
        text: such as `127.0.0.1:50051`, `grpcs://authy.example` (port 443) or `unix:/run/authy.sock`.

    Raises:
        TargetError: it cannot be read, with what to write instead. The text is quoted only where it holds
            no password.
    """
    text = text.strip()
    if text[:1] in ("'", '"') and text[-1:] == text[0]:
        text = text[1:-1].strip()
    if not text:
        raise TargetError(f"the address of the service is empty: {_HOW}")
    if re.search(r"\s", text) or not text.isprintable():
        raise TargetError(f"the address of the service has white space inside: {_HOW}")
    if _KEY.match(text):
        raise TargetError("the address of the service is a key: keys do not belong there")
    if "@" in text:
        raise TargetError("the address of the service has an @ in it: keys and passwords do not belong there")
    scheme, colon, _ = text.partition(":")
    if scheme in _GRPC and colon and not _is_port(text):
        return Target(text, "", None, is_loopback(text))
    found = _SCHEME.fullmatch(text)
    if found is None:
        return _bare(text, None)
    return _with_scheme(text, found[1].lower(), found[2])


def is_loopback(target: str) -> bool:
    """Tells whether what is sent to the target stays on this machine. What it cannot read does not."""
    scheme, colon, rest = target.partition(":")
    if scheme in _UNIX and colon:
        return True
    if scheme in ("dns", "ipv4", "ipv6") and colon:
        target = rest.removeprefix("///")
    elif scheme.lower() in ("grpc", "grpcs") and rest.startswith("//"):
        target = rest[2:].rstrip("/")
    if target.startswith("["):
        host, bracket, port = target[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return False
    else:
        host = target.rpartition(":")[0] if target.count(":") == 1 else target
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _with_scheme(text: str, scheme: str, rest: str) -> Target:
    place, _, path = rest.partition("/")
    place, question, _ = place.partition("?")
    bare = not (path or question or "#" in text)
    text = text.partition("?")[0]
    if scheme in ("grpc", "grpcs"):
        if not bare:
            raise TargetError(f"{text} has a path, and gRPC has none: write {scheme}://{place}")
        return _bare(place, scheme == "grpcs", text)
    if scheme == "https":
        if not bare:
            raise TargetError(
                f"{text} has a path, and gRPC has none: write where the service itself listens, grpcs://{place}"
            )
        return _bare(place, True, text)
    if scheme == "http":
        raise TargetError(
            f"{text} is an address of REST: write where the service itself listens, in clear text as "
            f"grpc://{place}, by TLS as grpcs://{place}"
        )
    raise TargetError(f"{text} begins with {scheme}://, which is not known here: {_HOW}")


def _is_port(text: str) -> bool:
    """Whether a word that is a scheme of grpc is a host's name here: `dns:50051`."""
    scheme, _, rest = text.partition(":")
    return scheme not in _UNIX and rest.isdigit()


def _bare(place: str, secure: bool | None, text: str = "") -> Target:
    host, port = _split(place, text or place)
    dial = f"[{host}]" if ":" in host else host
    loopback = is_loopback(dial)
    if port is None:
        clear = secure is False or loopback
        port = _CLEAR_PORT if clear else _TLS_PORT
    return Target(f"{dial}:{port}", host, secure, loopback)


def _split(place: str, text: str) -> tuple[str, int | None]:
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or not _is_ipv6(host):
            raise TargetError(f"{text} has no IPv6 address between its brackets: write [::1]:50051")
        return host, _port(rest[1:], text) if rest else None
    if place.count(":") > 1:
        if not _is_ipv6(place) or _is_ipv6(place.rpartition(":")[0]):
            raise TargetError(f"{text} can be read in two ways: write an IPv6 address as [::1]:50051")
        return place, None
    host, colon, port = place.partition(":")
    if not host:
        raise TargetError(f"{text} names no host: {_HOW}")
    if host.isdigit():
        raise TargetError(f"{text} is a number: {_HOW}")
    if "/" in host or "/" in port:
        raise TargetError(f"{text} has a path, and gRPC has none: {_HOW}")
    if not _HOST.fullmatch(host):
        raise TargetError(f"{text} names no host that can be looked up: {_HOW}")
    return host, _port(port, text) if colon else None


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16):
        raise TargetError(f"{whole} has no port from 1 to 65535: {_HOW}")
    return int(text)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
