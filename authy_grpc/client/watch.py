"""Resumes watched streams: which ends a watcher survives, for how long, and what it waits in between."""

import logging
from typing import NamedTuple

import grpc

from authy_grpc.client.errors import AuthyError, Canceled, Unavailable
from authy_grpc.client.retry import Policy
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
GIVE_UP_SECONDS, _LAST_SECONDS = 30.0, 1.0
# Of an address that is not the service's: another server, a login page, a firewall.
_WRONG_ADDRESS = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)
_MOST_SHOWN = 200
_log = logging.getLogger("authy_grpc.client")


class EventAt(NamedTuple):
    """An event of the feed, and where to go on from once it is dealt with.

    Attributes:
        event: without an `event_id` where this is a checkpoint.
        cursor: for `watch_events`, ListEvents or WatchEvents.
    """

    event: Event
    cursor: str


class Resume:
    """When a watcher connects again, and what ends it.

    A status with a reason is the service's own: UNAVAILABLE means to connect again, all else ends the
    watcher. One without a reason is of a proxy or the network, and says nothing of what is watched: the
    watcher goes on whatever its code, with a warning in the log `authy_grpc.client`. Until the service has
    answered once the address may be wrong: then it gives up after 30 s.

    Args:
        watcher: its name, for the log.
        policy: of the client.
        silence: seconds without a message after which a stream counts as broken.
    """

    def __init__(self, watcher: str, policy: Policy, silence: float) -> None:
        self._watcher = watcher
        self._silence = silence
        self._clock = policy.clock
        self._backoff = policy.backoff()
        self._begin = 0.0
        self._waited = 0.0
        self._answered = False

    def begin(self) -> None:
        """The first connection is made now."""
        self._begin = self._clock()

    def heard(self) -> None:
        """The service has answered: waits begin with the shortest again."""
        self._answered = True
        self._backoff.reset()

    def patience(self) -> float:
        """Returns the seconds that the next message may take."""
        return self._silence if self._answered else min(self._silence, max(self._left(), _LAST_SECONDS))

    def wait(self, error: AuthyError) -> float:
        """Returns the seconds until the next connection.

        Raises:
            AuthyError: the one given, where the watcher ends with it.
        """
        if isinstance(error, Canceled):
            raise error
        if error.reason:
            self._answered = True
            if error.code is not grpc.StatusCode.UNAVAILABLE:
                raise error
            return self._backoff.wait(error)
        if not self._answered and (error.code in _WRONG_ADDRESS or self._left() <= 0):
            raise error
        wait = self._backoff.wait(error)
        if not self._answered:
            wait = min(wait, self._left())
        self._waited += wait
        _log.warning(
            "%s: a stream ended on its way to the service (%s %a); connecting again in %.1f s",
            self._watcher,
            error.code.name,
            error.message[:_MOST_SHOWN],
            wait,
        )
        return wait

    def _left(self) -> float:
        return GIVE_UP_SECONDS - max(self._clock() - self._begin, self._waited)


def broken(why: str) -> Unavailable:
    """Returns the error for a stream that ended without a status of its own."""
    return Unavailable(grpc.StatusCode.UNAVAILABLE, message=why)
