"""As many connections as the descriptors allow, and no more; those without calls end."""

import asyncio
import contextlib
import resource
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc.listeners import most_connections
from authy_grpc.server import OPTIONS
from gateway.protocol import most_connections as most_of_gateway
from tests.framing import Wire
from tests.rushing import PATIENCE, came

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


async def test_more_connections_than_may_be_are_dropped_and_counted(transport: Any) -> None:
    options = {"grpc.max_allowed_incoming_connections": 10}
    async with transport(options=options) as world, contextlib.AsyncExitStack() as closing:
        opened = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(15)]
        for _, writer in opened:
            closing.callback(writer.transport.abort)
        # They have no preface: those that got in wait for it, the others are at an end.
        reading = [asyncio.ensure_future(reader.read()) for reader, _ in opened]
        await came(lambda: sum(each.done() for each in reading) >= 5)
        await asyncio.gather(*(each for each in reading if each.done()), return_exceptions=True)
        assert sum(each.done() for each in reading) == 5
        assert await world.server.connections() == (10, 10)
        for _, writer in opened:
            writer.transport.abort()
        stub: Any = health_pb2_grpc.HealthStub(world.channel)
        assert await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE, wait_for_ready=True)


async def test_a_connection_without_calls_ends(transport: Any) -> None:
    assert dict(OPTIONS)[IDLE] == 60_000
    async with transport(options={IDLE: 200}) as world, asyncio.timeout(PATIENCE):
        async with Wire.open(world.port) as wire:
            await wire.closed.wait()
        # The control: as it is, one stays for longer than that took.
        async with transport() as other, Wire.open(other.port) as stays, Wire.open(world.port) as wire:
            await wire.closed.wait()
            assert not stays.closed.is_set()
