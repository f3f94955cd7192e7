"""Tells whether something is due for a step, and asks only when that may have changed since it did."""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime

# What another process has written without a signal is found as late as that.
_POLL_SECONDS = 5.0


class Due:
    """Knows when a step has something to do, as far as that can be known.

    Args:
        find: reads when something falls due next; None where nothing is known of.
        clock: the time.
        poll: seconds after which the step looks though nothing was heard.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[datetime | None]],
        clock: Callable[[], datetime],
        poll: float = _POLL_SECONDS,
    ) -> None:
        self._find = find
        self._clock = clock
        self._poll = poll
        self._next: datetime | None = None
        self._woken = True
        self._looked = 0.0

    def wake(self) -> None:
        """Say that something happened by which the next time may be another."""
        self._woken = True

    @property
    def is_unknown(self) -> bool:
        """Whether to ask if something is due: without a question it is known that nothing is."""
        return (
            self._woken
            or (self._next is not None and self._clock() >= self._next)
            or time.monotonic() >= self._looked + self._poll
        )

    async def has_come(self) -> bool:
        """Ask whether something is due. What happens from now on wakes the step again."""
        self._woken, self._looked = False, time.monotonic()
        try:
            self._next = await self._find()
        except BaseException:
            self._woken = True
            raise
        return self._next is not None and self._clock() >= self._next
