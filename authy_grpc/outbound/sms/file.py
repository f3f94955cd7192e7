"""Writes messages to a file, for tests and demonstrations."""

import asyncio
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from authy_grpc.outbound.sms.sender import Message, Unreachable

_OWNER_ONLY = 0o600


class FileSender:
    """Appends each message as a JSON line `{"to","body","time"}` to a file that its owner alone may read.

    Args:
        path: of the file; made with the first message.
        clock: the time.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock

    async def send(self, message: Message) -> None:
        """Write one.

        Raises:
            Unreachable: the file cannot be written.
        """
        entry = {"to": message.number, "body": message.body, "time": self._clock().isoformat()}
        try:
            await asyncio.to_thread(self._append, json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise Unreachable from error

    def _append(self, line: bytes) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            os.fchmod(file, _OWNER_ONLY)
            os.write(file, line)
        finally:
            os.close(file)
