"""Finds the address that a call comes from: the socket's, or what trusted proxies say of it."""

from collections.abc import Callable
from urllib.parse import unquote

from prometheus_client import CollectorRegistry, Counter
from structlog.typing import FilteringBoundLogger

from authy_grpc.domain.forwarded import UNREADABLE, Forwarding, canonical, is_worth_a_line
from authy_grpc.rpc.call import Context

# Finds the address that a call comes from, without a port.
AddressOf = Callable[[Context], str]


class Peers:
    """Tells callers without a credential apart, for their budgets.

    Args:
        forwarding: which proxies are believed.
        log: takes a line where such a proxy's header cannot be read.
        registry: where that is counted.
    """

    def __init__(
        self, forwarding: Forwarding, log: FilteringBoundLogger, registry: CollectorRegistry
    ) -> None:
        self._forwarding = forwarding
        self._log = log
        self._unreadable = 0
        self._counter = Counter(
            "grpc_server_forwarded_unreadable",
            "Calls through a trusted proxy whose header names no address: they share one budget.",
            registry=registry,
        )

    def __call__(self, context: Context) -> str:
        """The address, without a port; `UNREADABLE` for what is counted together."""
        peer = socket_address(context.peer())
        if not self._forwarding:
            return peer
        header = self._forwarding.header
        lines = [
            value
            for key, value in context.invocation_metadata() or ()
            if key == header and isinstance(value, str)
        ]
        found = self._forwarding.caller(peer, lines)
        if found == UNREADABLE:
            self._tell()
        return found

    def _tell(self) -> None:
        self._unreadable += 1
        self._counter.inc()
        if is_worth_a_line(self._unreadable):
            reason = f"{self._forwarding.header} of a trusted proxy names no address"
            self._log.warning("forwarded unreadable", reason=reason, count=self._unreadable)


def by_socket(context: Context) -> str:
    """The socket's address alone."""
    return socket_address(context.peer())


def socket_address(peer: str) -> str:
    """`ipv4:127.0.0.1:50`, `ipv6:%5B::1%5D:50` or `unix:/path` without what changes with each connection."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return kind
    host = unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]
    return canonical(host) or host
