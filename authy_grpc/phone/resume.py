"""Resumes a stream of the phone: which ends it survives, for how long, and what it waits in between."""

import asyncio
import logging
import secrets

import grpc

from authy_grpc.phone.errors import PhoneError

_GIVE_UP_SECONDS = 30.0
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 30.0
_MOST_SHOWN = 200
# Of an address that is not the service's.
_WRONG_ADDRESS = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)
_log = logging.getLogger("authy_grpc.phone")


class Resume:
    """When a stream is opened again, and what ends it: the rules of the client's watchers.

    UNAVAILABLE with a reason, such as of a server that stops, means to open it again. A status without a
    reason is of a proxy or the network, and says nothing of the inbox: the stream goes on whatever its code.
    Until the service has answered once the address may be wrong: then it gives up after 30 s.
    """

    def __init__(self) -> None:
        self._begin = asyncio.get_running_loop().time()
        self._doublings = 0
        self._answered = False

    def heard(self) -> None:
        """The service has answered: waits begin with the shortest again."""
        self._answered = True
        self._doublings = 0

    def wait(self, failure: PhoneError) -> float:
        """Returns the seconds until the stream is opened again.

        Raises:
            PhoneError: the one given, where the stream ends with it.
        """
        if failure.reason:
            self._answered = True
            if failure.code is not grpc.StatusCode.UNAVAILABLE:
                raise failure
            return self._next()
        left = self._begin + _GIVE_UP_SECONDS - asyncio.get_running_loop().time()
        if failure.code is None or (not self._answered and (failure.code in _WRONG_ADDRESS or left <= 0)):
            raise failure
        wait = self._next() if self._answered else min(self._next(), left)
        _log.warning(
            "a stream ended on its way to the service (%s %a); opening it again in %.1f s",
            failure.code.name,
            str(failure)[:_MOST_SHOWN],
            wait,
        )
        return wait

    def _next(self) -> float:
        wait: float = min(_FIRST_WAIT * 2**self._doublings, _LONGEST_WAIT)
        if wait < _LONGEST_WAIT:
            self._doublings += 1
        # Phones that were cut at once must not come back at once.
        return wait * (1 - secrets.randbelow(1000) / 2000)
