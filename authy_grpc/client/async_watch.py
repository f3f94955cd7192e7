"""Owns the watchers of the async client: streams that resume by themselves, as async iterators."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from google.protobuf.message import Message

from authy_grpc.client.async_channel import AsyncStream, Sleep
from authy_grpc.client.errors import AuthyError
from authy_grpc.client.retry import Backoff
from authy_grpc.client.watch import EventAt, passes
from authy_grpc.v1.approval_pb2 import Approval
from authy_grpc.v1.enrollment_pb2 import Enrollment
from authy_grpc.v1.event_pb2 import WatchEventsResponse

Response = TypeVar("Response", bound=Message)
Resource = TypeVar("Resource", Enrollment, Approval)


async def resources(
    connect: Callable[[int], AsyncStream[Response]],
    read: Callable[[Response], Resource],
    ended: frozenset[int],
    revision: int,
    backoff: Backoff,
    sleep: Sleep,
) -> AsyncGenerator[Resource, None]:
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
            async for message in stream:
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
        await sleep(wait)


async def events(
    begin: Callable[[], Awaitable[str]],
    connect: Callable[[str], AsyncStream[WatchEventsResponse]],
    cursor: str,
    checkpoints: bool,
    silence: float,
    backoff: Backoff,
    sleep: Sleep,
) -> AsyncGenerator[EventAt, None]:
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
            cursor = cursor or await begin()
            async with aclosing(_heard(connect(cursor), silence)) as messages:
                async for message in messages:
                    backoff.reset()
                    cursor = message.cursor
                    if checkpoints or message.HasField("event"):
                        yield EventAt(message.event, cursor)
        except AuthyError as error:
            if not passes(error):
                raise
            broken = error
        await sleep(backoff.wait(broken))


async def _heard(stream: AsyncStream[Response], silence: float) -> AsyncGenerator[Response, None]:
    """Yields the messages until the stream ends, or has been silent for too long."""
    try:
        while True:
            try:
                async with asyncio.timeout(silence):
                    message = await anext(stream)
            except (StopAsyncIteration, TimeoutError):
                return
            yield message
    finally:
        stream.cancel()
