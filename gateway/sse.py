"""Server-sent events: `id`, comments that keep streams alive, how they end.

A message is read when the one before it is on its way: a slow reader holds the core back, and no queue grows.
One that hangs up ends the call at once. `sse-starlette` would answer 200 before it is known whether the core
lets the stream be, and runs four tasks for each; this is one coroutine.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.rpc import code_pb2
from starlette.types import Receive, Send

from gateway.errors import Failure, Header, make
from gateway.transcode import Transcoder
from gateway.upstream import failure, out_of_time, raise_if_ended

# The core tells at once that a stream is open; what it refuses, it refuses a moment later.
_SETTLE_SECONDS = 1.0
_OPEN_SECONDS = 10.0
_COMMENT_SECONDS = 15.0
_SEND_SECONDS = 30.0
_COMMENT = b":\n\n"
_END = b"event: end\ndata: {}\n\n"
_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # Else proxies keep events until they have many.
    (b"x-accel-buffering", b"no"),
)


@dataclass(frozen=True)
class Pace:
    """How long a stream waits, all in seconds.

    Attributes:
        open: for the core to say that it is open.
        settle: then, for a refusal, which is told by an HTTP code.
        comment: for a message, before a comment is sent.
        send: for a reader that takes nothing.
    """

    open: float = _OPEN_SECONDS
    settle: float = _SETTLE_SECONDS
    comment: float = _COMMENT_SECONDS
    send: float = _SEND_SECONDS


class _Gone(Exception):
    """The reader has hung up, or takes nothing."""


class Stream:
    """One open stream.

    Args:
        transcoder: of its route.
        call: of the core; cancelled at the end, however it comes.
        receive: of the request, whose body has been read.
        send: of the request.
        headers: of the answer.
        pace: how long it waits.
    """

    def __init__(
        self,
        transcoder: Transcoder,
        call: Any,
        receive: Receive,
        send: Send,
        headers: list[Header],
        pace: Pace,
    ) -> None:
        self._write = _event_of(transcoder)
        self._call = call
        self._receive = receive
        self._send = send
        self._headers = headers
        self._pace = pace
        self._ending = False
        # One is always under way: to be cancelled while it reads would cancel the call.
        self._reading: asyncio.Future[Any] = asyncio.ensure_future(call.read())

    def end(self) -> None:
        """Have it end soon, with an error that says to try again."""
        self._ending = True
        self._reading.cancel()

    async def run(self, *, head: bool) -> Failure | None:
        """Relay the stream to its end.

        Args:
            head: whether only the headers are asked for.

        Returns:
            what it ended with; None where it ended well, or the reader hung up.

        Raises:
            Failure: it was refused before it began: nothing has been sent.
        """
        gone = asyncio.ensure_future(self._hung_up())
        opened = asyncio.ensure_future(self._call.initial_metadata())
        try:
            await self._settle(opened, gone)
            await self._emit("http.response.start", status=200, headers=[*_HEADERS, *self._headers])
            if head:
                await self._emit("http.response.body", body=b"")
                return None
            return await self._relay(gone)
        except _Gone:
            return None
        finally:
            self._call.cancel()
            waits = (gone, opened, self._reading)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _settle(self, opened: "asyncio.Future[Any]", gone: "asyncio.Future[None]") -> None:
        """Wait until it is open, and for the refusal that may follow."""
        if not await _first(self._pace.open, opened, self._reading, gone):
            raise out_of_time()
        await _first(self._pace.settle, self._reading, gone)
        if gone.done():
            raise _Gone
        if self._reading.done():
            _message(self._reading)

    async def _relay(self, gone: "asyncio.Future[None]") -> Failure | None:
        # Tells a reader that it is open, where nothing happens for long.
        await self._body(_COMMENT)
        while True:
            done = await _first(self._pace.comment, self._reading, gone)
            if gone in done:
                raise _Gone
            if not done:
                await self._body(_COMMENT)
                continue
            try:
                message = _message(self._reading)
            except Failure as refused:
                await self._body(b"event: error\ndata: " + refused.body + b"\n\n", last=True)
                return refused
            if message is grpc.aio.EOF:
                await self._body(_END, last=True)
                return None
            # A heartbeat has nothing in it.
            await self._body(self._write(message) if message.ByteSize() else _COMMENT)
            self._reading = asyncio.ensure_future(self._call.read())
            if self._ending:
                self._reading.cancel()

    async def _hung_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _body(self, body: bytes, *, last: bool = False) -> None:
        await self._emit("http.response.body", body=body, more_body=not last)

    async def _emit(self, kind: str, **message: Any) -> None:
        try:
            async with asyncio.timeout(self._pace.send):
                await self._send({"type": kind, **message})
        except (OSError, TimeoutError):
            raise _Gone from None


async def _first(seconds: float, *waits: "asyncio.Future[Any]") -> "set[asyncio.Future[Any]]":
    """Those that are done when the first is, or the time is over."""
    done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return done


def _message(reading: "asyncio.Future[Any]") -> Any:
    """What was read: a message, or EOF."""
    try:
        return reading.result()
    except grpc.RpcError as error:
        raise failure(error) from None
    except asyncio.CancelledError:
        raise_if_ended()
        raise Failure(
            make(code_pb2.UNAVAILABLE, "This gateway ends the stream: try again.", "DRAINING")
        ) from None


def _event_of(transcoder: Transcoder) -> Callable[[Any], bytes]:
    write, position = transcoder.write, transcoder.route.position
    if not position:
        return lambda message: b"data: " + write(message) + b"\n\n"

    def event(message: Any) -> bytes:
        place = message
        for name in position:
            place = getattr(place, name)
        line = str(place)
        # A cursor is a line of text; one that is not would be a field of its own.
        if not line or not line.isprintable():
            return b"data: " + write(message) + b"\n\n"
        return b"id: " + line.encode() + b"\ndata: " + write(message) + b"\n\n"

    return event
