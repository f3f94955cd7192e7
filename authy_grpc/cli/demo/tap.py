"""Records the wire: a server between a site and the service that hands on all, and keeps all."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import grpc
import grpc.aio

_GRACE = 1.0


@dataclass
class Exchange:
    """One call, in the bytes that crossed the wire.

    Attributes:
        method: such as `/authy_grpc.v1.UserService/GetUser`.
        sent: what the site has sent.
        received: each message that it got back.
        metadata: that it got back, before, behind, and with an error.
        error: the text of the error that it got back; empty for none.
    """

    method: str
    sent: bytes = field(repr=False)
    received: list[bytes] = field(default_factory=list, repr=False)
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list, repr=False)
    error: str = ""


class Tap(grpc.GenericRpcHandler):
    """Stands between one site and the service.

    Args:
        target: where the service listens.
    """

    def __init__(self, target: str) -> None:
        self.exchanges: list[Exchange] = []
        self.target = ""
        self._channel = grpc.aio.insecure_channel(target)
        self._server = grpc.aio.server(handlers=[self])

    async def __aenter__(self) -> Self:
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.target = f"127.0.0.1:{port}"
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop(_GRACE)
        await self._channel.close()

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        """Takes every method: on the wire one answer is a stream of one."""
        return grpc.unary_stream_rpc_method_handler(partial(self._hand_on, details.method))

    async def _hand_on(
        self, method: str, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> AsyncIterator[bytes]:
        exchange = Exchange(method, request)
        self.exchanges.append(exchange)
        credential = [
            (key, value) for key, value in context.invocation_metadata() or () if key == "authorization"
        ]
        call_: Any = self._channel.unary_stream(method)
        call = call_(request, metadata=grpc.aio.Metadata(*credential), timeout=context.time_remaining())
        try:
            async for message in call:
                exchange.received.append(message)
                yield message
            exchange.metadata += [*await call.initial_metadata(), *await call.trailing_metadata()]
        except grpc.aio.AioRpcError as error:
            trailing = tuple(error.trailing_metadata())
            exchange.metadata += [*error.initial_metadata(), *trailing]
            exchange.error = error.details() or ""
            await context.abort(error.code(), exchange.error, trailing)
        finally:
            call.cancel()
