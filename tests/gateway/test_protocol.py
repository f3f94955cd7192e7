"""What a connection may cost before its request is seen, and a server that stops: over a real socket."""

import asyncio
import io
import json
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authy_grpc import logs
from gateway.app import build
from gateway.peers import _peer
from gateway.protocol import Bounds, most_connections
from gateway.server import HttpServer
from tests.clock import TurnedClock
from tests.gateway.asking import settings
from tests.harness import Service
from tests.rushing import PATIENCE

BOUNDS = Bounds()
ASK = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
MUCH = b"x" * 16 * 1024 * 1024


class Busy:
    """An application: how often it was asked, and what it answers."""

    def __init__(self) -> None:
        self.asked = 0
        self.free = asyncio.Event()
        self.body = b"ok"
        self.app = Starlette(routes=[Route("/", self._answer), Route("/held", self._held)])

    async def _answer(self, _: Request) -> Response:
        self.asked += 1
        return Response(self.body)

    async def _held(self, _: Request) -> Response:
        self.asked += 1
        await self.free.wait()
        return Response("at last")


class Peer:
    """Somebody at the other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send it, as far as it is taken."""
        self.writer.write(data)
        await self.writer.drain()

    async def broken_off(self) -> bool:
        """Whether the connection ends, whatever was answered before."""
        try:
            async with asyncio.timeout(PATIENCE):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            pass
        return True


@asynccontextmanager
async def served(
    app: Any, proxies: str = "", log: Any = None, registry: Any = None, **bounds: Any
) -> AsyncIterator[tuple[HttpServer, int]]:
    trusted = settings(trusted_proxies=proxies).proxies
    server = HttpServer(
        app, "127.0.0.1:0", bounds=Bounds(**bounds), grace=60, proxies=trusted, log=log, registry=registry
    )
    port = await server.start()
    try:
        yield server, port
    finally:
        await server.stop(now=True)


