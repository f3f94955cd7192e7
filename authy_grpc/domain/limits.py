"""Limits on guessing, sending and asking. The counts are kept by others, and come in as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from authy_grpc.domain.clock import lies_well_beyond
from authy_grpc.domain.errors import PushFrozen, RateLimited, UserLocked

# What time alone does not lift, as the contract writes it.
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

LOCK_FROM = 5
LOCK_FOREVER_FROM = 50
SHORTEST_LOCK = timedelta(seconds=30)
LONGEST_LOCK = timedelta(hours=1)

# What a question that came to nothing counts: refused by its user, or ended without an answer, which a site
# may bring about by itself (a login page that is loaded again asks anew).
DENIED_COUNTS, UNANSWERED_COUNTS = 2, 1
FREEZE_FROM = 6
SHORTEST_FREEZE = timedelta(minutes=15)
LONGEST_FREEZE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Guesses:
    """Wrong codes of one link since the last success, which starts again with `Guesses()`.

    Attributes:
        failures: wrong codes in a row.
        locked_until: when the next code is looked at; None where there was no lock.
    """

    failures: int = 0
    locked_until: datetime | None = None


def check_guesses(guesses: Guesses, now: datetime) -> None:
    """Asks whether a code may be looked at; to be asked before each one.

    Raises:
        UserLocked: not before `retry_after` has passed.
    """
    if _lies_ahead(guesses.locked_until, now):
        raise UserLocked(_wait(guesses.locked_until, now))


def after_wrong(guesses: Guesses, now: datetime) -> Guesses:
    """Counts a wrong code: from the 5th in a row it locks for 30 s, doubling to 1 h, at 50 for ever."""
    failures = guesses.failures + 1
    if failures >= LOCK_FOREVER_FROM:
        return Guesses(failures, FOREVER)
    if failures < LOCK_FROM:
        return Guesses(failures)
    return Guesses(failures, now + _doubled(SHORTEST_LOCK, failures - LOCK_FROM, LONGEST_LOCK))


def attempts_remaining(guesses: Guesses, now: datetime) -> int:
    """Returns how many wrong codes bring the next lock, the one that brings it included.

    0 while locked. Once a lock is over it is 1: each further wrong code locks again, for longer.
    """
    if _lies_ahead(guesses.locked_until, now):
        return 0
    return max(LOCK_FROM - guesses.failures, 1)


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `count` in any span of length `window`."""

    count: int
    window: timedelta


SEND_RULES = (
    Rule(1, timedelta(seconds=30)),
    Rule(3, timedelta(minutes=10)),
    Rule(10, timedelta(days=1)),
)
# Posts that a site asks for: tests, redeliveries, and changes of a webhook that have all be posted at once.
# Else it could have us post to somebody who does not want it as fast as it asks. Of a site over all its
# webhooks, since it may make new ones; of an address over all sites that have us post there.
POST_RULES = (Rule(10, timedelta(minutes=1)), Rule(100, timedelta(days=1)))
ADDRESS_RULES = (Rule(30, timedelta(minutes=1)), Rule(300, timedelta(days=1)))
# Webhooks that a site makes: a new one is posted to without the failures of those before, and events that a
# site brings about (enrollments, say) have no budget.
WEBHOOK_RULES = (Rule(200, timedelta(days=1)),)
# Wrong codes of one link that have the shape of backup codes, which count for no lock.
BACKUP_RULES = (Rule(20, timedelta(minutes=1)),)
# What the devices of one account change that the others are told of: names, labels, settings.
CHANGE_RULES = (Rule(30, timedelta(minutes=1)), Rule(200, timedelta(days=1)))
# Sessions of one device: each is good for an hour.
SESSION_RULES = (Rule(30, timedelta(minutes=1)), Rule(1000, timedelta(days=1)))
PEER_RULES = (Rule(30, timedelta(hours=1)),)
# Of an IPv6 /48, which is what a house or a rented machine may get.
NETWORK_RULES = (Rule(300, timedelta(hours=1)),)

