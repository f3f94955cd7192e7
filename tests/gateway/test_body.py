"""How long a body may take, and what becomes of one that does not come to its end."""

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers

from gateway.app import build
from gateway.body import Gone, read_body
from gateway.errors import Failure
from tests.gateway.asking import settings
from tests.gateway.everything import ROUTES, echo

HEADERS = Headers({"content-type": "application/json"})


def coming(*messages: Any) -> Any:
    """What a request says; then nothing more."""
    left = iter(messages)

    async def receive() -> Any:
        for message in left:
            return message
        await asyncio.Event().wait()

    return receive


def piece(body: bytes, *, more: bool = True) -> Any:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_comes_in_pieces() -> None:
    receive = coming(piece(b"{"), piece(b""), piece(b"}", more=False))
    assert await read_body(HEADERS, receive, takes=True) == b"{}"


async def test_a_body_that_stalls_is_given_up() -> None:
    with pytest.raises(Failure) as failed:
        await read_body(HEADERS, coming(piece(b"{")), takes=True, seconds=0.05)
    assert failed.value.http == 408
    assert (b"connection", b"close") in failed.value.headers


async def test_a_caller_that_hangs_up_meanwhile_is_gone() -> None:
    receive = coming(piece(b"{"), {"type": "http.disconnect"})
    with pytest.raises(Gone):
        await read_body(HEADERS, receive, takes=True)


async def test_nothing_is_sent_to_who_is_gone() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async with echo() as channel:
        app = build(channel, settings(), routes=ROUTES)
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/v1/everything",
            "raw_path": b"/v1/everything",
            "query_string": b"",
            "headers": [],
            "client": None,
        }
        await app(scope, coming({"type": "http.disconnect"}), send)
    assert sent == []
