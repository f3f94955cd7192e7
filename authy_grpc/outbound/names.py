"""Looks up names that strangers choose: by DNS alone, without threads or a search list.

dnspython is imported at the first: a server that posts nothing starts sooner without it.
"""

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.name
    import dns.rdatatype

_LIFETIME = 5.0


class Unresolved(Exception):
    """The name has no address now."""


class Names:
    """Looks names up.

    Not by the system's resolver: it takes numbers in many spellings for addresses, reads the hosts file,
    tries the name in the machine's own domains, and holds a thread for as long as a stranger's server likes.

    Args:
        resolver: whom to ask; the system's name servers, read at the first look-up, where None.
    """

    def __init__(self, resolver: "dns.asyncresolver.Resolver | None" = None) -> None:
        self._resolver = resolver

    async def __call__(self, host: str) -> list[IPv4Address | IPv6Address]:
        """The addresses of a name, IPv4 first.

        Args:
            host: a full name in ASCII, without a trailing dot.

        Raises:
            Unresolved: there is none, or nobody tells within 5 s.
        """
        import dns.asyncresolver
        import dns.exception
        import dns.name
        import dns.rdatatype

        try:
            if self._resolver is None:
                self._resolver = dns.asyncresolver.Resolver()
            name = dns.name.from_text(host + ".")
        except (dns.exception.DNSException, OSError) as error:
            raise Unresolved from error
        found = await asyncio.gather(
            *(self._ask(self._resolver, name, kind) for kind in (dns.rdatatype.A, dns.rdatatype.AAAA))
        )
        if not (addresses := [address for kind in found for address in kind]):
            raise Unresolved
        return addresses

    async def _ask(
        self, resolver: "dns.asyncresolver.Resolver", name: "dns.name.Name", kind: "dns.rdatatype.RdataType"
    ) -> list[IPv4Address | IPv6Address]:
        import dns.exception

        # A server that answers for one kind and fails for the other is common.
        try:
            answer = await resolver.resolve(name, kind, search=False, lifetime=_LIFETIME)
        except (dns.exception.DNSException, OSError):
            return []
        return [ip_address(record.to_text()) for record in answer]
