"""What each call of the async client goes through: credential, deadline, retries, typed errors."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from authy_grpc.client.errors import Canceled, from_call
from authy_grpc.client.retry import Metadata, Method, Policy, capped
from authy_grpc.client.watch import Resume, broken

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Sleep = Callable[[float], Awaitable[object]]


class AsyncChannel:
    """What the generated stubs need of a `grpc.aio.Channel`.

    It wraps and is no interceptor: those lose cancellation and leak on streams. A call answers an
    awaitable, a stream an async iterator with `cancel`. It belongs to the event loop that it was made in.

    Attributes:
        policy: what all calls have in common.
        sleep: waits that many seconds.
    """

    def __init__(self, inner: grpc.aio.Channel, policy: Policy, sleep: Sleep) -> None:
        self.policy = policy
        self.sleep = sleep
        self._inner = inner
        self._closed = False
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def unary_unary(self, path: str, **coding: Any) -> "AsyncUnaryCall[Message, Message]":
        """Returns what makes a call of one answer."""
        return AsyncUnaryCall(self._inner.unary_unary(path, **coding), Method.at(path), self)

    def unary_stream(self, path: str, **coding: Any) -> "AsyncStreamCall[Message, Message]":
        """Returns what opens a stream of answers."""
        return AsyncStreamCall(self._inner.unary_stream(path, **coding), self)

    def check(self) -> None:
        """Tells whether a call may begin.

        Raises:
            RuntimeError: this is another event loop, in which grpc would hang or fail at random.
            Canceled: the channel was closed.
        """
        if self._loop is not asyncio.get_running_loop():
            made = "outside of any event loop" if self._loop is None else "in another event loop"
            raise RuntimeError(
                f"this AsyncClient was made {made}, not in the one that calls: make it in a coroutine of the "
                "loop that uses it (once for each asyncio.run, or at the start of the application), "
                "or use the sync Client"
            )
        if self._closed:
            raise Canceled

    async def close(self) -> None:
        """Ends the connection and all calls."""
        self._closed = True
        await self._inner.close()


class AsyncUnaryCall(Generic[Request, Response]):
    """One method with one answer."""

    def __init__(
        self, inner: Callable[..., Awaitable[Response]], method: Method, channel: AsyncChannel
    ) -> None:
        self._inner = inner
        self._method = method
        self._channel = channel

    async def __call__(
        self, request: Request, timeout: float | None = None, metadata: Metadata | None = None, **more: Any
    ) -> Response:
        """Makes the call, more than once only where that does no more.

        Args:
            request: its `request_id`, where it has one, is filled in where empty.
            timeout: seconds, in place of the client's own.
            metadata: beside the credential.
            **more: `wait_for_ready` and the others of grpc.

        Raises:
            AuthyError: the class says what went wrong.
            RuntimeError: the client was made in another event loop.
        """
        policy = self._channel.policy
        request = self._method.fill(request, policy.random)
        sent = policy.metadata(metadata)
        attempts = policy.attempts(self._method, timeout)
        while True:
            self._channel.check()
            try:
                return await self._inner(request, timeout=attempts.remaining(), metadata=sent, **more)
            except grpc.RpcError as failure:
                error = from_call(failure)
            except asyncio.CancelledError as cancellation:
                error = _closed(cancellation)
            await self._channel.sleep(attempts.wait(error))


class AsyncStreamCall(Generic[Request, Response]):
    """One method that answers with a stream. It is never tried again by itself: see `watch_*`."""

    def __init__(self, inner: Callable[..., Any], channel: AsyncChannel) -> None:
        self._inner = inner
        self._channel = channel

    def __call__(
        self, request: Request, timeout: float | None = None, metadata: Metadata | None = None, **more: Any
    ) -> "AsyncStream[Response]":
        """Opens the stream. `timeout`, in seconds, is for the whole of it; none where None.

        Raises:
            RuntimeError: the client was made in another event loop.
        """
        self._channel.check()
        sent = self._channel.policy.metadata(metadata)
        timeout = None if timeout is None else capped(timeout)
        return AsyncStream(self._inner(request, timeout=timeout, metadata=sent, **more))


class AsyncStream(Generic[Response]):
    """The answers of an open stream. Cancel it when done: a stream that is dropped stays open."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._answers: AsyncIterator[Response] = aiter(call)

    def __aiter__(self) -> AsyncIterator[Response]:
        return self

    async def __anext__(self) -> Response:
        try:
            return await anext(self._answers)
        except grpc.RpcError as failure:
            error = from_call(failure)
        except asyncio.CancelledError as cancellation:
            error = _closed(cancellation)
        raise error

    async def messages(self, resume: Resume) -> AsyncGenerator[Response, None]:
        """Yields the answers until the stream ends.

        Raises:
            Unavailable: it has been silent for too long.
        """
        try:
            while True:
                patience = resume.patience()
                try:
                    async with asyncio.timeout(patience):
                        message = await anext(self)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise broken(f"nothing was heard for {patience:.0f} s") from None
                resume.heard()
                yield message
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Ends the stream; of one that has ended does nothing."""
        self._call.cancel()


def _closed(cancellation: asyncio.CancelledError) -> Canceled:
    """Returns the error for a call that was ended by its channel, as the sync client has it.

    Raises:
        CancelledError: the one given, where it is this task that is canceled.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise cancellation
    return Canceled()
