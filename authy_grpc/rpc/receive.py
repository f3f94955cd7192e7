"""Reads the message of a call under a deadline, and limits for how many unknown callers it waits."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from authy_grpc.domain.errors import RateLimited
from authy_grpc.domain.places import Places
from authy_grpc.rpc.adapter import Call
from authy_grpc.rpc.peer import AddressOf, by_socket
from authy_grpc.service.caller import Nobody

# Calls without a credential whose message has not come: in all, and from one network.
_WAITING, _WAITING_FROM_ONE = 100, 20
_TRY_AGAIN = timedelta(seconds=1)


class Receive:
    """The concern that waits for the request, behind auth: a stranger's bytes are never waited for long.

    Args:
        timeout: how long a message may take.
        address: of who calls, where nobody has to be known.
    """

    def __init__(self, *, timeout: timedelta = timedelta(seconds=10), address: AddressOf = by_socket) -> None:
        self._address = address
        self._seconds = timeout.total_seconds()
        self._places = Places(_WAITING, _WAITING_FROM_ONE, lambda: RateLimited(_TRY_AGAIN))

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncIterator[None]:
        if call.caller is None or isinstance(call.caller, Nobody):
            with self._place(call):
                await call.receive(self._seconds)
        else:
            await call.receive(self._seconds)
        yield

    @contextmanager
    def _place(self, call: Call) -> Iterator[None]:
        known = call.caller
        address = known.peer if isinstance(known, Nobody) else self._address(call.context)
        with self._places.hold(address, lambda: call.stop_waiting(RateLimited(_TRY_AGAIN))):
            yield
