"""Resumes streams of the core that something on the way has cut, so that a reader of SSE notices nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger

from authy_grpc.client.errors import from_call
from authy_grpc.client.retry import Backoff
from gateway.routes import Route

# Then the reader is told, and comes back by itself.
_GIVE_UP_SECONDS, _LONGEST_WAIT = 30.0, 5.0


class Resumed:
    """A stream of the core that is opened again where a proxy or the network has ended it.

    A status with a reason is the core's own, and ends it. So does whatever comes before the first message:
    its reader can still be told by an HTTP code.

    Args:
        begin: opens the stream for a request and the seconds that it may take.
        request: the first one; it is moved on with what is read.
        route: says what in a message is the position to go on from.
        seconds: that the whole may take; None: for ever.
        log: is warned each time.
        random: random bytes, for the jitter of waits.
    """

    def __init__(
        self,
        begin: Callable[[Any, float | None], Any],
        request: Any,
        route: Route,
        seconds: float | None,
        log: FilteringBoundLogger,
        random: Callable[[int], bytes],
    ) -> None:
        self._begin = begin
        self._request = request
        self._route = route
        self._log = log
        self._time = asyncio.get_running_loop().time
        self._until = None if seconds is None else self._time() + seconds
        self._heard = False
        self._cut: float | None = None
        self._backoff = Backoff(random, _LONGEST_WAIT)
        self._call = begin(request, seconds)

    async def initial_metadata(self) -> Any:
        """Waits until the stream is open."""
        return await self._call.initial_metadata()

    def cancel(self) -> None:
        """Ends the stream."""
        self._call.cancel()

    async def read(self) -> Any:
        """Returns the next message, or EOF.

        Raises:
            grpc.RpcError: the stream ends with an error.
        """
        while True:
            try:
                message = await self._call.read()
            except grpc.RpcError as error:
                await self._pause(error)
                self._call.cancel()
                self._call = self._begin(self._request, self._left())
                continue
            if message is not grpc.aio.EOF:
                self._move_on(message)
            return message

    def _move_on(self, message: Any) -> None:
        self._heard, self._cut = True, None
        self._backoff.reset()
        for name in self._route.position:
            message = getattr(message, name)
        # A heartbeat has no position.
        if self._route.position and message:
            setattr(self._request, self._route.resume, message)

    async def _pause(self, error: grpc.RpcError) -> None:
        """Waits for the next try.

        Raises:
            grpc.RpcError: the one given, where there is none.
        """
        failure, now = from_call(error), self._time()
        self._cut = now if self._cut is None else self._cut
        wait, left = self._backoff.wait(), self._left()
        late = now - self._cut > _GIVE_UP_SECONDS or (left is not None and left <= wait)
        if failure.reason or not self._heard or late:
            raise error
        self._log.warning("stream cut on its way", method=self._route.path, code=failure.code.name)
        await asyncio.sleep(wait)

    def _left(self) -> float | None:
        return None if self._until is None else self._until - self._time()
