"""Reads `AUTHY_WEBHOOK_ALLOW`: private hosts and networks that webhooks of one application may call."""

import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What no setting opens: link-local addresses, where clouds answer with the machine's own credentials, what is
# no single host, and forms of IPv6 that hold an IPv4 address.
_SHUT = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "224.0.0.0/4", "240.0.0.0/4"),
            *("::/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
            *("fe80::/10", "fec0::/10", "fd00:ec2::254/128", "ff00::/8"),
        ),
    )
)
# The widest networks that an organization has for itself: 10.0.0.0/8 and fc00::/7. A wider one opens what is
# nobody's alone, and more likely than not by a slip.
_WIDEST = {4: 8, 6: 7}
# The rest of `::/96`, but for loopback: IPv4 addresses in the form of old.
_COMPATIBLE, _LOOPBACK_6 = IPv6Network("::/96"), IPv6Address("::1")
_APPLICATION = re.compile(r"app_\w+", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Opened:
    """What is open to one application's webhooks beside the public internet.

    Attributes:
        hosts: names in lower case, whatever addresses they have.
    """

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = field(default=frozenset())

    @classmethod
    @lru_cache(256)
    def read(cls, entries: tuple[str, ...]) -> "Opened":
        """What is listed.

        Args:
            entries: each a host's name, an address, or a network such as `10.0.0.0/8`.

        Raises:
            ValueError: one of them is none of these, or stays shut; it says why.
        """
        networks, hosts = [], set()
        for entry in entries:
            text = entry.strip().lower()
            if _HOST.fullmatch(text):
                hosts.add(text)
                continue
            try:
                network = ip_network(text.strip("[]"))
            except ValueError:
                raise ValueError(
                    f"{entry!r} is neither a host's name nor a network such as 10.0.0.0/8: write neither"
                    " a scheme nor a port"
                ) from None
            if any(network.version == shut.version and network.subnet_of(shut) for shut in _SHUT):  # type: ignore[arg-type]
                raise ValueError(f"{entry!r} stays shut: link-local addresses and the like are for nobody")
            networks.append(network)
        return cls(tuple(networks), frozenset(hosts))

    def __bool__(self) -> bool:
        return bool(self.networks or self.hosts)

    def takes(self, address: IPAddress, host: str = "") -> bool:
        """Whether an address is open, where a name has led to it or not."""
        if is_shut(address):
            return False
        return host in self.hosts or any(address in network for network in self.networks)


NOTHING = Opened()


class Listeners:
    """Where this service itself listens: not for webhooks, though its network be open to one.

    Args:
        places: of this machine, such as `127.0.0.1:8080`; a socket's path has no port.
        core: of the service that a gateway calls, wherever it runs.
    """

    def __init__(self, *places: str, core: Iterable[str] = ()) -> None:
        self._own, self._core = _ports(places), _ports(core)

    def add(self, port: int) -> None:
        """One more, of this machine: what listens at a port that the system has chosen."""
        self._own.add(port)

    def at(self, address: IPAddress, port: int) -> bool:
        """Whether one of them is there."""
        return port in self._core or (port in self._own and _is_local(address))


def read_allowances(text: str) -> Mapping[str, tuple[str, ...]]:
    """The entries of each application, from `app_1=10.0.0.0/8,app_2=hooks.internal,app_2=fd12::/16`.

    Raises:
        ValueError: a pair cannot be read, or stays shut; it says which.
    """
    found: dict[str, tuple[str, ...]] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        application_id, equals, entry = (part.strip() for part in pair.partition("="))
        if not (equals and _APPLICATION.fullmatch(application_id)):
            raise ValueError(f"{pair!r}: write APPLICATION_ID=HOST_OR_NETWORK, such as app_…=10.0.0.0/8")
        found[application_id] = (*found.get(application_id, ()), entry)
    for entries in found.values():
        for network in Opened.read(entries).networks:
            _check_width(network)
    return found


def _check_width(network: Network) -> None:
    """Refuse a network with room for what stays shut.

    A gateway takes what it is told, since it judges each address by itself.

    Raises:
        ValueError: it is wider than any private network, or holds one that stays shut.
    """
    holds = any(
        network.version == shut.version and shut.num_addresses > 1 and network.overlaps(shut)
        for shut in _SHUT
    )
    if holds or network.prefixlen < _WIDEST[network.version]:
        raise ValueError(
            f"{str(network)!r} is too wide: write the networks that the receivers are in, such as 10.0.0.0/8"
            " or fd12::/16"
        )


def is_shut(address: IPAddress) -> bool:
    """Whether no setting opens an address."""
    # One with a scope is of a link, whatever its bits are.
    scoped = isinstance(address, IPv6Address) and address.scope_id is not None
    compatible = address in _COMPATIBLE and address != _LOOPBACK_6
    return scoped or compatible or any(address in network for network in _SHUT)


def _is_local(address: IPAddress) -> bool:
    """Whether an address is this machine's: whoever may bind it has it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _ports(places: Iterable[str]) -> set[int]:
    ports = (place.rpartition(":")[2] for place in places)
    return {int(port) for port in ports if port.isdecimal()}
