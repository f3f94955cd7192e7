"""Counts a server's connections, all together and by peer address, and refuses those beyond the bounds."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge
from structlog.typing import FilteringBoundLogger

from authy_grpc.domain.forwarded import Network, canonical
from authy_grpc.domain.networks import subscriber

ALL, PEER = "all", "peer"
_LOG_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections are kept at a time.

    Attributes:
        total: of all peers together.
        per_peer: of one address (IPv6: one /64), which else could take all.
        proxies: networks of trusted proxies, which bring many peers each: `per_peer` does not hold for them.
    """

    total: int
    per_peer: int
    proxies: tuple[Network, ...] = ()


class Connections:
    """The connections of one server.

    Args:
        limits: how many are kept.
        log: told at most every 5 s how many were refused, and never whose.
        registry: where the metrics are registered.
    """

    def __init__(self, limits: Limits, log: FilteringBoundLogger, registry: CollectorRegistry) -> None:
        self._limits = limits
        self._log = log
        self._total = 0
        self._by_peer: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._telling: asyncio.TimerHandle | None = None
        self._counter = prometheus_client.Counter(
            "gateway_connections_refused",
            "Connections broken off at once: `all` descriptors are taken, or the share of one `peer`.",
            ["limit"],
            registry=registry,
        )
        for limit in (ALL, PEER):
            self._counter.labels(limit)
        gauge = Gauge("gateway_connections", "Connections that are open.", registry=registry)
        gauge.set_function(lambda: self._total)

    def enter(self, host: str) -> str | None:
        """Count a connection that has come; None where it is one too many, and is not counted.

        Args:
            host: the address that it comes from.

        Returns:
            what `leave` is told when it ends.
        """
        peer = _peer(host, self._limits.proxies)
        if self._total >= self._limits.total:
            self._refuse(ALL)
            return None
        if peer and self._by_peer[peer] >= self._limits.per_peer:
            self._refuse(PEER)
            return None
        self._total += 1
        self._by_peer[peer] += 1
        return peer

    def leave(self, peer: str) -> None:
        """Take a connection off the count."""
        self._total -= 1
        self._by_peer[peer] -= 1
        if not self._by_peer[peer]:
            del self._by_peer[peer]

    def _refuse(self, limit: str) -> None:
        self._counter.labels(limit).inc()
        self._refused[limit] += 1
        if self._telling is None:
            self._tell()

    def _tell(self) -> None:
        self._telling = None
        if not self._refused:
            return
        for limit, count in self._refused.items():
            self._log.warning("connections refused", reason=limit, count=count, state=self._total)
        self._refused.clear()
        self._telling = asyncio.get_running_loop().call_later(_LOG_SECONDS, self._tell)


def _peer(host: str, proxies: Sequence[Network]) -> str:
    """What a peer is counted by; empty for a trusted proxy."""
    try:
        address = ip_address(canonical(host))
    except ValueError:
        return "?"
    if any(address in network for network in proxies):
        return ""
    return str(subscriber(address))
