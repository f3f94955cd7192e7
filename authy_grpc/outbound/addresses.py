"""Checks which addresses a stranger may have called: how a URL is written, and where its name leads."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from authy_grpc.outbound.names import Names, Unresolved
from authy_grpc.outbound.opened import NOTHING, IPAddress, Listeners, Opened

__all__ = ["Addresses", "ForbiddenAddress", "IPAddress", "Resolve", "Target", "Unresolved", "is_public"]

Resolve = Callable[[str], Awaitable[Sequence[IPAddress]]]

MAX_LENGTH = 2048

# IANA's special-purpose registry, whole, and what else is not of the public internet. The properties of
# `ipaddress` (`is_global`, `is_loopback` …) change with each version of Python: nothing here asks them.
_DENIED_4 = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # Azure's platform, from inside every machine of it
        ),
    )
)
# Nothing but global unicast is routed between sites. Mapped, compatible, translated, NAT64, unique local,
# link-local, site-local and multicast addresses all lie outside of it.
_GLOBAL_6 = IPv6Network("2000::/3")
_DENIED_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # Teredo, benchmarking, ORCHID and other protocol assignments
            "2001:db8::/32",
            "2002::/16",  # 6to4: holds an IPv4 address
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
# RFC 6761, 6762, 7686, 3172 and ICANN's `internal`: never names of the public DNS.
_NOT_PUBLIC = frozenset({"localhost", "local", "internal", "invalid", "onion", "arpa"})
_LOOPBACK: tuple[IPAddress, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_LOOPBACK_4 = IPv4Network("127.0.0.0/8")

_PRINTABLE = re.compile(r"[!-~]+")
_PARTS = re.compile(r"(https?)://([^/?]*)(.*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([1-9][0-9]{0,4}))?")
_PATH = re.compile(r"(/[\w.~!$&'()*+,;=:@%/-]*)?(\?[\w.~!$&'()*+,;=:@%/?-]*)?", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label begins with a letter: whatever ends in a number, some resolver takes for an IPv4 address.
_NAME = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_MAX_NAME, _MAX_PORT, _FIRST_FREE_PORT = 253, 65535, 1024
_USUAL_PORT = {"https": 443, "http": 80}

NO_PUBLIC_ADDRESS = "a name without addresses, or with one that is not public"


class ForbiddenAddress(Exception):
    """The address must not be called.

    Attributes:
        why: a fixed text, without the address.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, read.

    Attributes:
        scheme: `https`, or `http`.
        host: a name in lower case or an address, without brackets.
        path: what is asked for there, with the query.
    """

    scheme: str
    host: str = field(repr=False)
    port: int
    path: str = field(repr=False)

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _USUAL_PORT[self.scheme] else f"{host}:{self.port}"


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the public internet, and holds no other address."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_4)
    # One with a scope is of a link, whatever its bits are.
    if address.scope_id is not None or address not in _GLOBAL_6:
        return False
    return not any(address in network for network in _DENIED_6)


class Addresses:
    """Tells what may be called.

    Args:
        dev: whether loopback is let in, and plain http to it: never where strangers are.
        resolve: finds a name's addresses; raises Unresolved where there is none. The system's name servers by
            default.
        listeners: what is never called where it is not public: this service's own.
        opened: what may be called beside the public internet, of one application's webhooks alone.
    """

    def __init__(
        self,
        *,
        dev: bool = False,
        resolve: Resolve | None = None,
        listeners: Listeners | None = None,
        opened: Opened = NOTHING,
    ) -> None:
        self._dev = dev
        self._resolve = resolve or Names()
        self._listeners = listeners or Listeners()
        self._opened = opened

    def opening(self, opened: Opened) -> "Addresses":
        """The same, with what is open to one application."""
        return Addresses(dev=self._dev, resolve=self._resolve, listeners=self._listeners, opened=opened)

    async def check(self, url: str, allow: Sequence[str] = ()) -> Sequence[IPAddress]:
        """Refuse a URL by its text and by where its name leads now; a post checks it again.

        Args:
            url: as the stranger wrote it.
            allow: what the operator has opened for whoever gave the URL, see `Opened.read`.

        Returns:
            The addresses to which it leads.

        Raises:
            ForbiddenAddress: it must not be called.
            Unresolved: its name leads nowhere.
        """
        addresses = self.opening(Opened.read(tuple(allow))) if allow else self
        target = addresses.read(url)
        return await addresses.find(target.host, target.port)

    def read(self, url: str) -> Target:
        """Take a URL apart. One that could be read in two ways is refused, not mended.

        Args:
            url: as the stranger wrote it.

        Raises:
            ForbiddenAddress: it is badly written, or it names an address that must not be called.
        """
        if len(url) > MAX_LENGTH:
            raise ForbiddenAddress("longer than 2,048 characters")
        if not _PRINTABLE.fullmatch(url):
            raise ForbiddenAddress("not printable ASCII: a name of other letters has an `xn--` form")
        parts = _PARTS.fullmatch(url)
        if parts is None:
            raise ForbiddenAddress("not an https address")
        scheme, rest = parts[1].lower(), parts[3]
        if not _PATH.fullmatch(rest):
            raise ForbiddenAddress("a character that must be escaped, or a fragment")
        authority = _AUTHORITY.fullmatch(parts[2].lower())
        if authority is None:
            raise ForbiddenAddress("not a bare host name and port")
        host = self._host(authority[1])
        if scheme == "http" and not ((self._dev and _is_loopback(host)) or self._is_opened(host)):
            raise ForbiddenAddress("not an https address")
        port = int(authority[2] or _USUAL_PORT[scheme])
        if port > _MAX_PORT or (port < _FIRST_FREE_PORT and port != _USUAL_PORT[scheme]):
            raise ForbiddenAddress("a port of another protocol")
        return Target(scheme, host, port, rest if rest.startswith("/") else "/" + rest)

    def allows(self, address: IPAddress) -> bool:
        """Whether a resolved or connected address may be spoken to, whatever name led to it."""
        return is_public(address) or (self._dev and _loops_back(address)) or self._opened.takes(address)

    def opens(self, host: str, address: IPAddress) -> bool:
        """Whether an address may be spoken to that the name of a Target has led to, for that name's sake."""
        return self._opened.takes(address, host)

    async def find(self, host: str, port: int = 443) -> Sequence[IPAddress]:
        """Every address of a host, all of them allowed.

        Args:
            host: of a Target.
            port: of the same.

        Raises:
            ForbiddenAddress: one of them must not be called.
            Unresolved: there is none.
        """
        literal = _literal(host)
        found = await self._lookup(host) if literal is None else [literal]
        for address in found:
            inside = not is_public(address) and self._listeners.at(address, port)
            if inside or not (self.allows(address) or self.opens(host, address)):
                raise ForbiddenAddress(NO_PUBLIC_ADDRESS)
        return found

    async def _lookup(self, host: str) -> Sequence[IPAddress]:
        return _LOOPBACK if host == "localhost" else await self._resolve(host)

    def _is_opened(self, host: str) -> bool:
        address = _literal(host)
        return host in self._opened.hosts if address is None else self._opened.takes(address)

    def _host(self, text: str) -> str:
        address = _literal(text.strip("[]"))
        if address is not None and text.startswith("[") == (address.version == 6):
            if not self.allows(address):
                raise ForbiddenAddress("an address that is not public")
            return str(address)
        if text in self._opened.hosts or (self._dev and text == "localhost"):
            return text
        if len(text) > _MAX_NAME or not _NAME.fullmatch(text):
            raise ForbiddenAddress("not a full host name, nor an address in its usual spelling")
        if text.rpartition(".")[2] in _NOT_PUBLIC and not self._opened.networks:
            raise ForbiddenAddress("a name that is not public")
        return text


def _literal(host: str) -> IPAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _literal(host)
    return host == "localhost" if address is None else _loops_back(address)


def _loops_back(address: IPAddress) -> bool:
    return address in _LOOPBACK_4 if isinstance(address, IPv4Address) else address in _LOOPBACK
