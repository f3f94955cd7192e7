"""As many connections as the descriptors allow, and no more; those without calls end."""

import asyncio
import contextlib
import resource
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc.listeners import most_connections
from authy_grpc.server import OPTIONS
from gateway.protocol import most_connections as most_of_gateway
from tests.framing import Wire
from tests.rushing import PATIENCE

IDLE = "grpc.max_connection_idle_ms"


@pytest.mark.parametrize("descriptors", [256, 1024])
def test_grpc_and_the_gateway_leave_a_quarter_of_the_descriptors(descriptors: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        taken = most_connections() + most_of_gateway(beside_grpc=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert descriptors // 2 < taken <= descriptors * 3 // 4


async def test_more_connections_than_may_be_are_dropped_and_counted(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authy_grpc.listeners.most_connections", lambda: 10)
    async with transport() as world, contextlib.AsyncExitStack() as closing:
        opened = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(15)]
        for _, writer in opened:
            closing.callback(writer.transport.abort)
        # They have no preface: those that got in wait for it, the others are at an end.
        await asyncio.wait([asyncio.ensure_future(reader.read()) for reader, _ in opened], timeout=0.5)
        assert sum(reader.at_eof() or bool(reader.exception()) for reader, _ in opened) == 5
        assert await world.server.connections() == (10, 10)
        for _, writer in opened:
            writer.transport.abort()
        stub: Any = health_pb2_grpc.HealthStub(world.channel)
        assert await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE, wait_for_ready=True)


async def test_a_connection_without_calls_ends() -> None:
    assert dict(OPTIONS)[IDLE] == 60_000
    for options, ends in (
        ((*(each for each in OPTIONS if each[0] != IDLE), (IDLE, 200)), True),
        (OPTIONS, False),
    ):
        server = grpc.aio.server(options=options)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with Wire.open(port) as wire:
                await asyncio.wait(
                    [asyncio.ensure_future(wire.closed.wait())], timeout=PATIENCE if ends else 1
                )
                assert wire.closed.is_set() is ends
        finally:
            await server.stop(None)
