"""Owns messages that are only printed: for development."""

from typing import TextIO

from authy_grpc.outbound.sms.sender import Message


class ConsoleSender:
    """Prints each message.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def send(self, message: Message) -> None:
        """Print one."""
        self._stream.write(f"{message.channel.value} to {message.number}: {message.body}\n")
        self._stream.flush()
