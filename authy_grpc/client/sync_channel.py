"""Owns what each call of the sync client goes through: credential, deadline, retries, typed errors."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from authy_grpc.client.errors import AuthyError, from_call
from authy_grpc.client.retry import Metadata, Method, Policy

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Sleep = Callable[[float], object]


class Channel:
    """What the generated stubs need of a `grpc.Channel`.

    It wraps and is no interceptor: those lose cancellation and leak on streams. Of a method of a stub,
    calling it is offered, and neither `with_call` nor `future`.
    """

    def __init__(self, inner: grpc.Channel, policy: Policy, sleep: Sleep) -> None:
        self._inner = inner
        self._policy = policy
        self._sleep = sleep

    def unary_unary(self, path: str, **coding: Any) -> "UnaryCall[Message, Message]":
        """Returns what makes a call of one answer."""
        return UnaryCall(self._inner.unary_unary(path, **coding), Method.at(path), self._policy, self._sleep)

    def unary_stream(self, path: str, **coding: Any) -> "StreamCall[Message, Message]":
        """Returns what opens a stream of answers."""
        return StreamCall(self._inner.unary_stream(path, **coding), self._policy)


class UnaryCall(Generic[Request, Response]):
    """One method with one answer."""

    def __init__(self, inner: Callable[..., Response], method: Method, policy: Policy, sleep: Sleep) -> None:
        self._inner = inner
        self._method = method
        self._policy = policy
        self._sleep = sleep

    def __call__(
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
                return self._inner(request, timeout=attempts.remaining(), metadata=sent, **more)
            except grpc.RpcError as failure:
                error = from_call(failure)
            self._sleep(attempts.wait(error))


class StreamCall(Generic[Request, Response]):
    """One method that answers with a stream. It is never tried again by itself: see `watch_*`."""

    def __init__(self, inner: Callable[..., Any], policy: Policy) -> None:
        self._inner = inner
        self._policy = policy

    def __call__(
        self, request: Request, timeout: float | None = None, metadata: Metadata | None = None, **more: Any
    ) -> "Stream[Response]":
        """Opens the stream. `timeout`, in seconds, is for the whole of it; none where None."""
        return Stream(self._inner(request, timeout=timeout, metadata=self._policy.metadata(metadata), **more))


class Stream(Generic[Response]):
    """The answers of an open stream. Cancel it when done: a stream that is dropped stays open."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Iterator[Response]:
        return self

    def __next__(self) -> Response:
        try:
            answer: Response = next(self._call)
        except grpc.RpcError as failure:
            error: AuthyError = from_call(failure)
        else:
            return answer
        raise error

    def cancel(self) -> None:
        """Ends the stream; of one that has ended does nothing."""
        self._call.cancel()
