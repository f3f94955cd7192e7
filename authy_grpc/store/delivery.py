"""Owns how posts to webhooks are kept, and what became of them. Which go out now is in `lease.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, or_, select, update
from sqlmodel import Session, col

from authy_grpc.domain.delivery import Delivery, DeliveryState
from authy_grpc.store.columns import Moment
from authy_grpc.store.given import table
from authy_grpc.store.lease import OWN_LEASE, PENDING
from authy_grpc.store.tables import DeliveryRow, WebhookRow

_D, _W = table(DeliveryRow), table(WebhookRow)


@dataclass(frozen=True, slots=True)
class Seen:
    """A leased post as it was a moment ago, without a lock.

    Attributes:
        failures: of the post.
        in_a_row: failures of its webhook.
    """

    webhook_id: str
    attempts: int
    failures: int
    in_a_row: int
    last_success_time: datetime | None


_SEEN = (
    select(
        _D.c.delivery_id,
        _D.c.webhook_id,
        _D.c.attempts,
        _D.c.failures,
        _W.c.failures,
        _W.c.last_success_time,
    )
    .join(_W, _W.c.webhook_id == _D.c.webhook_id)
    .where(
        _D.c.delivery_id.in_(bindparam("delivery_ids", expanding=True)),
        _D.c.state == PENDING,
        _D.c.lease_until.is_not(None),
    )
)
_DELIVERED = (
    update(_D)
    .where(OWN_LEASE)
    .values(
        state="DELIVERED",
        lease_until=None,
        error="",
        http_status=bindparam("http_status"),
        duration_millis=bindparam("duration_millis"),
        last_attempt_time=bindparam("now", type_=Moment),
    )
)


def seen(session: Session, delivery_ids: Sequence[str]) -> dict[str, Seen]:
    """Of some posts those that are leased and whose webhook is there, not locked."""
    rows = session.connection().execute(_SEEN, {"delivery_ids": list(delivery_ids)})
    return {name: Seen(*rest) for name, *rest in rows}


def deliver(
    session: Session, now: datetime, delivery_id: str, attempt: int, status: int, millis: int
) -> None:
    """Write that a post has arrived, where the lease is still the last one."""
    given = {"of_delivery_id": delivery_id, "of_attempt": attempt, "now": now}
    session.connection().execute(_DELIVERED, {**given, "http_status": status, "duration_millis": millis})


def locked(session: Session, delivery_id: str, attempt: int) -> DeliveryRow | None:
    """A post as it is now, by its last lease; the webhook is locked before it. None where that is over."""
    statement = (
        select(DeliveryRow)
        .where(
            col(DeliveryRow.delivery_id) == delivery_id,
            col(DeliveryRow.attempts) == attempt,
            col(DeliveryRow.state) == DeliveryState.PENDING.value,
            col(DeliveryRow.lease_until).is_not(None),
        )
        .with_for_update()
    )
    return session.execute(statement).scalar()


def put_off(session: Session, now: datetime, row: DeliveryRow) -> None:
    """Have what waits behind a post be due no sooner: nobody has to look at it until then."""
    behind = update(_D).where(
        _D.c.webhook_id == row.webhook_id,
        _D.c.subject_id == row.subject_id,
        *_waits(now),
        _D.c.due_time < row.due_time,
    )
    session.connection().execute(behind.values(due_time=row.due_time))


def make_due(session: Session, now: datetime, webhook_id: str, subject_id: str | None = None) -> None:
    """Have all that waits be due at once, of a webhook or of one subject of it."""
    waiting = update(_D).where(_D.c.webhook_id == webhook_id, *_waits(now), _D.c.due_time > now)
    if subject_id is not None:
        waiting = waiting.where(_D.c.subject_id == subject_id)
    session.connection().execute(waiting.values(due_time=now))


def begin_anew(session: Session, now: datetime, webhook_id: str) -> None:
    """Have all that waits be due at once, as if it had never failed: something else is behind the webhook."""
    waiting = update(_D).where(_D.c.webhook_id == webhook_id, *_waits(now))
    session.connection().execute(waiting.values(due_time=now, failures=0))


def post_again(
    session: Session,
    now: datetime,
    webhook_id: str,
    *,
    delivery_id: str | None = None,
    failed_since: datetime | None = None,
) -> int:
    """Have posts go out anew, whatever became of them, but those that are on their way; answers how many.

    Args:
        session: of the work, with the webhook locked.
        now: the time.
        webhook_id: of which.
        delivery_id: the one.
        failed_since: all that were given up at this time or later.
    """
    wanted = update(_D).where(_D.c.webhook_id == webhook_id)
    if delivery_id is not None:
        wanted = wanted.where(_D.c.delivery_id == delivery_id)
    if failed_since is not None:
        wanted = wanted.where(_D.c.state == "FAILED", _D.c.last_attempt_time >= failed_since)
    values = {"state": "PENDING", "failures": 0, "due_time": now, "lease_until": None}
    wanted = wanted.where(or_(_D.c.state != PENDING, _unleased(now)))
    return session.connection().execute(wanted.values(values)).rowcount


def is_of(session: Session, webhook_id: str, delivery_id: str, event_id: str) -> bool:
    """Whether a post is of this event, to this webhook."""
    there = select(_D.c.sequence).where(
        _D.c.delivery_id == delivery_id, _D.c.webhook_id == webhook_id, _D.c.event_id == event_id
    )
    return session.connection().execute(there).first() is not None


def listed(session: Session, webhook_id: str, before: int | None, limit: int) -> list[tuple[int, Delivery]]:
    """Posts to a webhook, newest event first, each with its place.

    Args:
        session: of a read.
        webhook_id: which.
        before: the place to go on from; None for the newest.
        limit: at most so many.
    """
    statement = select(_D).where(_D.c.webhook_id == webhook_id)
    if before is not None:
        statement = statement.where(_D.c.sequence < before)
    rows = session.connection().execute(statement.order_by(_D.c.sequence.desc()).limit(limit))
    return [(row.sequence, _delivery(row)) for row in rows]


def _waits(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return _D.c.state == PENDING, _unleased(now)


def _unleased(now: datetime) -> ColumnElement[bool]:
    return or_(_D.c.lease_until.is_(None), _D.c.lease_until <= now)


def _delivery(row: Row[Any]) -> Delivery:
    state = DeliveryState(row.state)
    return Delivery(
        delivery_id=row.delivery_id,
        event_id=row.event_id,
        event_type=row.event_type,
        state=state,
        attempts=row.attempts,
        http_status=row.http_status,
        error=row.error,
        duration=timedelta(milliseconds=row.duration_millis),
        last_attempt_time=row.last_attempt_time,
        next_attempt_time=(row.lease_until or row.due_time) if state is DeliveryState.PENDING else None,
    )
