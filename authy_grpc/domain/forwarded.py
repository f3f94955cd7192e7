"""Reads who calls through proxies: X-Forwarded-For, Forwarded (RFC 7239) and the like, from the right.

Each proxy adds, on the right, the address that it was called from. What stands to the left of the first
address that is no proxy of ours was written by that caller, and is not read.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

# Callers whose address cannot be read count as one.
UNREADABLE = "unreadable"
UNIX = "unix"
X_FORWARDED_FOR = "x-forwarded-for"
_FORWARDED = "forwarded"
_HEADER = re.compile(r"[a-z0-9][a-z0-9_.-]*")
# The last element of a list: quoted text may hold commas, and whoever calls may leave a quote open.
_LAST = re.compile(r'(?:^|,)((?:[^",]|"(?:[^"\\]|\\.)*")*)$', re.DOTALL)
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("(?:[^"\\]|\\.)*"|[^";]*)', re.IGNORECASE | re.DOTALL)
_BRACKETS = re.compile(r"\[([^\]]*)\](?::[A-Za-z0-9._-]+)?")
_IPV4 = re.compile(r"([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)(?::[A-Za-z0-9._-]+)?")
# IPv6 in full, and a port without brackets, as some balancers write it.
_IPV6_PORT = re.compile(r"((?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}):[0-9]{1,5}", re.IGNORECASE)


@dataclass(frozen=True)
class Forwarding:
    """Which proxies are believed, and in which header.

    Attributes:
        networks: addresses of the proxies.
        unix: whether what comes by a unix socket comes from a proxy.
        header: in lower case.
    """

    networks: tuple[Network, ...] = ()
    unix: bool = False
    header: str = X_FORWARDED_FOR

    @classmethod
    def read(cls, proxies: str, header: str = "") -> "Forwarding":
        """Reads the settings AUTHY_TRUSTED_PROXIES and AUTHY_PROXY_HEADER.

        Raises:
            ValueError: one cannot be read.
        """
        listed = [each for each in re.split(r"[,\s]+", proxies) if each]
        others = [each for each in listed if each != "unix:"]
        try:
            networks = tuple(_network(each) for each in others)
        except ValueError:
            raise ValueError(
                "AUTHY_TRUSTED_PROXIES: write addresses, networks (10.0.0.0/8) or unix:, with commas between"
            ) from None
        name = header.strip().lower() or X_FORWARDED_FOR
        if not _HEADER.fullmatch(name):
            raise ValueError("AUTHY_PROXY_HEADER: write the name of one header, such as X-Forwarded-For")
        return cls(networks, len(others) < len(listed), name)

    def __bool__(self) -> bool:
        """Whether any proxy is believed."""
        return bool(self.networks) or self.unix

    def caller(self, peer: str, lines: Sequence[str]) -> str:
        """The address of who calls.

        Args:
            peer: the other end of the socket, as `canonical` or `UNIX`; empty where it is unknown.
            lines: the values of the header, in order; several lines are one list.

        Returns:
            an address in its one spelling, the peer itself, or `UNREADABLE`.
        """
        found = peer
        hops = self._hops(",".join(lines)) if self and peer else iter(())
        while self._trusts(found):
            hop = next(hops, None)
            if hop is None:
                break
            found = self._address(hop)
        return found

    def _address(self, hop: str) -> str:
        # What nginx writes of a socket that it was called by.
        if self.unix and hop.strip().strip('"') == "unix:":
            return UNIX
        return address(hop) or UNREADABLE

    def _trusts(self, peer: str) -> bool:
        if peer == UNIX:
            return self.unix
        try:
            found = ip_address(peer)
        except ValueError:
            return False
        return any(found in network for network in self.networks)

    def _hops(self, text: str) -> Iterator[str]:
        """The hops of a list, from the right. One that says nothing of an address is empty text."""
        if not text.strip():
            return
        if self.header != _FORWARDED:
            yield from reversed(text.split(","))
            return
        while (last := _LAST.search(text)) is not None:
            found = _FOR.search(last[1])
            yield found[1] if found else ""
            if not last.start():
                return
            text = text[: last.start()]
        yield ""


def _network(text: str) -> Network:
    found = ip_network(text.strip("[]"), strict=False)
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is not None and found.prefixlen >= 96:
        return ip_network(f"{mapped}/{found.prefixlen - 96}")
    return found


@lru_cache(maxsize=4096)
def address(text: str) -> str:
    """An address as proxies write it, in its one spelling: without port, brackets, quotes and zone.

    Returns:
        IPv4 inside IPv6 as IPv4; empty for what is no address.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1]).strip()
    for form in (_BRACKETS, _IPV4, _IPV6_PORT):
        if found := form.fullmatch(text):
            text = found[1]
            break
    return canonical(text.partition("%")[0])


def canonical(text: str) -> str:
    """A bare address in its one spelling, IPv4 inside IPv6 as IPv4; empty for what is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def is_worth_a_line(count: int) -> bool:
    """Whether something that happened so many times is logged: the 1st, 10th, 100th time and so on."""
    return count > 0 and str(count).strip("0") == "1"
