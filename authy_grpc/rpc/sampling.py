"""Samples the log lines of strangers' refused calls and sums up the rest, so that a flood fills no disk."""

import asyncio
from collections import Counter
from collections.abc import Callable

_MOST = 20
_SECONDS = 1.0


class Sampling:
    """Lets so many lines through a second, and counts the others.

    Args:
        tell: takes a reason and a count, once a second, of what was not let through.
        most: how many are let through in a second.
        seconds: how long such a second is.
    """

    def __init__(
        self, tell: Callable[[str, int], None], *, most: int = _MOST, seconds: float = _SECONDS
    ) -> None:
        self._tell = tell
        self._most = most
        self._seconds = seconds
        self._let_through = 0
        self._held_back = Counter[str]()
        self._ends = 0.0

    def admits(self, reason: str) -> bool:
        """Whether a line is let through; where not, it is counted by its reason."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._ends and not self._held_back:
            self._ends, self._let_through = loop.time() + self._seconds, 0
        if self._let_through < self._most:
            self._let_through += 1
            return True
        if not self._held_back:
            loop.call_at(self._ends, self._sum_up)
        self._held_back[reason] += 1
        return False

    def _sum_up(self) -> None:
        found, self._held_back = self._held_back, Counter()
        for reason, count in found.items():
            self._tell(reason, count)
