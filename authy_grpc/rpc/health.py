"""Serves health checks: what is answered, who may watch, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc.domain.errors import Draining, NotFound, RateLimited
from authy_grpc.domain.places import Places
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.peer import AddressOf, by_socket
from authy_grpc.rpc.streams import Streams

_SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
_NOT_SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
_UNKNOWN = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
# Streams of Health.Watch, which anybody may hold: in all, and from one network.
_WATCHES, _WATCHES_FROM_ONE = 2000, 500
_TRY_AGAIN = timedelta(seconds=30)


class _Watch:
    """One stream of Health.Watch.

    Attributes:
        stirred: set when there may be something to say.
        over: whether it ends.
    """

    def __init__(self, *, over: bool) -> None:
        self.over = over
        self.stirred = asyncio.Event()

    def end(self) -> None:
        self.over = True
        self.stirred.set()


class Health(health_pb2_grpc.HealthServicer):
    """Health of a server that serves all of its services until it stops, or while it can write.

    The library's own servicer has no list, and its watchers hold a stopping server for its whole grace.

    Args:
        names: of the services.
        streams: what ends a watch that has lived long enough, or whose peer does not read.
        address: of who watches.
    """

    def __init__(self, names: Sequence[str], streams: Streams, address: AddressOf = by_socket) -> None:
        self._address = address
        self._names = ("", *names)
        self._streams = streams
        self._stopping = False
        self._ready = True
        self._watches: set[_Watch] = set()
        self._places = Places(_WATCHES, _WATCHES_FROM_ONE, lambda: RateLimited(_TRY_AGAIN))

    def stop(self) -> None:
        """Say NOT_SERVING from now on, and end the watchers when they have been told."""
        self._stopping = True
        for watch in self._watches:
            watch.end()

    def set_ready(self, ready: bool) -> None:
        """Say whether it can do what it is for: NOT_SERVING while it cannot."""
        self._ready = ready
        for watch in self._watches:
            watch.stirred.set()

    def _status(self) -> health_pb2.HealthCheckResponse:
        return _SERVING if self._ready and not self._stopping else _NOT_SERVING

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
        watch = _Watch(over=self._stopping)
        with self._places.hold(self._address(context), watch.end):
            self._watches.add(watch)
            try:
                await self._streams.relay(context, self._states(request.service in self._names, watch))
            finally:
                self._watches.discard(watch)

    async def _states(self, known: bool, watch: _Watch) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        told = self._status() if known else _UNKNOWN
        yield told
        while not watch.over:
            await watch.stirred.wait()
            watch.stirred.clear()
            if known and self._status() is not told:
                told = self._status()
                yield told
        raise Draining
