"""Channels of ours hold more streams than a connection carries, and calls do not stand behind them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from authy_grpc.client import connect
from tests.rushing import PATIENCE, came

A_CONNECTION = 5


class Held(grpc.GenericRpcHandler):
    """Streams that say something, and go on for ever."""

    async def _hold(self, _: Any, context: Any) -> None:
        await context.write(b"begun")
        await asyncio.Event().wait()

    def service(self, _: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_stream_rpc_method_handler(self._hold)


@asynccontextmanager
async def crowded() -> AsyncIterator[str]:
    made = grpc.aio.server(handlers=[Held()], options=[("grpc.max_concurrent_streams", A_CONNECTION)])
    port = made.add_insecure_port("127.0.0.1:0")
    await made.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await made.stop(None)


async def test_more_streams_than_a_connection_carries(figure: Callable[[int, int], int]) -> None:
    count = figure(6, 20) * A_CONNECTION
    async with crowded() as target, connect.road(target).aio_channel() as channel:
        method: Any = channel.unary_stream("/held/Hold")
        held = [method(b"", timeout=PATIENCE) for _ in range(count)]
        assert set(await asyncio.gather(*(each.read() for each in held))) == {b"begun"}


async def test_the_sync_client_does_as_well() -> None:
    def hold(target: str) -> None:
        with connect.road(target).channel() as channel:
            method: Any = channel.unary_stream("/held/Hold")
            held = [method(b"", timeout=PATIENCE) for _ in range(6 * A_CONNECTION)]
            assert {next(each) for each in held} == {b"begun"}
            for each in held:
                each.cancel()

    async with crowded() as target:
        await asyncio.to_thread(hold, target)


async def test_without_our_options_they_wait() -> None:
    """The control."""
    async with crowded() as target, grpc.aio.insecure_channel(target) as channel:
        method: Any = channel.unary_stream("/held/Hold")
        read = [asyncio.ensure_future(method(b"").read()) for _ in range(2 * A_CONNECTION)]
        await came(lambda: sum(each.done() for each in read) >= A_CONNECTION)
        # One that ends makes room for the next, and only then.
        assert sum(each.done() for each in read) == A_CONNECTION
        for each in read:
            each.cancel()
        await asyncio.gather(*read, return_exceptions=True)
