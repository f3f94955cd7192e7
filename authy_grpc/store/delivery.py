"""Owns how posts to webhooks are kept, and what became of them. Which go out now is in `lease.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Update, bindparam, false, func, literal, or_, select, update
from sqlmodel import col

from authy_grpc.domain.delivery import Delivery, DeliveryState
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import Moment
from authy_grpc.store.lease import OWN_LEASE
from authy_grpc.store.tables import DeliveryRow, WebhookRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.waiting import FAILED, FOREMOST, PENDING, first_left

_D, _W = table(DeliveryRow), table(WebhookRow)
_OTHER = _D.alias("other")


@dataclass(frozen=True, slots=True)
class Seen:
    """A leased post as it was a moment ago, without a lock.

    Attributes:
        failures: of the post.
        in_a_row: failures of its webhook.
    """

    webhook_id: str
    subject_id: str
    attempts: int
    failures: int
    in_a_row: int
    last_success_time: datetime | None


_SEEN = (
    select(
        _D.c.delivery_id,
        _D.c.webhook_id,
        _D.c.subject_id,
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


def seen(tx: Tx, delivery_ids: Sequence[str]) -> dict[str, Seen]:
    """Of some posts those that are leased and whose webhook is there, not locked."""
    rows = tx.connection().execute(_SEEN, {"delivery_ids": list(delivery_ids)})
    return {name: Seen(*rest) for name, *rest in rows}


def deliver(tx: Tx, delivery_id: str, attempt: int, status: int, millis: int) -> None:
    """Write that a post has arrived, where the lease is still the last one."""
    given = {"of_delivery_id": delivery_id, "of_attempt": attempt, "now": tx.now()}
    tx.connection().execute(_DELIVERED, {**given, "http_status": status, "duration_millis": millis})


def locked(tx: Tx, delivery_id: str, attempt: int) -> DeliveryRow | None:
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
    return tx.execute(statement).scalar()


def make_due(tx: Tx, webhook_id: str) -> None:
    """Have all that waits for its time be due at once, of a webhook."""
    now = tx.now()
    tx.connection().execute(_waiting(now, webhook_id).where(_D.c.due_time > now).values(due_time=now))


def begin_anew(tx: Tx, webhook_id: str) -> None:
    """Have all that waits be due at once, as if it had never failed: something else is behind the webhook."""
    now = tx.now()
    tried = _waiting(now, webhook_id).where(or_(_D.c.due_time > now, _D.c.failures > 0))
    tx.connection().execute(tried.values(due_time=now, failures=0))


def post_again(
    tx: Tx,
    webhook_id: str,
    *,
    delivery_id: str | None = None,
    failed_since: datetime | None = None,
) -> int:
    """Have posts go out anew, whatever became of them, but those that are on their way; answers how many.

    Args:
        tx: of the work, with the webhook locked.
        webhook_id: of which.
        delivery_id: the one.
        failed_since: all that were given up at this time or later.
    """
    now = tx.now()
    wanted = [_D.c.webhook_id == webhook_id, or_(_D.c.state != PENDING, _unleased(now))]
    if delivery_id is not None:
        wanted.append(_D.c.delivery_id == delivery_id)
    if failed_since is not None:
        wanted += [_D.c.state == FAILED, _D.c.last_attempt_time >= failed_since]
    connection = tx.connection()
    place = func.row_number().over(partition_by=_D.c.subject_id, order_by=_D.c.sequence)
    again = select(_D.c.sequence, place.label("place"), first_left().label("first")).where(*wanted)
    found = again.subquery("again")
    values = {"state": "PENDING", "failures": 0, "due_time": now, "lease_until": None}
    waits = or_(found.c.place > 1, func.coalesce(found.c.first < _D.c.sequence, false()))
    changed = update(_D).where(_D.c.sequence == found.c.sequence, *wanted)
    count = connection.execute(changed.values(waits=waits, **values)).rowcount
    if not count:
        return 0
    # What was the first of its subject may be behind one of these.
    behind = update(_D).where(_D.c.webhook_id == webhook_id, _D.c.state == PENDING, FOREMOST)
    if delivery_id is not None:
        own = select(_OTHER.c.subject_id).where(_OTHER.c.delivery_id == delivery_id).scalar_subquery()
        behind = behind.where(_D.c.sequence == first_left(literal(webhook_id), own, behind=1))
    else:
        behind = behind.where(_D.c.sequence > first_left())
    connection.execute(behind.values(waits=True))
    return count


def is_of(tx: Tx, webhook_id: str, delivery_id: str, event_id: str) -> bool:
    """Whether a post is of this event, to this webhook."""
    there = select(_D.c.sequence).where(
        _D.c.delivery_id == delivery_id, _D.c.webhook_id == webhook_id, _D.c.event_id == event_id
    )
    return tx.connection().execute(there).first() is not None


def listed(tx: Tx, webhook_id: str, before: int | None, limit: int) -> list[tuple[int, Delivery]]:
    """Posts to a webhook, newest event first, each with its place.

    Args:
        tx: of a read.
        webhook_id: which.
        before: the place to go on from; None for the newest.
        limit: at most so many.
    """
    statement = select(_D).where(_D.c.webhook_id == webhook_id)
    if before is not None:
        statement = statement.where(_D.c.sequence < before)
    rows = tx.connection().execute(statement.order_by(_D.c.sequence.desc()).limit(limit))
    return [(row.sequence, _delivery(row)) for row in rows]


def _waiting(now: datetime, webhook_id: str) -> Update:
    """Of each subject of a webhook the first post alone, since those behind have no time of their own."""
    return update(_D).where(_D.c.webhook_id == webhook_id, _D.c.state == PENDING, FOREMOST, _unleased(now))


def _unleased(now: datetime) -> ColumnElement[bool]:
    return or_(_D.c.lease_until.is_(None), _D.c.lease_until <= now)


def _delivery(row: Row[Any]) -> Delivery:
    state = DeliveryState(row.state)
    # One that waits for another has no time of its own.
    following = row.lease_until or (None if row.waits else row.due_time)
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
        next_attempt_time=following if state is DeliveryState.PENDING else None,
    )
