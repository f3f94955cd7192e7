# Made of async_watch.py by scripts/unasync.py: edit that one.
"""Watchers of the sync client: streams that resume by themselves, as plain iterators."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

from google.protobuf.message import Message

from authy_grpc.client.errors import AuthyError
from authy_grpc.client.sync_channel import Sleep, Stream
from authy_grpc.client.watch import EventAt, Resume, broken
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
    resume: Resume,
    sleep: Sleep,
    heartbeats: bool = False,
) -> Generator[Resource, None, None]:
    """Yields the states of one thing, each once, to the last one.

    Args:
        connect: opens the stream after a revision.
        read: what a message brings; of a heartbeat, a state without a revision.
        ended: the terminal states.
        revision: the last one that the caller has seen.
        resume: says when to connect again.
        sleep: waits that many seconds.
        heartbeats: yield those too.
    """
    resume.begin()
    while True:
        try:
            with closing(connect(revision).messages(resume)) as messages:
                for message in messages:
                    resource = read(message)
                    if heartbeats and not resource.revision:
                        yield resource
                    if resource.revision <= revision:
                        continue
                    revision = resource.revision
                    yield resource
                    if resource.state in ended:
                        return
            return
        except AuthyError as error:
            wait = resume.wait(error)
        sleep(wait)


def events(
    begin: Callable[[], str],
    connect: Callable[[str], Stream[WatchEventsResponse]],
    cursor: str,
    checkpoints: bool,
    resume: Resume,
    sleep: Sleep,
) -> Generator[EventAt, None, None]:
    """Yields the events of the feed after a cursor, each once, for ever.

    Args:
        begin: asks for a cursor, where there is none: without it a first connection that breaks before it
            has said anything would lose what happened meanwhile.
        connect: opens the stream after a cursor.
        cursor: of the last event that the caller has dealt with, or empty, or `earliest`.
        checkpoints: yield those too.
        resume: says when to connect again.
        sleep: waits that many seconds.
    """
    resume.begin()
    while True:
        try:
            if not cursor:
                cursor = begin()
                resume.heard()
            with closing(connect(cursor).messages(resume)) as messages:
                for message in messages:
                    cursor = message.cursor
                    if checkpoints or message.HasField("event"):
                        yield EventAt(message.event, cursor)
            raise broken("the feed ended")
        except AuthyError as error:
            wait = resume.wait(error)
        sleep(wait)
