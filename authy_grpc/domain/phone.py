"""Proofs of a phone number: what a code is for, how long it is good, how often it may be guessed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

GOOD_FOR = timedelta(minutes=5)
GUESSES = 5
# From when a code was used: the same call again answers the same.
ANSWERED_FOR = timedelta(minutes=10)


class PhonePurpose(StrEnum):
    """What the code may be used for."""

    REGISTER_DEVICE = "REGISTER_DEVICE"
    CHANGE_NUMBER = "CHANGE_NUMBER"


class PhoneChannel(StrEnum):
    """How a message reaches the phone."""

    SMS = "SMS"
    VOICE = "VOICE"


@dataclass(frozen=True, slots=True)
class PhoneVerification:
    """A code on its way.

    Attributes:
        expire_time: until when it is good.
        retry_delay: how long to wait before another.
    """

    verification_id: str
    expire_time: datetime
    retry_delay: timedelta


_BODIES = {
    PhonePurpose.REGISTER_DEVICE: "{code} is your code to add an authenticator for this number.",
    PhonePurpose.CHANGE_NUMBER: "{code} is your code to move your authenticator account to this number.",
}


def body(purpose: PhonePurpose, channel: PhoneChannel, code: str, host: str) -> str:
    """Writes the message that brings a code: it says what the code is for, and nothing of an account.

    Args:
        purpose: what it is for.
        channel: how it goes. A text ends in the line by which browsers offer the code to pages of `host`
            and to no others (WICG, origin-bound one-time codes).
        code: its digits.
        host: where the authenticator is, without a port.
    """
    sentence = f"{_BODIES[purpose].format(code=code)} Enter it there alone, and share it with nobody."
    return f"{sentence}\n\n@{host} #{code}" if channel is PhoneChannel.SMS else sentence


def may_guess(failures: int, expire_time: datetime, now: datetime) -> bool:
    """Returns whether a code that was not used yet may still be tried."""
    return failures < GUESSES and now < expire_time
