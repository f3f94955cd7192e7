"""Tells which network counts as one caller or receiver: an IPv4 address, or an IPv6 /64."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


def subscriber(address: IPv4Address | IPv6Address) -> IPv4Network | IPv6Network:
    """The network of an address that one subscriber has whole (RFC 6177): by it addresses are limited."""
    if isinstance(address, IPv4Address):
        return IPv4Network(address)
    return IPv6Network((int(address), 64), strict=False)
