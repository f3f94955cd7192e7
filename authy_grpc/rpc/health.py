"""Owns health of the server: what it answers, who may watch it, and for how long."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc.domain.errors import Draining, NotFound, RateLimited
from authy_grpc.rpc.adapter import Context
from authy_grpc.rpc.peer import Find, by_socket
from authy_grpc.rpc.streams import Streams

_SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
_NOT_SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
_UNKNOWN = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
# Streams of Health.Watch, which anybody may hold: in all, and from one network.
_WATCHES, _WATCHES_FROM_ONE = 2000, 500
_TRY_AGAIN = timedelta(seconds=30)


class Health(health_pb2_grpc.HealthServicer):
    """Health of a server that serves all of its services until it stops.

    The library's own servicer has no list, and its watchers hold a stopping server for its whole grace.

    Args:
        names: of the services.
        streams: what ends a watch that has lived long enough, or whose peer does not read.
        address: of who watches.
    """

    def __init__(self, names: Sequence[str], streams: Streams, address: Find = by_socket) -> None:
        self._address = address
        self._names = ("", *names)
        self._streams = streams
        self._stopping = False
        # What ends each watch, oldest first, and the network that holds it.
        self._watches: dict[asyncio.Event, str] = {}
        self._held = Counter[str]()

    def stop(self) -> None:
        """Say NOT_SERVING from now on, and end the watchers when they have been told."""
        self._stopping = True
        for over in self._watches:
            over.set()

    def _status(self) -> health_pb2.HealthCheckResponse:
        return _NOT_SERVING if self._stopping else _SERVING

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._names:
            raise NotFound
        return self._status()

    async def List(self, request: Any, context: Any) -> Any:  # the library's stubs know no list
        messages: Any = health_pb2
        return messages.HealthListResponse(statuses={name: self._status() for name in self._names})

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        over = self._enter(_network(self._address(context)))
        try:
            await self._streams.relay(context, self._states(request.service in self._names, over))
        finally:
            self._leave(over)

    async def _states(
        self, known: bool, over: asyncio.Event
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        yield self._status() if known else _UNKNOWN
        await over.wait()
        if known and self._stopping:
            yield _NOT_SERVING
        raise Draining

    def _enter(self, network: str) -> asyncio.Event:
        """A place for a watch. Where none is left, whoever holds the most gives its oldest."""
        if self._held[network] >= _WATCHES_FROM_ONE:
            raise RateLimited(_TRY_AGAIN)
        if len(self._watches) >= _WATCHES:
            most, _ = self._held.most_common(1)[0]
            oldest = next(over for over, holder in self._watches.items() if holder == most)
            self._leave(oldest)
            oldest.set()
        over = asyncio.Event()
        if self._stopping:
            over.set()
        self._watches[over] = network
        self._held[network] += 1
        return over

    def _leave(self, over: asyncio.Event) -> None:
        network = self._watches.pop(over, None)
        if network is not None:
            self._held[network] -= 1
            if not self._held[network]:
                del self._held[network]


def _network(address: str) -> str:
    """What counts as one caller: whoever has one IPv6 address has all of its /64."""
    with suppress(ValueError):
        return ipaddress.IPv6Address(address).packed[:8].hex()
    return address
