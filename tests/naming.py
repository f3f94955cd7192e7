"""A DNS server on loopback whose answers a test writes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

import dns.asyncresolver
from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A, DNSRecord  # type: ignore[import-untyped]

from authy_grpc.outbound.names import Names

# What a name is answered at its n-th look-up, from 0 on: addresses, or `>` and the name that it stands for.
Zone = dict[str, Callable[[int], Sequence[str]]]


class NameServer(asyncio.DatagramProtocol):
    """Answers by the zone; what is not in it does not exist. A time to live of 0, so that nothing is kept."""

    transport: asyncio.DatagramTransport

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.asked: Counter[tuple[str, str]] = Counter()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = DNSRecord.parse(data)
        name, kind = str(query.q.qname).rstrip("."), QTYPE[query.q.qtype]
        count = self.asked[name, kind]
        self.asked[name, kind] += 1
        reply = query.reply()
        if not self._add(reply, name, kind, count):
            reply.header.rcode = RCODE.NXDOMAIN
        self.transport.sendto(reply.pack(), addr)

    def _add(self, reply: DNSRecord, name: str, kind: str, count: int) -> bool:
        if name not in self._zone:
            return False
        for value in self._zone[name](count):
            if value.startswith(">"):
                reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(value[1:]), ttl=0))
                self._add(reply, value[1:], kind, count)
            elif kind == "AAAA" and ":" in value:
                reply.add_answer(RR(name, QTYPE.AAAA, rdata=AAAA(tuple(ip_address(value).packed)), ttl=0))
            elif kind == "A" and ":" not in value:
                reply.add_answer(RR(name, QTYPE.A, rdata=A(value), ttl=0))
        return True


@asynccontextmanager
async def name_server(zone: Zone) -> AsyncIterator[tuple[Names, NameServer]]:
    """A look-up that asks a server of this zone, and the server."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(zone), local_addr=("127.0.0.1", 0)
    )
    server.transport = transport
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    try:
        yield Names(resolver), server
    finally:
        transport.close()


def always(*values: str) -> Callable[[int], Sequence[str]]:
    """The same answer at each look-up."""
    return lambda _: values


def turning(*answers: Sequence[str]) -> Callable[[int], Sequence[str]]:
    """The first answer at the first look-up, and so on; the last for good."""
    return lambda count: answers[min(count, len(answers) - 1)]
