"""What strangers answer: none takes more time, memory or connections than it may, or breaks the client."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from random import Random

import pytest

from authy_grpc.outbound.web import MAX_ANSWER, MAX_TIME, Addresses, Failure, Web
from tests.clock import TurnedClock
from tests.naming import always
from tests.posting import ask, opened
from tests.strangers import OK, Behaviour, Stranger, nobody, says, stranger

# What both sides' kernels and asyncio may hold of an answer beside what was read.
BUFFERS = 512 * 1024
# Of the whole process, whatever else is there; what the bomb holds is six times as much.
MEMORY = 8 * 1024 * 1024


async def big_body(self: Stranger, writer: asyncio.StreamWriter) -> None:
    await self.send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    for _ in range(10_000_000_000 // 65536):
        await self.send(writer, bytes(65536))


async def chunks(self: Stranger, writer: asyncio.StreamWriter) -> None:
    await self.send(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await self.send(writer, b"1;" + b"x" * 1000 + b"\r\n.\r\n")


@cache
def packed() -> bytes:
    return gzip.compress(bytes(50_000_000))


async def bomb(self: Stranger, writer: asyncio.StreamWriter) -> None:
    body = packed()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    await self.send(writer, head.encode() + body)


async def headers(self: Stranger, writer: asyncio.StreamWriter) -> None:
    await self.send(writer, b"HTTP/1.1 200 OK\r\n")
    while True:
        await self.send(writer, b"X-Header: " + b"x" * 1000 + b"\r\n")


async def one_header(self: Stranger, writer: asyncio.StreamWriter) -> None:
    await self.send(writer, b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        await self.send(writer, b"x" * 1000)


async def interim(self: Stranger, writer: asyncio.StreamWriter) -> None:
    while True:
        await self.send(writer, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)


async def trailers(self: Stranger, writer: asyncio.StreamWriter) -> None:
    await self.send(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    while True:
        await self.send(writer, b"X-Trailer: x\r\n" * 100)


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [
        (big_body, 200, None),
        (chunks, 200, None),
        (bomb, 200, None),
        (trailers, 200, None),
        (headers, 0, Failure.TOO_LARGE),
        (one_header, 0, Failure.TOO_LARGE),
        (interim, 0, Failure.TOO_LARGE),
    ],
)
async def test_an_endless_answer_is_cut_off(behaviour: Behaviour, status: int, error: Failure | None) -> None:
    packed()
    await ask(OK)
    tracemalloc.start()
    try:
        answer, there = await ask(behaviour)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status, answer.error) == (status, error)
    assert there.sent < BUFFERS
    assert peak < MEMORY
    assert there.connections == 1


async def test_an_answer_is_read_up_to_its_limit_and_no_byte_further() -> None:
    assert MAX_ANSWER <= 64 * 1024
    head = b"HTTP/1.1 200 OK\r\nX: "
    for length, error in ((MAX_ANSWER, None), (MAX_ANSWER + 1, Failure.TOO_LARGE)):
        tail = b"\r\nContent-Length: 0\r\n\r\n"
        answer, _ = await ask(says(head + b"x" * (length - len(head) - len(tail)) + tail))
        assert answer.error is error


async def test_what_was_read_of_one_answer_does_not_count_for_the_next() -> None:
    body = bytes(MAX_ANSWER - 1000)
    big = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with stranger(says(big)) as there, opened() as (web, _):
        for _ in range(4):
            assert (await web.post(f"http://127.0.0.1:{there.port}/", {}, b"")).status == 200
        assert there.connections == 1


async def silent(self: Stranger, writer: asyncio.StreamWriter) -> None:
    await self.gone.wait()


async def test_a_slow_answer_is_cut_off() -> None:
    async def drip(self: Stranger, writer: asyncio.StreamWriter) -> None:
        await self.send(writer, b"HTTP/1.1 200 OK\r\nX: ")
        while not writer.is_closing():
            await self.send(writer, b"x")
            await asyncio.wait([asyncio.ensure_future(self.gone.wait())], timeout=0.02)

    # So long that it has been asked by then.
    for answer, there in await asyncio.gather(*(ask(each, seconds=2) for each in (silent, drip))):
        assert (answer.status, answer.error, len(there.requests)) == (0, Failure.TIMEOUT, 1)
        assert timedelta(seconds=2) <= answer.duration < MAX_TIME


async def test_a_slow_body_holds_nobody_up() -> None:
    async def drip(self: Stranger, writer: asyncio.StreamWriter) -> None:
        await self.send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            await self.send(writer, b"x")
            await asyncio.wait([asyncio.ensure_future(self.gone.wait())], timeout=0.02)

    # A body has less time than the whole post.
    answer, there = await ask(drip)
    assert (answer.status, answer.error) == (200, None)
    assert there.sent < 200


async def test_time_runs_for_names_and_handshakes_too() -> None:
    async def never(host: str) -> list[object]:
        await asyncio.Event().wait()
        return []

    web = Web(Addresses(resolve=never), TurnedClock(), limit=timedelta(seconds=0.2))  # type: ignore[arg-type]
    assert (await web.post("https://hook.example/", {}, b"")).error is Failure.TIMEOUT
    await web.aclose()
    zone = {"hook.example": always("127.0.0.1")}
    # So long that it has been looked up and connected to by then.
    async with stranger(silent) as there, opened(zone=zone, seconds=2) as (web, _):
        answer = await web.post(f"https://hook.example:{there.port}/", {}, b"")
        assert (answer.error, there.connections) == (Failure.TIMEOUT, 1)


async def test_failures_are_told_apart() -> None:
    with nobody() as port:
        async with opened(zone={"empty.example": always()}) as (web, _):
            for url, error in (
                ("https://missing.example/", Failure.FORBIDDEN_ADDRESS),
                ("https://empty.example/", Failure.FORBIDDEN_ADDRESS),
                (f"http://127.0.0.1:{port}/", Failure.REFUSED),
                ("not a url", Failure.FORBIDDEN_ADDRESS),
            ):
                answer = await web.post(url, {}, b"")
                assert (answer.status, answer.error) == (0, error)
    for bytes_ in (
        b"",
        b"HTTP/1.1 2",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 101 Up\r\n\r\n",
    ):
        answer, _ = await ask(says(bytes_, close=True))
        assert (answer.status, answer.error) == (0, Failure.CONNECTION)


async def test_whatever_comes_is_an_answer_or_a_failure(figure: Callable[[int, int], int]) -> None:
    random = Random(2)
    parts = [
        *(
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 204 \r\n",
            b"HTTP/2 200\r\n",
            b"HTTP/1.1 100 C\r\n",
            b"\r\n",
            b"\n",
        ),
        *(
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Content-Length: 5\r\n",
        ),
        *(
            b"Content-Length: -1\r\n",
            b"Content-Length: 1, 2\r\n",
            b"Connection: close\r\n",
            b"Upgrade: h2c\r\n",
        ),
        *(
            b"0\r\n\r\n",
            b"5\r\nhello\r\n",
            b"ffffffffffffffffffff\r\n",
            b": \r\n",
            b" folded\r\n",
            b"\x00\xff",
        ),
        *(b"Retry-After: \xff\r\n", b"hello", b"X: \x00\r\n"),
    ]
    seen = set()
    said = b""

    async def say(self: Stranger, writer: asyncio.StreamWriter) -> None:
        await self.send(writer, said)
        writer.close()

    async with stranger(say) as there, opened() as (web, _):
        for _ in range(figure(300, 20_000)):
            said = b"".join(random.choices(parts, k=random.randint(1, 8)))
            if random.random() < 0.7:
                said = parts[0] + said
            answer = await web.post(f"http://127.0.0.1:{there.port}/", {}, b"")
            seen.add(answer.error)
            assert (answer.status == 0) == (answer.error is not None)
    assert {None, Failure.CONNECTION} == seen


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("Tue, 24 Nov 2026 12:01:30 GMT", 90),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("-1", None),
        ("9" * 5000, None),
        ("soon", None),
        ("Tue, 24 Nov 99999 12:01:30 GMT", None),
        ("Tue, 24 Nov 2026 12:01:30 -9999", None),
        ("", None),
    ],
)
async def test_retry_after_is_read_in_both_forms(value: str, seconds: int | None) -> None:
    head = f"HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
    answer, _ = await ask(says(head.encode()))
    assert (answer.status, answer.error) == (503, None)
    assert answer.retry_after == (None if seconds is None else timedelta(seconds=seconds))
