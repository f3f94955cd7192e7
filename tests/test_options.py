"""Options of gRPC, which passes over names that it does not know: each is looked for, and pings are tried."""

import asyncio
import contextlib
import re
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import authy_grpc
import gateway
from authy_grpc.cli.demo.listening import listening
from authy_grpc.client import connect
from authy_grpc.server import OPTIONS
from tests.rushing import PATIENCE

PING_TIMEOUT = "grpc.http2.ping_timeout_ms"
PINGS_APART = "grpc.http2.min_ping_interval_without_data_ms"
SETTINGS, PING, GOAWAY, ACK = 4, 6, 7, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def test_grpc_knows_every_option() -> None:
    grpc = find_spec("grpc._cython.cygrpc")
    assert grpc and grpc.origin
    known = Path(grpc.origin).read_bytes()
    folders = [Path(each.__file__).parent for each in (authy_grpc, gateway) if each.__file__]
    text = "".join(path.read_text() for folder in folders for path in sorted(folder.rglob("*.py")))
    named = set(re.findall(r'"(grpc\.[a-z0-9_.]+)"', text)) - {"grpc.experimental.gevent"}  # a module

    assert {PINGS_APART, "grpc.so_reuseport", "grpc.keepalive_time_ms"} <= named
    assert {each for each in named if each.encode() not in known} == set()
    assert b"grpc.http2.min_recv_ping_interval_without_data_ms" not in known


async def test_a_quiet_connection_may_ping_as_often_as_the_client_does() -> None:
    # The client's own interval would take minutes to try: let pings come at once instead, by the same option.
    sent = dict(connect.options(secure=True))["grpc.keepalive_time_ms"]

    assert 2 * dict(OPTIONS)[PINGS_APART] <= int(sent)
    assert await _answers((*(each for each in OPTIONS if each[0] != PINGS_APART), (PINGS_APART, 0))) == 20
    assert await _answers(tuple(each for each in OPTIONS if each[0] != PINGS_APART)) < 20


async def _answers(options: tuple[tuple[str, int], ...]) -> int:
    """How many of 20 pings on a connection without calls a server answers before it ends the connection."""
    server = grpc.aio.server(options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(PREFACE + _frame(SETTINGS) + _frame(SETTINGS, ACK))
            return sum([await _is_answered(reader, writer) for _ in range(20)])
    finally:
        writer.transport.abort()
        await server.stop(None)


async def _is_answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(_frame(PING, payload=b"\0" * 8))
    while True:
        try:
            begin = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(begin[:3]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        if begin[3] == GOAWAY:
            return False
        if begin[3] == PING and begin[4] & ACK:
            return True


def _frame(kind: int, flags: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, 0) + payload


async def test_our_client_notices_a_connection_that_died_and_waits_for_a_slow_one() -> None:
    own = dict(connect.options(secure=False))
    assert own[PING_TIMEOUT] == own["grpc.keepalive_timeout_ms"] == 20_000
    often = own | {"grpc.keepalive_time_ms": 1_000}
    awake, answered = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers no ping until it is awake."""
        writer.write(_frame(SETTINGS) + _frame(SETTINGS, ACK))
        await reader.readexactly(len(PREFACE))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                begin = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(begin[:3]))
                if begin[3] == PING:
                    await awake.wait()
                    writer.write(_frame(PING, ACK, payload))
                    answered.release()
        writer.close()

    async with (
        listening(slow) as port,
        _channel(port, often | {PING_TIMEOUT: 2_000}) as strict,
        _channel(port, often) as channel,
        asyncio.timeout(PATIENCE),
    ):
        waits = channel.unary_unary("/a.B/C")(b"")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await strict.unary_unary("/a.B/C")(b"")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        awake.set()
        for _ in range(3):
            await answered.acquire()
        assert not waits.done()
        waits.cancel()


def _channel(port: int, options: dict[str, Any]) -> Any:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=list(options.items()))
