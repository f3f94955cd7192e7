"""Ends a wait that lasts too long: grpc's sync streams cannot be read with a time limit."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

Answer = TypeVar("Answer")
_SHORTEST_PAUSE = 0.01


class Watchdog:
    """Calls `bark` once when a watched wait has lasted too long.

    One thread for all waits, not one each. Time between them does not count: a slow reader is not silence.

    Args:
        limit: returns the seconds that a wait may last now.
        bark: ends the wait, from another thread.

    Attributes:
        barked: whether it has.
    """

    def __init__(self, limit: Callable[[], float], bark: Callable[[], object]) -> None:
        self.barked = False
        self._limit = limit
        self._bark = bark
        self._since: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="authy-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def watch(self, wait: Callable[[], Answer]) -> Answer:
        """Returns what `wait` does, watched meanwhile."""
        self._since = time.monotonic()
        try:
            return wait()
        finally:
            self._since = None

    def _watch(self) -> None:
        pause = self._limit()
        while not self._ended.wait(pause):
            since = self._since
            waited = 0.0 if since is None else time.monotonic() - since
            limit = self._limit()
            if since is not None and waited >= limit:
                self.barked = True
                self._bark()
                return
            pause = max(limit - waited, _SHORTEST_PAUSE)
