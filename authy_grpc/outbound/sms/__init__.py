"""Sends text messages and calls: one sender for each carrier, chosen by a URL."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TextIO

from authy_grpc.outbound.sms.console import ConsoleSender
from authy_grpc.outbound.sms.file import FileSender
from authy_grpc.outbound.sms.sender import Message, Refused, Sender


class NoSender:
    """Refuses all: the operator has named no carrier."""

    async def send(self, message: Message) -> None:
        """Refuse one.

        Raises:
            Refused: always.
        """
        raise Refused


def from_url(url: str, *, stream: TextIO | None, clock: Callable[[], datetime]) -> Sender:
    """The sender that a setting names.

    Args:
        url: `console:`, `file:PATH`, or empty for none. It may hold a password.
        stream: where `console:` prints.
        clock: the time.

    Raises:
        ValueError: it names none; the error does not repeat it.
    """
    scheme, _, rest = url.partition(":")
    match scheme:
        case "":
            return NoSender()
        case "console":
            return ConsoleSender(stream)
        case "file" if rest:
            return FileSender(Path(rest), clock)
        case _:
            raise ValueError("AUTHY_SMS_URL names no sender: use `console:` or `file:PATH`.")
