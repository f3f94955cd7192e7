"""Owns the watchers of the sync client: streams that resume by themselves, as plain iterators."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

from google.protobuf.message import Message

from authy_grpc.client.errors import AuthyError
from authy_grpc.client.retry import Backoff
from authy_grpc.client.sync_channel import Sleep, Stream
from authy_grpc.client.watch import EventAt, passes
from authy_grpc.client.watchdog import Watchdog
from authy_grpc.v1.approval_pb2 import Approval
from authy_grpc.v1.enrollment_pb2 import Enrollment
from authy_grpc.v1.event_pb2 import WatchEventsResponse

Response = TypeVar("Response", bound=Message)
Resource = TypeVar("Resource", Enrollment, Approval)


def resources(
    connect: Callable[[int], Stream[Response]],
    read: Callable[[Response], Resource],
    ended: frozenset[int],
    revision: int,
    backoff: Backoff,
    sleep: Sleep,
) -> Generator[Resource, None, None]:
    """Yields the states of one thing, each once, to the last one.

    Args:
        connect: opens the stream after a revision.
        read: what a message brings.
        ended: the terminal states.
        revision: the last one that the caller has seen.
        backoff: the waits between connections.
        sleep: waits that many seconds.
    """
    while True:
        stream = connect(revision)
        try:
            for message in stream:
                backoff.reset()
                resource = read(message)
                if resource.revision <= revision:
                    continue
                revision = resource.revision
                yield resource
                if resource.state in ended:
                    return
            return
        except AuthyError as error:
            if not passes(error):
                raise
            wait = backoff.wait(error)
        finally:
            stream.cancel()
        sleep(wait)


def events(
    begin: Callable[[], str],
    connect: Callable[[str], Stream[WatchEventsResponse]],
    cursor: str,
    checkpoints: bool,
    silence: float,
    backoff: Backoff,
    sleep: Sleep,
) -> Generator[EventAt, None, None]:
    """Yields the events of the feed after a cursor, each once, for ever.

    Args:
        begin: asks for a cursor, where there is none: without it a first connection that breaks before it
            has said anything would lose what happened meanwhile.
        connect: opens the stream after a cursor.
        cursor: of the last event that the caller has dealt with, or empty, or `earliest`.
        checkpoints: yield those too.
        silence: seconds without a message after which the stream counts as broken.
        backoff: the waits between connections.
        sleep: waits that many seconds.
    """
    while True:
        broken: AuthyError | None = None
        try:
            cursor = cursor or begin()
            with closing(_heard(connect(cursor), silence)) as messages:
                for message in messages:
                    backoff.reset()
                    cursor = message.cursor
                    if checkpoints or message.HasField("event"):
                        yield EventAt(message.event, cursor)
        except AuthyError as error:
            if not passes(error):
                raise
            broken = error
        sleep(backoff.wait(broken))


def _heard(stream: Stream[Response], silence: float) -> Generator[Response, None, None]:
    """Yields the messages until the stream ends, or has been silent for too long."""
    try:
        with Watchdog(silence, stream.cancel) as watchdog:
            while True:
                try:
                    message = watchdog.watch(stream.__next__)
                except StopIteration:
                    return
                except AuthyError:
                    if watchdog.barked:
                        return
                    raise
                yield message
    finally:
        stream.cancel()