@asynccontextmanager
async def peer(port: int, own: str = "127.0.0.1") -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(own, 0))
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def test_a_request_in_pieces_is_answered() -> None:
    busy = Busy()
    async with served(busy.app) as (_, port), peer(port) as one:
        for byte in ASK * 2:
            await one.send(bytes([byte]))
        assert (await one.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        assert (await one.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    assert busy.asked == 2


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * BOUNDS.head,
        b"GET / HTTP/1.1\r\nx: " + b"a" * BOUNDS.head,
        b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * (BOUNDS.head // 6),
    ],
    ids=["address", "one header", "headers"],
)
async def test_a_head_without_end_is_broken_off(head: bytes) -> None:
    busy = Busy()
    async with served(busy.app) as (_, port), peer(port) as one:
        await one.send(head[:-1000])
        # So much is still waited for.
        async with peer(port) as other:
            await other.send(ASK)
            await other.reader.readuntil(b"ok")
        assert not one.reader.at_eof()
        await one.send(head[-1000:] + b"b" * 2000)
        assert await one.broken_off()
    assert busy.asked == 1


async def test_a_body_is_no_head(service: Service) -> None:
    app = build(service.channel(), settings())
    body = json.dumps({"customUserId": "a", "metadata": "x" * 2 * BOUNDS.head}).encode()
    head = b"POST /v1/enrollments HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    async with served(app) as (_, port), peer(port) as one:
        for _ in range(3):
            await one.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            answer = await one.reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert b"customUserId" not in await one.reader.readexactly(length)
            assert answer.startswith(b"HTTP/1.1 4")


async def test_requests_far_ahead_of_their_answers_are_broken_off() -> None:
    busy = Busy()
    held = ASK.replace(b"/", b"/held", 1)
    async with served(busy.app) as (_, port):
        async with peer(port) as one:
            await one.send(held + ASK * BOUNDS.pipelined)
            busy.free.set()
            for _ in range(BOUNDS.pipelined):
                await one.reader.readuntil(b"ok")
        busy.free.clear()
        before = busy.asked
        async with peer(port) as one:
            await one.send(held + ASK * (BOUNDS.pipelined + 1))
            assert await one.broken_off()
        assert busy.asked == before + 1


async def test_whoever_says_nothing_is_sent_away() -> None:
    busy = Busy()
    async with (
        served(busy.app, head_seconds=0.2) as (_, port),
        peer(port) as silent,
        peer(port) as half,
        peer(port) as held,
    ):
        await held.send(ASK.replace(b"/", b"/held", 1))
        await half.send(ASK[:-2])
        assert await silent.broken_off() and await half.broken_off()
        async with peer(port) as blank:
            # One that was answered before, and goes on with what is no request.
            await blank.send(ASK)
            await blank.reader.readuntil(b"ok")
            await blank.send(b"\r\n")
            assert await blank.broken_off()
        # One that waits for its answer is not silent.
        busy.free.set()
        assert (await held.reader.readuntil(b"at last")).startswith(b"HTTP/1.1 200")


async def test_whoever_reads_nothing_is_sent_away() -> None:
    busy = Busy()
    busy.body = MUCH
    async with served(busy.app, read_seconds=0.2) as (server, port), peer(port) as one:
        await one.send(ASK)
        connections = server._server.server_state.connections
        async with asyncio.timeout(PATIENCE):
            while not busy.asked or connections:
                await asyncio.wait([asyncio.ensure_future(_turn())])


async def test_connections_beyond_the_descriptors_are_not_kept() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert BOUNDS.connections == soft * 3 // 4 or soft == resource.RLIM_INFINITY
    assert most_connections(beside_grpc=True) == soft * 3 // 8 or soft == resource.RLIM_INFINITY
    busy = Busy()
    async with (
        served(busy.app, connections=2, per_peer=2) as (_, port),
        peer(port) as one,
        peer(port) as two,
    ):
        for each in (one, two):
            await each.send(ASK)
            await each.reader.readuntil(b"ok")
        async with peer(port) as three:
            assert await three.broken_off()
        await one.send(ASK)
        await one.reader.readuntil(b"ok")


async def test_one_host_has_its_share_of_the_connections_and_no_more() -> None:
    busy, log, registry = Busy(), io.StringIO(), CollectorRegistry()
    told = logs.build(log, TurnedClock())
    assert Bounds(connections=8).share == 2
    async with (
        served(busy.app, connections=8, log=told, registry=registry) as (_, port),
        peer(port) as one,
        peer(port) as two,
    ):
        for each in (one, two):
            await answered(each)
        for _ in range(3):
            async with peer(port) as beyond:
                assert await beyond.broken_off()
        async with peer(port, "127.0.0.2") as other:
            await answered(other)
        two.writer.close()
        await two.writer.wait_closed()
        async with asyncio.timeout(PATIENCE):
            while registry.get_sample_value("gateway_connections") != 1:
                await _turn()
        async with peer(port) as again:
            await answered(again)
    assert registry.get_sample_value("gateway_connections_refused_total", {"limit": "peer"}) == 3
    assert registry.get_sample_value("gateway_connections_refused_total", {"limit": "all"}) == 0
    # Few lines, however many are refused.
    (line,) = [json.loads(each) for each in log.getvalue().splitlines()]
    assert (line["event"], line["reason"], line["count"]) == ("connections refused", "peer", 1)
    assert "127.0.0.1" not in log.getvalue()


async def test_a_trusted_proxy_has_more_than_one_share() -> None:
    busy = Busy()
    async with served(busy.app, proxies="127.0.0.0/8", connections=4) as (_, port), AsyncExitStack() as open_:
        for _ in range(4):
            await answered(await open_.enter_async_context(peer(port)))
        async with peer(port) as beyond:
            assert await beyond.broken_off()


def test_a_peer_is_an_address_or_one_subscriber_of_ipv6() -> None:
    assert _peer("::ffff:192.0.2.1", ()) == _peer("192.0.2.1", ()) != _peer("192.0.2.2", ())
    assert _peer("2001:db8::1", ()) == _peer("2001:db8::ffff:1", ()) != _peer("2001:db8:0:1::1", ())


async def test_a_connection_is_kept_for_the_next_request_as_long_as_is_set() -> None:
    # Load balancers keep theirs for 60 s.
    assert settings().http_keep_alive == Bounds().keep_alive_seconds == 75
    busy = Busy()
    async with served(busy.app, keep_alive_seconds=0.2) as (_, port), peer(port) as one:
        await answered(one)
        await answered(one)
        assert await one.broken_off()
    async with served(busy.app) as (server, port), peer(port) as one:
        await answered(one)
        kept: Any = next(iter(server._server.server_state.connections))
        due = kept.timeout_keep_alive_task.when() - asyncio.get_running_loop().time()
        assert 70 < due <= 75


async def answered(one: Peer) -> None:
    await one.send(ASK)
    await one.reader.readuntil(b"ok")


@pytest.mark.parametrize("order", [(False, True), (True, False)])
async def test_a_second_stop_cuts_the_first_short(order: tuple[bool, bool]) -> None:
    busy = Busy()
    async with served(busy.app) as (server, port), peer(port) as one:
        await one.send(ASK.replace(b"/", b"/held", 1))
        async with asyncio.timeout(PATIENCE):
            while not busy.asked:
                await _turn()
            # Far less than the grace.
            await asyncio.gather(*(server.stop(now=now) for now in order))


async def test_an_address_that_is_taken_is_said() -> None:
    async with served(Busy().app) as (_, port):
        with pytest.raises(OSError, match="cannot listen"):
            await HttpServer(Busy().app, f"127.0.0.1:{port}").start()


async def test_streams_are_told_that_the_server_stops(service: Service) -> None:
    site = await service.site()
    app = build(service.channel(), settings())
    server = HttpServer(app, "127.0.0.1:0", drain=app.state.drain, grace=60)
    port = await server.start()
    ask = b"GET /v1/events:watch HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + site.api_key.encode()
    async with peer(port) as one:
        await one.send(ask + b"\r\n\r\n")
        await one.reader.readuntil(b"text/event-stream")
        async with asyncio.timeout(PATIENCE):
            await server.stop()
        rest = await one.reader.read()
        assert b"event: error" in rest and b"DRAINING" in rest


async def _turn() -> None:
    await asyncio.to_thread(lambda: None)