# What cannot be a code and is sent as one: it is no guess, and costs the caller (a site, a device) alone.
SITE_NO_CODE = Rule(1000, timedelta(minutes=1))
DEVICE_NO_CODE = Rule(20, timedelta(minutes=1))


def retry_delay(times: Sequence[datetime], now: datetime, rules: Sequence[Rule]) -> timedelta:
    """Returns how long from `now` until every rule allows one more; zero where they do."""
    # What a clock that ran ahead has left would shut everybody out until that time.
    ordered = sorted(time for time in times if not lies_well_beyond(time, now))
    allowed = [ordered[-rule.count] + rule.window for rule in rules if len(ordered) >= rule.count]
    return max([now, *allowed]) - now


def spend(times: Sequence[datetime], now: datetime, rules: Sequence[Rule]) -> tuple[datetime, ...]:
    """Spends one of a budget.

    Args:
        times: when it was spent before.
        now: when it is spent.
        rules: all must allow it.

    Returns:
        What to keep in the place of `times`: `now` too, and none that no rule looks at any more.

    Raises:
        RateLimited: a rule forbids it until `retry_after` has passed.
    """
    delay = retry_delay(times, now, rules)
    if delay:
        raise RateLimited(delay)
    oldest = now - max(rule.window for rule in rules)
    return (*sorted(time for time in times if time > oldest and not lies_well_beyond(time, now)), now)


@dataclass(frozen=True, slots=True)
class PushGuard:
    """Questions to one link since the last success, which starts again with `PushGuard()`.

    Attributes:
        misses: what those that came to nothing count: 2 for a denial, 1 for one that nobody answered.
        frozen_until: when the next may be asked; None where there was no freeze.
    """

    misses: int = 0
    frozen_until: datetime | None = None


def check_push(guard: PushGuard, now: datetime) -> None:
    """Asks whether a question may be put.

    Raises:
        PushFrozen: not before `retry_after` has passed.
    """
    if _lies_ahead(guard.frozen_until, now):
        raise PushFrozen(_wait(guard.frozen_until, now))


def after_denial(guard: PushGuard, now: datetime) -> PushGuard:
    """Counts a question that was denied, as 2: see `_missed`."""
    return _missed(guard, now, DENIED_COUNTS)


def after_no_answer(guard: PushGuard, now: datetime) -> PushGuard:
    """Counts a question that expired, was replaced or was called off, as 1: see `_missed`."""
    return _missed(guard, now, UNANSWERED_COUNTS)


def after_fraud(guard: PushGuard) -> PushGuard:
    """Counts a question that its user reported as fraud: time does not lift this freeze."""
    return PushGuard(guard.misses + DENIED_COUNTS, FOREVER)


def _missed(guard: PushGuard, now: datetime, counts: int) -> PushGuard:
    """At 6 push is frozen for 15 min, and each question after that freezes it again.

    For twice as long at 8, 10 and so on, up to 24 h: what the contract counts begins anew with a success, not
    with the end of a freeze. A freeze is never shortened, since a question that was open when it began may
    end within it.
    """
    misses = guard.misses + counts
    if misses < FREEZE_FROM:
        return PushGuard(misses, guard.frozen_until)
    until = now + _doubled(SHORTEST_FREEZE, (misses - FREEZE_FROM) // DENIED_COUNTS, LONGEST_FREEZE)
    return PushGuard(misses, max(until, guard.frozen_until or until))


def _doubled(first: timedelta, times: int, longest: timedelta) -> timedelta:
    # The shift is bounded because a timedelta overflows, and counts have no end.
    return min(first * (1 << min(times, 16)), longest)


def _lies_ahead(until: datetime | None, now: datetime) -> bool:
    return until is not None and now < until


def _wait(until: datetime | None, now: datetime) -> timedelta | None:
    return None if until is None or until == FOREVER else until - now
