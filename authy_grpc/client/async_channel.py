"""Owns what each call of the async client goes through: credential, deadline, retries, typed errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from authy_grpc.client.errors import AuthyError, from_call
from authy_grpc.client.retry import Metadata, Method, Policy

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Sleep = Callable[[float], Awaitable[object]]


class AsyncChannel:
    """What the generated stubs need of a `grpc.aio.Channel`.

    It wraps and is no interceptor: those lose cancellation and leak on streams. A call answers an
    awaitable, a stream an async iterator with `cancel`.
    """

    def __init__(self, inner: grpc.aio.Channel, policy: Policy, sleep: Sleep) -> None:
        self._inner = inner
        self._policy = policy
        self._sleep = sleep

    def unary_unary(self, path: str, **coding: Any) -> "AsyncUnaryCall[Message, Message]":
        """Returns what makes a call of one answer."""
        inner = self._inner.unary_unary(path, **coding)
        return AsyncUnaryCall(inner, Method.at(path), self._policy, self._sleep)

    def unary_stream(self, path: str, **coding: Any) -> "AsyncStreamCall[Message, Message]":
        """Returns what opens a stream of answers."""
        return AsyncStreamCall(self._inner.unary_stream(path, **coding), self._policy)


class AsyncUnaryCall(Generic[Request, Response]):
    """One method with one answer."""

    def __init__(
        self, inner: Callable[..., Awaitable[Response]], method: Method, policy: Policy, sleep: Sleep
    ) -> None:
        self._inner = inner
        self._method = method
        self._policy = policy
        self._sleep = sleep

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
        """
        request = self._method.fill(request, self._policy.random)
        sent = self._policy.metadata(metadata)
        attempts = self._policy.attempts(self._method, timeout)
        while True:
            try:
                return await self._inner(request, timeout=attempts.remaining(), metadata=sent, **more)
            except grpc.RpcError as failure:
                error = from_call(failure)
            except asyncio.CancelledError as cancellation:
                error = _closed(cancellation)
            await self._sleep(attempts.wait(error))


class AsyncStreamCall(Generic[Request, Response]):
    """One method that answers with a stream. It is never tried again by itself: see `watch_*`."""

    def __init__(self, inner: Callable[..., Any], policy: Policy) -> None:
        self._inner = inner
        self._policy = policy

    def __call__(
        self, request: Request, timeout: float | None = None, metadata: Metadata | None = None, **more: Any
    ) -> "AsyncStream[Response]":
        """Opens the stream. `timeout`, in seconds, is for the whole of it; none where None."""
        call = self._inner(request, timeout=timeout, metadata=self._policy.metadata(metadata), **more)
        return AsyncStream(call)


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
            error: AuthyError = from_call(failure)
        except asyncio.CancelledError as cancellation:
            error = _closed(cancellation)
        raise error

    def cancel(self) -> None:
        """Ends the stream; of one that has ended does nothing."""
        self._call.cancel()


def _closed(cancellation: asyncio.CancelledError) -> AuthyError:
    """Returns the error for a call that was ended by its channel, as the sync client has it.

    Raises:
        CancelledError: the one given, where it is this task that is canceled.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise cancellation
    return AuthyError(grpc.StatusCode.CANCELLED, message="the channel was closed, or the stream canceled")
