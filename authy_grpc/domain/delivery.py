"""Decides when a post is tried again and when it is given up, and when a webhook is spared."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

SCHEDULE = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
    timedelta(hours=24),
    timedelta(hours=24),
)
JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(hours=1)
# At a time, for one webhook, over all gateways.
MOST_IN_FLIGHT = 10
# And for one site: a few whose receivers are slow do not hold all the room that there is.
MOST_OF_SITE = 100
BREAKS_AT = 5
PROBE_EVERY = timedelta(minutes=1)
GIVES_UP_AFTER = timedelta(days=5)
_GONE = 410


class DeliveryState(StrEnum):
    """What became of the post of one event to one webhook."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The post of one event to one webhook.

    Attributes:
        attempts: how often it was handed to a gateway.
        http_status: of the last attempt; 0 where no answer came, as for `error` and `duration`.
        next_attempt_time: None where there will be none.
    """

    delivery_id: str
    event_id: str
    event_type: str
    state: DeliveryState
    attempts: int
    http_status: int
    error: str
    duration: timedelta
    last_attempt_time: datetime | None
    next_attempt_time: datetime | None


@dataclass(frozen=True, slots=True)
class Health:
    """How a webhook's receiver does: its failures since the last success, which starts again with `Health()`.

    Attributes:
        failures: in a row.
        first_failure_time: of these.
        next_probe_time: before which nothing is posted; None while all that is due is.
    """

    failures: int = 0
    first_failure_time: datetime | None = None
    next_probe_time: datetime | None = None


def delivery_id(event_id: str, webhook_id: str) -> str:
    """Returns the name of the post of an event to a webhook: the event's, with the webhook's tail.

    Of the event's random part 60 bits stay; `tail` tells the webhooks of a site apart.
    """
    return f"dlv_{event_id[4:26]}{tail(webhook_id)}"


def tail(webhook_id: str) -> str:
    """Returns the part of a webhook's id that no other webhook of its site may have."""
    return webhook_id[26:]


def is_success(http_status: int) -> bool:
    """Returns whether an answer means that the post has arrived."""
    return 200 <= http_status < 300


def is_gone(http_status: int) -> bool:
    """Returns whether a receiver says that it wants no more posts, ever."""
    return http_status == _GONE


def retry_delay(failures: int, share: float, retry_after: timedelta | None) -> timedelta | None:
    """Returns how long to wait before the next attempt; None where the post is given up.

    Args:
        failures: attempts that have failed, this one included.
        share: a random number, 0 to 1, that settles the jitter of 20 %.
        retry_after: what the receiver asked for; honoured up to an hour.
    """
    if failures > len(SCHEDULE):
        return None
    delay = SCHEDULE[failures - 1] * (1 + JITTER * (2 * share - 1))
    return max(delay, _asked(retry_after))


def after_failure(health: Health, now: datetime, retry_after: timedelta | None = None) -> Health:
    """Counts a failure: from the fifth in a row on one post a minute probes whether the receiver is back.

    Args:
        health: before.
        now: when it was reported.
        retry_after: what the receiver asked for; a probe waits for it, up to an hour.
    """
    counted = replace(
        health, failures=health.failures + 1, first_failure_time=health.first_failure_time or now
    )
    if counted.failures < BREAKS_AT:
        return counted
    # What was in flight when it broke, and a probe, put nothing off: the time stands since they went out.
    probe = health.next_probe_time or now + PROBE_EVERY
    return replace(counted, next_probe_time=max(probe, now + _asked(retry_after)))


def is_dead(health: Health, now: datetime) -> bool:
    """Returns whether five days have gone by without a success."""
    return health.first_failure_time is not None and now - health.first_failure_time >= GIVES_UP_AFTER


def _asked(retry_after: timedelta | None) -> timedelta:
    return min(max(retry_after or timedelta(), timedelta()), LONGEST_RETRY_AFTER)
