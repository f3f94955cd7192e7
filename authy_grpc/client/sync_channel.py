"""What each call of the sync client goes through: credential, deadline, retries, typed errors."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from authy_grpc.client import greenlets
from authy_grpc.client.errors import AuthyError, Canceled, from_call
from authy_grpc.client.retry import Metadata, Method, Policy, capped
from authy_grpc.client.watch import Resume, broken
from authy_grpc.client.watchdog import Watchdog

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Sleep = Callable[[float], object]


class Channel:
    """What the generated stubs need of a `grpc.Channel`.

    It wraps and is no interceptor: those lose cancellation and leak on streams. Of a method of a stub,
    calling it is offered, and neither `with_call` nor `future`.

    Attributes:
        policy: what all calls have in common.
        sleep: waits that many seconds.
        closed: whether its owner has closed it.
    """

    def __init__(self, inner: grpc.Channel, policy: Policy, sleep: Sleep) -> None:
        greenlets.warn()
        self.policy = policy
        self.sleep = sleep
        self.closed = False
        self._inner = inner

    def unary_unary(self, path: str, **coding: Any) -> "UnaryCall[Message, Message]":
        """Returns what makes a call of one answer."""
        return UnaryCall(self._inner.unary_unary(path, **coding), Method.at(path), self)

    def unary_stream(self, path: str, **coding: Any) -> "StreamCall[Message, Message]":
        """Returns what opens a stream of answers."""
        return StreamCall(self._inner.unary_stream(path, **coding), self)

    def check(self) -> None:
        """Tells whether a call may begin.

        Raises:
            Canceled: the channel was closed.
        """
        if self.closed:
            raise Canceled

    def read(self, failure: grpc.RpcError) -> AuthyError:
        """Returns the typed error of a failed call: one that a closed channel has ended is its owner's."""
        return Canceled() if self.closed else from_call(failure)

    def close(self) -> None:
        """Ends the connection and all calls."""
        self.closed = True
        self._inner.close()


class UnaryCall(Generic[Request, Response]):
    """One method with one answer."""

    def __init__(self, inner: Callable[..., Response], method: Method, channel: Channel) -> None:
        self._inner = inner
        self._method = method
        self._channel = channel

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
        policy = self._channel.policy
        request = self._method.fill(request, policy.random)
        sent = policy.metadata(metadata)
        attempts = policy.attempts(self._method, timeout)
        while True:
            self._channel.check()
            try:
                return self._inner(request, timeout=attempts.remaining(), metadata=sent, **more)
            except grpc.RpcError as failure:
                error = self._channel.read(failure)
            self._channel.sleep(attempts.wait(error))


class StreamCall(Generic[Request, Response]):
    """One method that answers with a stream. It is never tried again by itself: see `watch_*`."""

    def __init__(self, inner: Callable[..., Any], channel: Channel) -> None:
        self._inner = inner
        self._channel = channel

    def __call__(
        self, request: Request, timeout: float | None = None, metadata: Metadata | None = None, **more: Any
    ) -> "Stream[Response]":
        """Opens the stream. `timeout`, in seconds, is for the whole of it; none where None."""
        self._channel.check()
        sent = self._channel.policy.metadata(metadata)
        timeout = None if timeout is None else capped(timeout)
        return Stream(self._inner(request, timeout=timeout, metadata=sent, **more), self._channel)


class Stream(Generic[Response]):
    """The answers of an open stream. Cancel it when done: a stream that is dropped stays open."""

    def __init__(self, call: Any, channel: Channel) -> None:
        self._call = call
        self._channel = channel
        self._canceled = False

    def __iter__(self) -> Iterator[Response]:
        return self

    def __next__(self) -> Response:
        try:
            answer: Response = next(self._call)
        except grpc.RpcError as failure:
            error = Canceled() if self._canceled else self._channel.read(failure)
        else:
            return answer
        raise error

    def messages(self, resume: Resume) -> Generator[Response, None, None]:
        """Yields the answers until the stream ends.

        Raises:
            Unavailable: it has been silent for too long.
        """
        try:
            with Watchdog(resume.patience, self.cancel) as watchdog:
                while True:
                    try:
                        message = watchdog.watch(self.__next__)
                    except StopIteration:
                        return
                    except AuthyError:
                        if watchdog.barked:
                            raise broken("nothing was heard for too long") from None
                        raise
                    resume.heard()
                    yield message
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Ends the stream; of one that has ended does nothing."""
        self._canceled = True
        self._call.cancel()
