"""Bytes that are no request, bodies that nobody reads, and wishes for another protocol: over a socket."""

import asyncio
import json
from contextlib import suppress

import pytest

from authy_grpc.v1.user_pb2 import ListUsersRequest
from gateway.app import build
from tests.gateway.asking import fields, gateway, settings
from tests.gateway.everything import ROUTES, echo
from tests.gateway.test_protocol import ASK, BOUNDS, Busy, _turn, peer, served
from tests.harness import Service
from tests.rushing import PATIENCE


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_told_in_json(garbage: bytes) -> None:
    busy = Busy()
    async with served(busy.app) as (_, port), peer(port) as one:
        await one.send(garbage)
        head, _, body = (await one.reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and b"content-type: application/json" in head
    told = json.loads(body)
    assert told["code"] == 3
    assert told["details"][0]["reason"] == "BAD_FIELD"
    assert busy.asked == 0


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_body_beside_a_wish_for_http2_is_read(service: Service, pieces: int) -> None:
    site = await service.site()
    app = build(service.core.server.local(), settings())
    ask = b"POST /v1/enrollments HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 21\r\n"
    ask += b"Host: a\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    ask += b"Content-Type: application/json\r\nAuthorization: Bearer " + site.api_key.encode()
    ask += b'\r\n\r\n{"customUserId": "a"}'
    async with served(app) as (_, port), peer(port) as one:
        if pieces == 1:
            for _ in range(2):
                await one.send(ask)
                answer = await one.reader.readuntil(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 200")
                await one.reader.readexactly(
                    int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                )
            return
        # Cut within the name, it is overlooked: nothing is done, and it is told.
        at = ask.index(b"Upgrade: h2c") + 3
        await one.send(ask[:at])
        await _turn()
        await one.send(ask[at:])
        assert (await one.reader.read()).startswith(b"HTTP/1.1 400")
    page = await site.client.users.ListUsers(ListUsersRequest())
    assert not page.users


async def test_a_body_is_asked_for_once_its_credential_is_known(service: Service) -> None:
    site = await service.site()
    app = build(service.core.server.local(), settings())
    head = b"POST /v1/enrollments HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    head += b"content-length: 21\r\nexpect: 100-continue\r\n"
    async with served(app) as (_, port), peer(port) as stranger, peer(port) as one:
        await stranger.send(head + b"\r\n")
        assert (await stranger.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 401")
        await one.send(head + b"authorization: Bearer " + site.api_key.encode() + b"\r\n\r\n")
        assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await one.send(b'{"customUserId": "a"}')
        assert (await one.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")


UNREAD = (
    b"POST /v1/enrollments HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    b"content-length: 200000\r\n\r\n"
)


async def test_a_connection_whose_body_was_not_read_goes_on(service: Service) -> None:
    app = build(service.core.server.local(), settings())
    async with served(app, unread_seconds=0.01) as (server, port), peer(port) as one:
        for _ in range(2):
            await one.send(UNREAD + b"x" * 100_000)
            answer = await one.reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 401")
            await one.reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            await one.send(b"x" * 100_000)
        # The rest is awaited no longer than a head is, and the next head as long as the connection is kept.
        (kept,) = [*server._server.server_state.connections]
        async with asyncio.timeout(PATIENCE):
            while not kept._in_head:  # type: ignore[union-attr]
                await _turn()
        assert kept._awaited is None  # type: ignore[union-attr]


async def test_a_body_without_end_that_nobody_reads_is_broken_off(service: Service) -> None:
    app = build(service.core.server.local(), settings())
    async with served(app, unread_seconds=0.01, head_seconds=0.5) as (_, port), peer(port) as one:
        await one.send(UNREAD)
        await one.reader.readuntil(b"\r\n\r\n")
        await one.send(b"x")
        assert await one.broken_off()


CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "much",
    [
        CHUNKED + b"1\r\nx\r\n" * (BOUNDS.pieces + 1),
        CHUNKED + b"10000\r\n" + b"x" * 0x10000 + b"\r\n" + (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 16,
    ],
    ids=["chunks", "bytes"],
)
async def test_what_costs_more_than_it_weighs_is_broken_off(much: bytes) -> None:
    busy = Busy()
    async with served(busy.app) as (_, port), peer(port) as one, peer(port) as other:
        with suppress(ConnectionError):
            await one.send(much)
        assert await one.broken_off()
        await other.send(ASK)
        await other.reader.readuntil(b"ok")


async def test_many_headers_are_told_at_little_cost(service: Service) -> None:
    async with served(build(service.core.server.local(), settings())) as (_, port), peer(port) as one:
        await one.send(b"GET /v1/users HTTP/1.1\r\nhost: a\r\n" + b"a:\r\n" * 10_000 + b"\r\n")
        assert (await one.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 431")
    assert BOUNDS.headers < 1_000


async def test_many_headers_are_told() -> None:
    async with echo() as channel, gateway(channel, routes=ROUTES) as running:
        headers = [(f"x-{number}", "") for number in range(100)]
        response = await running.client.get("/v1/everything/id", headers=headers)
        assert (response.status_code, fields(response)) == (431, ["headers"])
        assert (await running.client.get("/v1/everything/id", headers=headers[:80])).status_code == 200
