"""Posts to strangers: what is sent, and that no address that is not public hears of it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from random import Random

import pytest

from authy_grpc.outbound.addresses import ForbiddenAddress
from authy_grpc.outbound.sockets import Guarded
from authy_grpc.outbound.web import MAX_ANSWER, Addresses, Failure, Web
from tests.clock import TurnedClock
from tests.naming import always, name_server, turning
from tests.posting import HEADERS, ask, certified, opened
from tests.strangers import OK, Stranger, says, stranger

PRIVATE = (
    "127.0.0.1",
    "127.0.0.2",
    "10.0.0.1",
    "169.254.169.254",
    "::1",
    "::ffff:127.0.0.1",
    "fd00:ec2::254",
)


async def test_a_post_is_what_was_given_and_little_else() -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    answer, there = await ask(OK)
    assert (answer.status, answer.error, answer.retry_after) == (204, None, None)
    assert timedelta() < answer.duration < timedelta(seconds=loop.time() - begin)
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    assert (line, body) == (b"POST /hook?a=b HTTP/1.1", b"{}")
    assert sorted(headers) == [
        b"Accept-Encoding: identity",
        b"Content-Length: 2",
        f"Host: 127.0.0.1:{there.port}".encode(),
        b"User-Agent: authy-grpc",
        b"content-type: application/json",
        b"webhook-id: evt_1",
    ]


async def test_what_is_sent_at_once_shares_its_connections_one_after_another() -> None:
    async with stranger(OK) as there, opened() as (web, _):
        url = f"http://localhost:{there.port}/"
        assert [(await web.post(url, {}, b"")).status for _ in range(5)] == [204] * 5
        assert (there.connections, len(there.requests)) == (1, 5)
        found = await asyncio.gather(*(web.post(url, {}, b"") for _ in range(20)))
        assert {answer.status for answer in found} == {204}
        assert 2 <= there.connections <= 20


async def test_open_connections_are_bounded() -> None:
    most = now = 0
    held = asyncio.Event()

    async def hold(self: Stranger, writer: asyncio.StreamWriter) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        if now == 3:
            held.set()
        await held.wait()
        now -= 1
        await self.send(writer, b"HTTP/1.1 204 No Content\r\n\r\n")

    async with stranger(hold) as there:
        web = Web(Addresses(dev=True), TurnedClock(), connections=3)
        url = f"http://127.0.0.1:{there.port}/"
        found = await asyncio.gather(*(web.post(url, {}, b"") for _ in range(12)))
        await web.aclose()
        assert ({answer.status for answer in found}, most, there.connections) == ({204}, 3, 3)


# Addresses


async def test_names_that_turn_private_are_never_connected_to(figure: Callable[[int, int], int]) -> None:
    """Public when it was checked, private when it is posted to; mixed answers; chains."""
    random = Random(1)
    authority, tls = certified("hook.example")
    public = ["93.184.216.34", "2606:4700:4700::1111"]
    for trial in range(figure(20, 500)):
        private = random.choice(PRIVATE)
        mixed = [*public, private]
        random.shuffle(mixed)
        last = random.choice([[private], mixed, [">private.example"], [">chain.example"]])
        zone = {
            "hook.example": turning([public[trial % 2]], last),
            "chain.example": always(">private.example"),
            "private.example": always(private),
        }
        async with stranger(OK, tls=tls) as there, name_server(zone) as (resolve, _):
            url = f"https://hook.example:{there.port}/"
            addresses = Addresses(resolve=resolve)
            await addresses.check(url)
            web = Web(addresses, TurnedClock(), tls=authority)
            answer = await web.post(url, HEADERS, b"{}")
            await web.aclose()
            assert (answer.status, answer.error) == (0, Failure.FORBIDDEN_ADDRESS)
            with pytest.raises(ForbiddenAddress):
                await addresses.check(url)
            assert there.connections == 0
            # The control: the same name at the same listener is heard of where loopback is let in.
            zone["hook.example"] = always("127.0.0.1")
            web = Web(Addresses(dev=True, resolve=resolve), TurnedClock(), tls=authority)
            assert (await web.post(url, HEADERS, b"{}")).status == 204
            await web.aclose()
            assert there.connections == 1


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"]
)
async def test_an_address_that_is_not_public_is_not_posted_to(host: str) -> None:
    async with stranger(OK) as there, opened(dev=False) as (web, _):
        for scheme in ("http", "https"):
            answer = await web.post(f"{scheme}://{host}:{there.port}/", {}, b"")
            assert (answer.status, answer.error) == (0, Failure.FORBIDDEN_ADDRESS)
        assert there.connections == 0


async def test_each_connection_is_checked_and_a_kept_one_stays_where_it_was() -> None:
    authority, tls = certified("hook.example")
    zone = {"hook.example": turning(["127.0.0.1"], ["10.0.0.1"])}
    first = asyncio.Event()

    async def slow(self: Stranger, writer: asyncio.StreamWriter) -> None:
        if len(self.requests) == 3:
            first.set()
            return
        await self.send(writer, b"HTTP/1.1 204 No Content\r\n\r\n")

    async with stranger(slow, tls=tls) as there, opened(zone=zone, tls=authority) as (web, _):
        url = f"https://hook.example:{there.port}/"
        assert [(await web.post(url, {}, b"")).status for _ in range(2)] == [204, 204]
        busy = asyncio.create_task(web.post(url, {}, b""))
        await first.wait()
        answer = await web.post(url, {}, b"")
        assert (answer.error, there.connections) == (Failure.FORBIDDEN_ADDRESS, 1)
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)


async def test_a_socket_that_ends_elsewhere_is_closed() -> None:
    """Were the addresses to change between look-up and connection, the socket itself would tell."""

    class Fickle(Addresses):
        def allows(self, address: object) -> bool:
            return False

    async with stranger(OK) as there:
        addresses = Fickle(dev=True)
        addresses.find = Addresses(dev=True).find  # type: ignore[method-assign]
        with pytest.raises(ForbiddenAddress):
            await Guarded(addresses, MAX_ANSWER).connect_tcp("127.0.0.1", there.port)
        assert there.requests == []


async def test_the_next_address_is_tried_where_one_refuses() -> None:
    authority, tls = certified("hook.example")
    async with (
        stranger(OK, tls=tls) as there,
        opened(zone={"hook.example": always("127.0.0.9", "127.0.0.8", "127.0.0.1")}, tls=authority) as (
            web,
            _,
        ),
    ):
        assert (await web.post(f"https://hook.example:{there.port}/", {}, b"")).status == 204


async def test_redirects_are_not_followed() -> None:
    async with stranger(OK) as inside:
        for status in (301, 302, 303, 307, 308):
            target = f"http://127.0.0.1:{inside.port}/"
            head = f"HTTP/1.1 {status} Go\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            answer, there = await ask(says(head.encode()))
            assert (answer.status, answer.error, len(there.requests)) == (status, None, 1)
        assert inside.connections == 0
        async with opened() as (web, _):
            assert (await web.post(target, {}, b"")).status == 204
        assert inside.connections == 1


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stranger(OK) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        answer, there = await ask(OK)
        assert (answer.status, there.connections, proxy.connections) == (204, 1, 0)


async def test_cookies_are_not_kept() -> None:
    cookie = b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n"
    async with stranger(says(cookie)) as there, opened() as (web, _):
        for _ in range(2):
            await web.post(f"http://127.0.0.1:{there.port}/", {}, b"")
        assert len(there.requests) == 2 and not any(b"a=b" in request for request in there.requests)


# TLS


async def test_a_certificate_must_be_believed_and_of_that_name() -> None:
    authority, tls = certified("hook.example")
    zone = {"hook.example": always("127.0.0.1"), "other.example": always("127.0.0.1")}
    async with stranger(OK, tls=tls) as there:
        async with opened(zone=zone, tls=authority) as (web, _):
            assert (await web.post(f"https://hook.example:{there.port}/", {}, b"")).status == 204
            answer = await web.post(f"https://other.example:{there.port}/", {}, b"")
            assert (answer.status, answer.error) == (0, Failure.TLS)
        async with opened(zone=zone) as (web, _):
            answer = await web.post(f"https://hook.example:{there.port}/", {}, b"")
            assert (answer.status, answer.error) == (0, Failure.TLS)
        assert len(there.requests) == 1


async def test_a_post_that_is_called_off_gives_its_connection_back() -> None:
    began = asyncio.Event()

    async def hold(self: Stranger, writer: asyncio.StreamWriter) -> None:
        began.set()
        await self.gone.wait()

    async with stranger(hold) as there:
        web = Web(Addresses(dev=True), TurnedClock(), connections=1)
        for _ in range(3):
            task = asyncio.create_task(web.post(f"http://127.0.0.1:{there.port}/", {}, b""))
            await began.wait()
            began.clear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await web.aclose()
        assert there.connections == 3
