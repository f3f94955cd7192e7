"""Serves gRPC server reflection: which services there are. Anybody may ask, so its streams are limited."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import grpc.aio
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection, reflection_pb2

from authy_grpc.domain.errors import Draining, RateLimited
from authy_grpc.domain.places import Places
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.peer import AddressOf, by_socket
from authy_grpc.rpc.streams import Streams

SERVICE = reflection.SERVICE_NAME
# Streams that anybody may hold: in all, and from one network.
_HELD, _HELD_FROM_ONE = 2000, 500
_TRY_AGAIN = timedelta(seconds=30)
Asked = reflection_pb2.ServerReflectionRequest
Told = reflection_pb2.ServerReflectionResponse


class Reflection:
    """The library's reflection, as a method of the chain: it reads the first question, and more come here.

    Args:
        names: of the services that are told.
        streams: what ends one that has lived long enough, or whose peer does not read.
        address: of who asks.
    """

    def __init__(self, names: Sequence[str], streams: Streams, address: AddressOf = by_socket) -> None:
        self._address = address
        self._library = reflection.aio.ReflectionServicer(names)
        self._streams = streams
        self._places = Places(_HELD, _HELD_FROM_ONE, lambda: RateLimited(_TRY_AGAIN))

    async def ServerReflectionInfo(self, request: Asked, context: Context) -> None:
        questions = _Questions(request, context)
        with self._places.hold(self._address(context), questions.end):
            answers: Any = self._library.ServerReflectionInfo(questions.all(), context)
            await self._streams.relay(context, answers)

    def add_to(self, server: Any) -> None:
        """Register the method as generated code would, had it one message."""
        handler = grpc.unary_stream_rpc_method_handler(
            self.ServerReflectionInfo, decode, Told.SerializeToString
        )
        server.add_registered_method_handlers(SERVICE, {"ServerReflectionInfo": handler})


class _Questions:
    """What one stream asks, until its place is taken."""

    def __init__(self, first: Asked, context: Context) -> None:
        self._first = first
        self._context = context
        self._over = False
        self._wait: asyncio.Timeout | None = None

    def end(self) -> None:
        """Take no more of them."""
        self._over = True
        if self._wait is not None:
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def all(self) -> AsyncIterator[Asked]:
        """Each question as it comes.

        Raises:
            Draining: no more are taken.
        """
        yield self._first
        while (raw := await self._next()) is not grpc.aio.EOF:
            yield decode(raw)

    async def _next(self) -> Any:
        self._wait = asyncio.timeout(0 if self._over else None)
        try:
            async with self._wait:
                return await self._context.read()
        except TimeoutError:
            raise Draining from None


def decode(raw: bytes) -> Asked:
    """A question; what is none is read as an empty one, which the library itself calls invalid."""
    try:
        return Asked.FromString(raw)
    except DecodeError:
        return Asked()
