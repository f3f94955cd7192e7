"""Calls without a socket: a channel whose calls run the same chain, on the messages themselves.

A gateway in the same process takes it where it would take a `grpc.aio` channel. What is here of that
channel and of its calls is what generated stubs and the gateway use.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from typing import Any

import grpc
import grpc.aio
from grpc import StatusCode

from authy_grpc.rpc.chain import Chain, Given, Methods

Pairs = Sequence[tuple[str, str | bytes]]
# Runs a method of the service on a request, or on what makes it behind auth.
Run = Callable[[Given, Any], Awaitable[Any]]
_END = object()
_PEER = "local:"


class _Aborted(grpc.aio.AbortError):
    """The call has its status."""


class _Context:
    """What a servicer sees of a call."""

    def __init__(self, metadata: Pairs, write: Callable[[Any], Awaitable[None]]) -> None:
        self._metadata = tuple(metadata)
        self._write = write
        self._code: StatusCode | None = None
        self._details = ""
        self.trailing: Pairs = ()
        # What the function raised that was given for the request.
        self.unmade: Exception | None = None
        self.opened = asyncio.Event()

    def invocation_metadata(self) -> Pairs:
        return self._metadata

    def peer(self) -> str:
        return _PEER

    def set_trailing_metadata(self, trailing: Pairs) -> None:
        self.trailing = trailing

    def set_code(self, code: StatusCode) -> None:
        self._code = code

    def set_details(self, details: str) -> None:
        self._details = details

    def code(self) -> StatusCode | None:
        return self._code

    def details(self) -> str:
        return self._details

    async def send_initial_metadata(self, _: Pairs) -> None:
        self.opened.set()

    async def write(self, message: Any) -> None:
        self.opened.set()
        await self._write(message)

    async def abort(self, code: StatusCode, details: str = "", trailing_metadata: Pairs = ()) -> None:
        self._code, self._details, self.trailing = code, details, trailing_metadata or self.trailing
        raise _Aborted

    def error(self, code: StatusCode | None = None) -> Exception:
        """What the caller is raised: by the status that was set, or by another one."""
        if self.unmade is not None:
            return self.unmade
        trailing = grpc.aio.Metadata.from_tuple(tuple(self.trailing))
        found = code or self._code or StatusCode.UNKNOWN
        return grpc.aio.AioRpcError(found, grpc.aio.Metadata(), trailing, self._details)


class UnaryCall:
    """A call with one answer: awaited once, by which it runs in the task of its caller."""

    def __init__(self, run: Run, request: Given, metadata: Pairs | None, timeout: float | None) -> None:
        self._run = run
        self._request = request
        self._timeout = timeout
        self._context = _Context(metadata or (), _no_message)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def initial_metadata(self) -> Pairs:
        return ()

    async def trailing_metadata(self) -> Pairs:
        return self._context.trailing

    async def _answer(self) -> Any:
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return await self._run(self._request, self._context)
        except _Aborted:
            raise self._context.error() from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._context.error(StatusCode.DEADLINE_EXCEEDED) from None


class StreamCall:
    """A call whose answer is a stream: it begins at once, and is no message ahead of its reader."""

    def __init__(self, run: Run, request: Given, metadata: Pairs | None, timeout: float | None) -> None:
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._context = _Context(metadata or (), self._hand_over)
        self._error: Exception | None = None
        self._task = asyncio.create_task(self._relay(run, request, asyncio.timeout(timeout)))
        self._task.add_done_callback(self._end)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        message = await self.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`.

        Raises:
            AioRpcError: the stream has ended with a status.
        """
        message = await self._messages.get()
        self._messages.task_done()
        if message is not _END:
            return message
        self._messages.put_nowait(_END)
        if self._error is not None:
            raise self._error
        return grpc.aio.EOF

    async def initial_metadata(self) -> Pairs:
        """Answers when the stream is open, or has ended."""
        await self._context.opened.wait()
        return ()

    async def trailing_metadata(self) -> Pairs:
        """Answers when the stream has ended."""
        await asyncio.wait([self._task])
        return self._context.trailing

    def cancel(self) -> bool:
        """Ends the call; nobody reads on."""
        return self._task.cancel()

    async def _hand_over(self, message: Any) -> None:
        self._messages.put_nowait(message)
        await self._messages.join()

    async def _relay(self, run: Run, request: Given, limit: asyncio.Timeout) -> None:
        try:
            async with limit:
                await run(request, self._context)
        except _Aborted:
            self._error = self._context.error()
        except TimeoutError:
            if not limit.expired():
                raise
            self._error = self._context.error(StatusCode.DEADLINE_EXCEEDED)

    def _end(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self._error = self._context.error(StatusCode.CANCELLED)
        elif task.exception() is not None:
            self._error = self._context.error(StatusCode.UNKNOWN)
        self._context.opened.set()
        self._messages.put_nowait(_END)


class LocalChannel:
    """Calls the services of this process, through the chain.

    A method of a stub takes a request, or a function without arguments that answers one, plain or `async`.
    The function is called when the caller's credential is known to be good for this call, and not before; it
    has as long as a message has on the wire. A domain error that it raises (`BadField`) is the status of the
    call; any other exception is raised to the caller as it is.

    Args:
        chain: what takes a call to its end.
        add: registers the services on what it is given, as on a `grpc.aio` server.
    """

    # What a gateway asks before it hands over a function in place of a request.
    asks_late = True

    def __init__(self, chain: Chain, add: Callable[[Any], None]) -> None:
        self._methods: dict[str, Run] = Methods(chain.local, add).by_name

    def unary_unary(self, method: str, *_: Any, **__: Any) -> Callable[..., UnaryCall]:
        """A method with one answer; messages are neither written nor read."""
        run = self._run(method)
        return lambda request, *, metadata=None, timeout=None, **_: UnaryCall(run, request, metadata, timeout)

    def unary_stream(self, method: str, *_: Any, **__: Any) -> Callable[..., StreamCall]:
        """A method whose answer is a stream."""
        run = self._run(method)
        return lambda request, *, metadata=None, timeout=None, **_: StreamCall(
            run, request, metadata, timeout
        )

    async def close(self, grace: float | None = None) -> None:
        """There is no connection to close."""

    def _run(self, method: str) -> Run:
        return self._methods.get(method, _unimplemented)


async def _no_message(_: Any) -> None:
    raise TypeError("a method with one answer writes no messages")


async def _unimplemented(_: Any, context: _Context) -> None:
    await context.abort(StatusCode.UNIMPLEMENTED)
