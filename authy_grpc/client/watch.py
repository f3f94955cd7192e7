"""Owns what watchers have in common: where they end, what they go on after, and the pairs of a feed."""

from typing import NamedTuple

import grpc

from authy_grpc.client.errors import AuthyError
from authy_grpc.v1 import approval_pb2, enrollment_pb2
from authy_grpc.v1.event_pb2 import Event

ENDED_ENROLLMENT = frozenset(
    {
        enrollment_pb2.ENROLLMENT_STATE_COMPLETED,
        enrollment_pb2.ENROLLMENT_STATE_REJECTED,
        enrollment_pb2.ENROLLMENT_STATE_EXPIRED,
        enrollment_pb2.ENROLLMENT_STATE_CANCELED,
    }
)
ENDED_APPROVAL = frozenset(
    {
        approval_pb2.APPROVAL_STATE_APPROVED,
        approval_pb2.APPROVAL_STATE_DENIED,
        approval_pb2.APPROVAL_STATE_EXPIRED,
        approval_pb2.APPROVAL_STATE_CANCELED,
    }
)
# A watched stream has no deadline: one that ran out is that of the call before it.
_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class EventAt(NamedTuple):
    """An event of the feed, and where to go on from once it is dealt with.

    Attributes:
        event: without an `event_id` where this is a checkpoint.
        cursor: for `watch_events`, ListEvents or WatchEvents.
    """

    event: Event
    cursor: str


def passes(error: AuthyError) -> bool:
    """Tells whether a watcher goes on after the error, by connecting again."""
    return error.code in _PASSING
