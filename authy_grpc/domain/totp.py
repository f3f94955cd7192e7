"""Soft tokens: RFC 4226 and RFC 6238 with HMAC-SHA-1, and which of them counts once."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from authy_grpc.domain.clock import WELL_BEYOND_NOW

_OTHERS_AHEAD = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Verdict(Enum):
    """What a code is worth."""

    ACCEPTED = auto()
    REPLAYED = auto()
    WRONG = auto()


@dataclass(frozen=True, slots=True)
class Seed:
    """A secret that makes codes.

    Attributes:
        key_id: the caller's name for it.
        secret: the HMAC key.
        last_step: the step of the last accepted code; below 0 where there was none.
    """

    key_id: str
    secret: bytes = field(repr=False)
    last_step: int


@dataclass(frozen=True, slots=True)
class Match:
    """What `evaluate` found.

    Attributes:
        verdict: what the code is worth.
        key_id: the seed that made the code; None where WRONG.
        step: the step it was made for, and the seed's new `last_step` where ACCEPTED; None where WRONG.
    """

    verdict: Verdict
    key_id: str | None
    step: int | None


_WRONG = Match(Verdict.WRONG, None, None)


def code(secret: bytes, step: int, digits: int) -> str:
    """Makes the code of one step (RFC 4226 section 5.3).

    Args:
        secret: the HMAC key.
        step: the counter, from 0 on.
        digits: 6 to 8.

    Returns:
        That many decimal digits, leading zeros kept.
    """
    return f"{_truncated(secret, step.to_bytes(8, 'big')) % 10**digits:0{digits}d}"


def step_at(now: datetime, period: int) -> int:
    """Tells the step of a moment (RFC 6238 section 4.2), in whole numbers throughout.

    Args:
        now: aware.
        period: seconds a step.

    Returns:
        How many whole periods have passed since 1970.
    """
    return (now - _EPOCH) // timedelta(seconds=period)


def without_future(last_step: int, now: datetime, period: int) -> int:
    """The last step used, or where that lies in the future, none.

    Args:
        last_step: as kept.
        now: aware; a minute is allowed for other servers' clocks, and a step for their clients'.
        period: seconds a step.
    """
    return last_step if last_step <= step_at(now + _OTHERS_AHEAD, period) + 1 else -1


def evaluate(seeds: Sequence[Seed], code: str, now: datetime, *, digits: int, period: int) -> Match:
    """Checks a code against the present step and one on each side (RFC 6238 section 5.2).

    The same digits are good once. They may belong to several steps or seeds by chance, so the *latest* step
    that they fit is the one used up: were it an earlier one, they would be good again for the later. And
    where they fit a step that is used up they are REPLAYED, though they fit a fresh one too. Either costs
    an honest user one code in a million or so. Each seed has its own `last_step`, so two devices whose
    clocks differ do not void each other's codes.

    Args:
        seeds: all that may have made the code.
        code: as `typed.normalize` leaves it.
        now: aware.
        digits: 6 to 8.
        period: seconds a step.

    Returns:
        The verdict, with the seed and the step to save as its `last_step` where it is ACCEPTED.
    """
    if len(code) != digits or not (code.isascii() and code.isdigit()):
        return _WRONG
    offered = code.encode("ascii")
    present = step_at(now, period)
    window = [(step, step.to_bytes(8, "big")) for step in range(max(present - 1, 0), present + 2)]
    modulus = 10**digits
    accepted = replayed = _WRONG
    latest = -1
    # A step beyond was used by a clock that ran ahead: it does not use up those of now.
    beyond = step_at(now + WELL_BEYOND_NOW, period)
    for seed in seeds:
        last_step = seed.last_step if seed.last_step <= beyond else -1
        for step, counter in window:
            expected = b"%0*d" % (digits, _truncated(seed.secret, counter) % modulus)
            if not hmac.compare_digest(expected, offered):
                continue
            if step <= last_step:
                replayed = Match(Verdict.REPLAYED, seed.key_id, step)
            elif step > latest:
                latest = step
                accepted = Match(Verdict.ACCEPTED, seed.key_id, step)
    return accepted if replayed is _WRONG else replayed


def _truncated(secret: bytes, counter: bytes) -> int:
    mac = hmac.digest(secret, counter, "sha1")
    offset = mac[19] & 15
    return int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
