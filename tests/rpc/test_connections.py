"""As many connections as the descriptors allow, and no more; those without calls end."""

import asyncio
import contextlib
import gzip
import re
import resource
import struct
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc.listeners import most_connections
from authy_grpc.server import OPTIONS
from gateway.protocol import most_connections as most_of_gateway
from tests.framing import PING, Wire
from tests.rushing import PATIENCE, came

IDLE = "grpc.max_connection_idle_ms"
PING_TIMEOUT = "grpc.http2.ping_timeout_ms"


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


async def test_a_peer_that_says_nothing_at_first_is_dropped(transport: Any) -> None:
    async with (
        transport(options={"grpc.server_handshake_timeout_ms": 200}) as world,
        transport() as other,
        asyncio.timeout(PATIENCE),
    ):
        longer, theirs = await asyncio.open_connection("127.0.0.1", other.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        with contextlib.suppress(ConnectionError):
            while await reader.read(1024):
                pass
        assert not longer.at_eof() and not longer.exception()
        for each in (writer, theirs):
            each.transport.abort()


async def test_an_old_connection_ends_though_a_call_goes_on(transport: Any) -> None:
    options = {"grpc.max_connection_age_ms": 100, "grpc.max_connection_age_grace_ms": 100}
    async with (
        transport(options=options) as world,
        transport() as other,
        Wire.open(world.port) as old,
        Wire.open(other.port) as stays,
        asyncio.timeout(PATIENCE),
    ):
        for wire in (old, stays):
            wire.call("/grpc.health.v1.Health/Check")
        await old.closed.wait()
        assert not stays.closed.is_set() and not stays.ended


async def test_one_stream_more_than_a_connection_carries_is_refused(transport: Any) -> None:
    async with (
        transport(options={"grpc.max_concurrent_streams": 10}) as world,
        Wire.open(world.port) as wire,
    ):
        streams = [wire.call("/grpc.health.v1.Health/Check") for _ in range(11)]
        await came(lambda: wire.ended)
        assert list(wire.ended) == streams[10:]


async def test_a_message_that_unpacks_to_more_than_may_be_is_refused(transport: Any) -> None:
    """It is unpacked to the limit and no further: 64 MiB of zeros, in 64 KiB."""
    packed = gzip.compress(bytes(64 * 1024 * 1024))
    async with transport() as world, Wire.open(world.port) as wire:
        packs = ("grpc-encoding", "gzip")
        data = struct.pack(">BI", 1, len(packed)) + packed
        streams = [wire.call("/grpc.health.v1.Health/Check", packs, data=data) for _ in range(5)]
        small = gzip.compress(b"")
        honest = wire.call(
            "/grpc.health.v1.Health/Check", packs, data=struct.pack(">BI", 1, len(small)) + small
        )
        await came(lambda: set(wire.ended) == {*streams, honest})
    assert re.findall(r'handled_total{code="OK",.+} (\d)', world.metrics) == ["1"]


class Deaf(Wire):
    """Answers no pings until it is told to.

    Attributes:
        asked: the pings that have come.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.asked: list[bytes] = []
        self._answers = False

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == PING:
            self.asked.append(payload)
        if kind != PING or self._answers:
            super()._take(kind, flags, stream, payload)

    def answer(self) -> None:
        """Answer the pings that have come, and those to come."""
        self._answers = True
        for payload in self.asked:
            super()._take(PING, 0, 0, payload)


async def test_a_peer_that_answers_no_pings_is_dropped_and_a_slow_one_is_not(transport: Any) -> None:
    own = dict(OPTIONS)
    assert own[PING_TIMEOUT] == own["grpc.keepalive_timeout_ms"] == 20_000
    often = {"grpc.keepalive_time_ms": 100}
    async with (
        transport(options=often | {PING_TIMEOUT: 2_000}) as strict,
        transport(options=often) as world,
        Deaf.open(strict.port) as deaf,
        Wire.open(strict.port) as answers,
        Deaf.open(world.port) as slow,
        asyncio.timeout(PATIENCE),
    ):
        await deaf.closed.wait()
        assert not answers.closed.is_set()
        await came(lambda: slow.asked)
        slow.answer()
        before = len(slow.asked)
        await came(lambda: len(slow.asked) > before)
        assert not slow.closed.is_set()
