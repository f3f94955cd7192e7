"""Writes log lines to a stream, and drops those that cannot be written: logging fails no call."""

import os
import select
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TextIO

# A pipe that polls as writable takes this much without blocking (PIPE_BUF).
_CHUNK = 4096
# How long a line waits for a reader that is slow, and how soon after such a wait the next line may wait.
_PATIENCE_SECONDS, _AGAIN_SECONDS = 0.1, 2.0


class LogStream:
    """What structlog writes lines to.

    A reader may go away (a pipe's end, journald that restarts), stall (a pager, a container's driver), or its
    disk may be full: the line is dropped and counted, and the caller goes on.

    Args:
        stream: such as `sys.stderr`; None, as Python has it where a descriptor was closed, drops all.
        dropped: called for each line that was not written, or not as a whole.
    """

    def __init__(self, stream: TextIO | None, dropped: Callable[[], object]) -> None:
        self._stream = stream
        self._dropped = dropped
        self._descriptor = _descriptor(stream)
        self._poll = select.poll()
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLOUT)
        self._waits_again = 0.0
        # Whether the line before was cut: the next begins on a line of its own.
        self._cut = False

    def write(self, text: str) -> None:
        """Write a line that has its end; never raises for what the stream does."""
        try:
            if self._descriptor is not None:
                self._send(self._descriptor, text.encode(errors="backslashreplace"))
            elif self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
            else:
                self._dropped()
        except (OSError, ValueError):
            # ValueError: the stream was closed.
            self._dropped()

    def flush(self) -> None:
        """Each line is written at once."""

    def _send(self, descriptor: int, line: bytes) -> None:
        if self._cut:
            line = b"\n" + line
        sent = 0
        while sent < len(line):
            if not self._writable():
                raise BlockingIOError
            sent += os.write(descriptor, line[sent : sent + _CHUNK])
            self._cut = sent < len(line)

    def _writable(self) -> bool:
        if self._poll.poll(0):
            return True
        if (now := monotonic()) < self._waits_again:
            return False
        writable = bool(self._poll.poll(_PATIENCE_SECONDS * 1000))
        self._waits_again = now + _AGAIN_SECONDS
        return writable


def _descriptor(stream: TextIO | None) -> int | None:
    # Streams in memory have none.
    with suppress(OSError, ValueError, AttributeError):
        return stream.fileno() if stream is not None else None
    return None
