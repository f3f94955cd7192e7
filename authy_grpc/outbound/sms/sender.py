"""What every carrier is given, and how it says that a message did not go."""

from dataclasses import dataclass, field
from typing import Protocol

from authy_grpc.domain.phone import PhoneChannel


class Refused(Exception):
    """The carrier will not take this message, now or later."""


class Unreachable(Exception):
    """The carrier cannot be spoken to now, and has not got the message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One text message or call.

    Attributes:
        number: E.164.
        body: what it says.
        channel: how it goes.
    """

    number: str = field(repr=False)
    body: str = field(repr=False)
    channel: PhoneChannel = PhoneChannel.SMS


class Sender(Protocol):
    """Hands messages to a carrier."""

    async def send(self, message: Message) -> None:
        """Hand one over.

        Raises:
            Refused: it will never go.
            Unreachable: it did not go; it may go later.
        """
