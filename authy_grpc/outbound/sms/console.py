"""Prints text messages instead of sending them: for development."""

from typing import TextIO

from authy_grpc.log_stream import LogStream
from authy_grpc.outbound.sms.sender import Message, Unreachable


class ConsoleSender:
    """Prints each message.

    Args:
        stream: where to; None where the program has no output.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._dropped = False
        self._stream = LogStream(stream, self._drop)

    async def send(self, message: Message) -> None:
        """Print one.

        Raises:
            Unreachable: it cannot be printed: nobody reads, or the disk is full.
        """
        self._dropped = False
        self._stream.write(f"{message.channel.value} to {message.number}: {message.body}\n")
        if self._dropped:
            raise Unreachable

    def _drop(self) -> None:
        self._dropped = True
