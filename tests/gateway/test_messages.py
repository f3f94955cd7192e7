"""The page of text messages: who is let in, and what it tells."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.messages import Messages, pages

NOW = datetime(2026, 11, 30, 13, 32, tzinfo=UTC)
PATHS = ["/dev/messages", "/dev/messages/list", "/dev/messages.css", "/dev/messages.js"]


def kept() -> Messages:
    messages = Messages(lambda: NOW, lambda size: bytes(range(size)))
    messages.keep("+15005550006", "SMS", "520756 is your code.")
    return messages


async def ask(
    path: str, headers: dict[str, str] | None = None, *, peer: str = "127.0.0.1", token: str | None = None
) -> httpx.Response:
    """Ask as somebody at this machine does, but for what is given."""
    messages = kept()
    transport = httpx.ASGITransport(Starlette(routes=[*pages(messages)]), client=(peer, 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        query = {"token": messages.token if token is None else token}
        return await client.get(path, params=query, headers=headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        ({"host": "auth.example"}, "127.0.0.1"),
        ({"host": "127.0.0.1.evil.example"}, "127.0.0.1"),
        ({"host": "localhost@evil.example"}, "127.0.0.1"),
        ({"host": ""}, "127.0.0.1"),
        ({"Forwarded": "for=203.0.113.7"}, "127.0.0.1"),
        ({"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1"),
        ({"X-Forwarded-Host": "127.0.0.1"}, "127.0.0.1"),
        ({"x-forwarded-proto": "https"}, "127.0.0.1"),
        ({"Via": "1.1 tunnel"}, "127.0.0.1"),
        ({}, "203.0.113.7"),
        ({}, "unix"),
        ({}, ""),
    ],
)
async def test_whoever_is_elsewhere_finds_nothing(path: str, headers: dict[str, str], peer: str) -> None:
    assert (await ask(path)).status_code == 200
    refused = await ask(path, headers, peer=peer)
    assert refused.status_code == 404
    assert "520756" not in refused.text


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_whoever_is_at_this_machine_is_let_in(host: str, peer: str) -> None:
    assert (await ask("/dev/messages/list", {"host": host}, peer=peer)).status_code == 200


@pytest.mark.parametrize("path", PATHS[:2])
@pytest.mark.parametrize("token", ["", "AAECAwQFBgcICQoLDA0OD", "AAECAwQFBgcICQoLDA0ODw=", "é"])
async def test_without_the_token_nothing_is_told(path: str, token: str) -> None:
    assert kept().token == "AAECAwQFBgcICQoLDA0ODw"
    refused = await ask(path, token=token)
    assert refused.status_code == 403
    assert "520756" not in refused.text
    assert (await ask(path)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_the_policy_is_strict_and_nothing_is_stored(path: str) -> None:
    headers = (await ask(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy and "trusted-types 'none'" in policy
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")


async def test_messages_are_told_newest_first_and_after_what_is_known() -> None:
    messages = kept()
    messages.keep("+33612345678", "VOICE", "Your code is 1 2 3.")
    transport = httpx.ASGITransport(Starlette(routes=[*pages(messages)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def told(**more: Any) -> list[Any]:
            answer = await client.get("/dev/messages/list", params={"token": messages.token, **more})
            found: list[Any] = answer.json()["messages"]
            return found

        assert [each["to"] for each in await told()] == ["+33612345678", "+15005550006"]
        assert await told(after="1") == [
            {
                "position": 2,
                "time": "2026-11-30T13:32:00+00:00",
                "to": "+33612345678",
                "channel": "VOICE",
                "body": "Your code is 1 2 3.",
            }
        ]
        assert await told(after="2") == []
        assert len(await told(after="nonsense")) == 2


def test_the_last_hundred_are_kept_and_no_repr_tells_them() -> None:
    messages = kept()
    for count in range(150):
        messages.keep("+15005550006", "SMS", f"message {count}")
    found = messages.since(0)
    assert [each.body for each in found] == [f"message {count}" for count in range(149, 49, -1)]
    assert "message" not in repr(found) and "5550006" not in repr(found)
