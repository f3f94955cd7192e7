"""Events that threads of tests wait for, with an end: one that is never set fails its test."""

import threading

# Seconds: far beyond what anything waited for takes on a busy machine.
PATIENCE = 60.0


class Event(threading.Event):
    """An event whose `wait` ends."""

    def wait(self, timeout: float | None = None) -> bool:
        """As that of `threading.Event`.

        Raises:
            TimeoutError: no timeout is given, and it was not set for `PATIENCE`.
        """
        if super().wait(PATIENCE if timeout is None else timeout):
            return True
        if timeout is None:
            raise TimeoutError("nobody set this event")
        return False
