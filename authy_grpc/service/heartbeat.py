"""Times heartbeats: how long a stream stays quiet before it says something, so that no proxy cuts it."""

from collections.abc import Callable
from datetime import timedelta

# The contract promises a sign of life every 25 s: the rest is for the way. Proxies cut after 50 s and more.
HEARTBEAT = timedelta(seconds=24)
_JITTER = 0.1


class Heartbeat:
    """Pauses of at most `longest`, a tenth less at random: those who came at once must not speak at once.

    Args:
        random: source of random bytes.
        longest: how long a stream is quiet at most.
    """

    def __init__(self, random: Callable[[int], bytes], longest: timedelta = HEARTBEAT) -> None:
        self._random = random
        self._longest = longest.total_seconds()

    def pause(self) -> float:
        """Returns seconds until the next heartbeat is due."""
        share = int.from_bytes(self._random(2)) / 0xFFFF
        return self._longest * (1 - _JITTER * share)
