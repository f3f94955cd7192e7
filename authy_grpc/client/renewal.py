"""Reads certificate files anew when they change, and keeps what it had where the new ones are bad."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from authy_grpc.client.certificates import CertificateError

T = TypeVar("T")
Clock = Callable[[], float]
# A change is noticed by who looks after this time.
LOOK_SECONDS = 1.0


class Renewal(Generic[T]):
    """What was read of some files. Good for many threads.

    Args:
        paths: of the files.
        read: reads them all.
        log: takes a line when they were read anew, and when they could not be used.
        clock: seconds that only rise.

    Raises:
        CertificateError: they cannot be used from the beginning.
    """

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], T], *, log: Any = None, clock: Clock = time.monotonic
    ) -> None:
        self._paths = paths
        self._read = read
        self.log = log
        self._clock = clock
        self._lock = Lock()
        self._looked = clock()
        self._seen = self._stamps()
        self._value = read()

    def look(self) -> T:
        """Returns what the files hold, read at most some seconds ago or unchanged since."""
        with self._lock:
            now = self._clock()
            if now - self._looked >= LOOK_SECONDS:
                self._looked = now
                if self._stamps() != self._seen:
                    self._renew()
            return self._value

    def renew(self) -> T:
        """Returns what the files hold now."""
        with self._lock:
            self._looked = self._clock()
            self._renew()
            return self._value

    def _renew(self) -> None:
        # Taken before the files are read: what changes meanwhile is read again.
        self._seen = self._stamps()
        try:
            found = self._read()
        except CertificateError as error:
            self._say("warning", "certificates kept", reason=str(error))
        else:
            # Whoever holds the value sees by it that nothing has changed.
            self._value = self._value if found == self._value else found
            self._say("info", "certificates read", path=", ".join(map(str, self._paths)))

    def _say(self, level: str, event: str, **more: Any) -> None:
        if self.log is not None:
            getattr(self.log, level)(event, **more)

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
