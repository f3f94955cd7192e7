"""Reads the message of a call under a deadline, and limits for how many unknown callers it waits."""

import asyncio
from contextlib import ExitStack
from datetime import timedelta

from google.protobuf.message import Message

from authy_grpc.domain.errors import RateLimited, RequestTimeout
from authy_grpc.domain.places import Places
from authy_grpc.rpc.call import Call
from authy_grpc.rpc.peer import AddressOf, by_socket
from authy_grpc.service.caller import Nobody

# Calls without a credential whose message has not come: in all, and from one network.
_WAITING, _WAITING_FROM_ONE = 100, 20
_TRY_AGAIN = timedelta(seconds=1)
# How long such a call waits before it takes one of these places.
_SOON_SECONDS = 0.1


class Receive:
    """Waits for the request, behind auth: a stranger's bytes are never waited for long.

    Args:
        timeout: how long a message may take.
        address: of who calls, where nobody has to be known.
    """

    def __init__(self, *, timeout: timedelta = timedelta(seconds=10), address: AddressOf = by_socket) -> None:
        self._address = address
        self._seconds = timeout.total_seconds()
        self._places = Places(_WAITING, _WAITING_FROM_ONE, _refusal)
        # The calls whose message has not come, and when each has waited long enough: the oldest first.
        self._waiting: dict[Call, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, call: Call) -> Message:
        """The request.

        Raises:
            RequestTimeout: it has not come in time.
            RateLimited: too many wait, and whoever made this call has most of them.
            BadField: there is none, or it is not one of this method.
        """
        known = call.caller
        if known is not None and not isinstance(known, Nobody):
            return await self._request(call)
        address = self._address(call.context) if known is None else known.peer
        with ExitStack() as held:

            def take_a_place() -> None:
                try:
                    held.enter_context(self._places.hold(address, lambda: call.stop_waiting(_refusal())))
                except RateLimited as refusal:
                    call.stop_waiting(refusal)

            # Not at once: of honest ones many may come at one moment, whose messages are here already.
            timer = asyncio.get_running_loop().call_later(_SOON_SECONDS, take_a_place)
            held.callback(timer.cancel)
            return await self._request(call)

    async def _request(self, call: Call) -> Message:
        loop = asyncio.get_running_loop()
        self._waiting[call] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._sweep)
        try:
            return await call.receive()
        finally:
            del self._waiting[call]

    def _sweep(self) -> None:
        """End the calls that have waited long enough: one timer for all."""
        loop = asyncio.get_running_loop()
        self._timer, now = None, loop.time()
        for call, due in self._waiting.items():
            if due > now:
                self._timer = loop.call_at(due, self._sweep)
                return
            call.stop_waiting(RequestTimeout())


def _refusal() -> RateLimited:
    return RateLimited(_TRY_AGAIN)
