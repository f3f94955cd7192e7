"""Decides how long works wait for others to share a transaction with: for those who called just before."""

QUIET_SECONDS = 0.002
# Of what the last group took: a wait that is in vain costs no more.
_LONGEST = 2


class Groups:
    """When a group is full enough to begin. Times are seconds of a clock that is never turned back.

    Who was answered calls again in a moment, and who waits behind a group is there already: as many are
    expected in the next. So a lone caller is never waited for.

    Args:
        most: works that a group has at most.
        quiet: seconds for which nobody has come: nobody is about to.
    """

    def __init__(self, most: int, *, quiet: float = QUIET_SECONDS) -> None:
        self._most = most
        self._quiet = quiet
        # How many are expected: as soon as they wait there is nothing else to wait for.
        self.expected = 1
        self._came = self._began = self._took = 0.0
        self._size = 0
        self._waits_since: float | None = None

    def came(self, now: float) -> None:
        """Note a work that was put in the queue."""
        self._came = now

    def pause(self, waiting: int, now: float) -> float:
        """Seconds to wait for more works than the ones that wait, unless all come before; 0: begin."""
        if waiting >= self.expected:
            return 0
        if self._waits_since is None:
            self._waits_since = now
        quiet = max(self._came, self._waits_since) + self._quiet
        longest = self._waits_since + _LONGEST * self._took
        return max(0.0, min(quiet, longest) - now)

    def begins(self, size: int, now: float) -> None:
        """Note that a group of so many begins."""
        self._size, self._began, self._waits_since = size, now, None

    def ends(self, waiting: int, now: float) -> None:
        """Note that it was answered, and how many wait behind it."""
        self._took = now - self._began
        self.expected = max(1, min(self._most, self._size + waiting))
