"""Bodies that wait, of callers whom nobody knows: a few of one network, wherever the gateway runs."""

import asyncio
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.app import build
from tests.gateway.asking import settings
from tests.gateway.test_protocol import Peer, peer, served
from tests.harness import Service
from tests.rushing import PATIENCE

HELD, BEYOND = 20, 5
SLOW = b"content-type: application/json\r\ncontent-length: 100\r\n"


def ask(line: bytes, *more: bytes) -> bytes:
    return line + b" HTTP/1.1\r\nhost: a\r\n" + b"".join(more) + b"\r\n"


def bearer(key: str) -> bytes:
    return b"authorization: Bearer " + key.encode() + b"\r\n"


async def status(one: Peer) -> int:
    async with asyncio.timeout(PATIENCE):
        return int((await one.reader.readuntil(b"\r\n")).split()[1])


@pytest.fixture(params=["in the process", "beside it", "beside it, without a key"])
def app(request: pytest.FixtureRequest, service: Service) -> Any:
    key = "" if "without" in request.param else service.secrets.gateway_key
    channel: Any = service.core.server.local() if request.param == "in the process" else service.channel()
    return build(channel, settings(gateway_key=SecretStr(key)))


async def test_few_slow_bodies_of_strangers_are_waited_for_and_all_of_who_is_known(
    service: Service, app: Any, request: pytest.FixtureRequest
) -> None:
    site = await service.site()
    keyless = "without" in request.node.name
    # What is never let in is refused before its body; without a gateway key nobody is known.
    slow = ask(b"POST /v1/account/sessions", SLOW)
    known = ask(b"POST /v1/enrollments", SLOW, bearer(site.api_key))
    async with served(app, per_peer=200) as (_, port), AsyncExitStack() as stack:
        waiting = [await stack.enter_async_context(peer(port)) for _ in range(HELD + BEYOND)]
        for each in waiting:
            await each.send(slow + b"{")
        answers = [asyncio.ensure_future(status(each)) for each in waiting]
        first = [await each for each in islice(asyncio.as_completed(answers), BEYOND)]
        assert first == [429] * BEYOND
        assert sum(each.done() for each in answers) == BEYOND
        async with peer(port) as other:
            # What comes at once is answered.
            await other.send(ask(b"GET /v1/users", bearer(site.api_key)))
            assert await status(other) == 200
            if not keyless:
                await other.reader.readuntil(b"\r\n\r\n")
        if not keyless:
            async with peer(port) as site_peer:
                await site_peer.send(known + b'{"customUserId": "a"}' + b" " * 79)
                assert await status(site_peer) == 200
        for answer in answers:
            answer.cancel()
