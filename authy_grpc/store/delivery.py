"""Keeps posts to webhooks, and what became of them. Which go out now is in `lease.py`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    String,
    and_,
    bindparam,
    false,
    func,
    or_,
    select,
    update,
)

from authy_grpc.domain.delivery import Delivery, DeliveryState
from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.columns import Moment
from authy_grpc.store.lease import OWN_LEASE
from authy_grpc.store.statements import Statement, Updated, statement
from authy_grpc.store.tables import DeliveryRow, WebhookRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.waiting import FAILED, FOREMOST, PENDING, first_left

_D, _W = table(DeliveryRow), table(WebhookRow)
_OTHER = _D.alias("other")
_NOW = bindparam("now", type_=Moment)
_WEBHOOK_ID = bindparam("of_webhook_id", type_=String)
_OF_WEBHOOK = _D.c.webhook_id == _WEBHOOK_ID
_UNLEASED = or_(_D.c.lease_until.is_(None), _D.c.lease_until <= _NOW)
# Behind all posts that there are.
_END = 2**63 - 1


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


@dataclass(frozen=True, slots=True)
class Leased:
    """A post that somebody works on, locked."""

    delivery_id: str
    failures: int
    due_time: datetime


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a site sees of a post."""

    sequence: int
    delivery_id: str
    event_id: str
    event_type: str
    state: str
    attempts: int
    http_status: int
    error: str
    duration_millis: int
    last_attempt_time: datetime | None
    waits: bool
    due_time: datetime
    lease_until: datetime | None


_SEEN = Bulk(own=String).statement(
    lambda posts: (
        select(
            _D.c.delivery_id,
            _D.c.webhook_id,
            _D.c.subject_id,
            _D.c.attempts,
            _D.c.failures,
            _W.c.failures,
            _W.c.last_success_time,
        )
        .join(posts, posts.c.own == _D.c.delivery_id)
        .join(_W, _W.c.webhook_id == _D.c.webhook_id)
        .where(_D.c.state == PENDING, _D.c.lease_until.is_not(None))
    )
)
_DELIVERED = statement(
    update(_D)
    .where(OWN_LEASE)
    .values(
        state="DELIVERED",
        lease_until=None,
        error="",
        http_status=bindparam("http_status", type_=Integer),
        duration_millis=bindparam("duration_millis", type_=BigInteger),
        last_attempt_time=_NOW,
    )
)
_LOCK = Statement(
    Leased, select(*[_D.c[each.name] for each in fields(Leased)]).where(OWN_LEASE).with_for_update()
)
_FAILED = Updated(_D, "delivery_id")
# Of each subject the first post alone, since those behind have no time of their own.
_WAITING = update(_D).where(_OF_WEBHOOK, _D.c.state == PENDING, FOREMOST, _UNLEASED).values(due_time=_NOW)
_MAKE_DUE = statement(_WAITING.where(_D.c.due_time > _NOW))
_BEGIN_ANEW = statement(_WAITING.where(or_(_D.c.due_time > _NOW, _D.c.failures > 0)).values(failures=0))
_IS_OF = Statement(
    int,
    select(_D.c.sequence).where(
        _D.c.delivery_id == bindparam("delivery_id"), _OF_WEBHOOK, _D.c.event_id == bindparam("event_id")
    ),
)
_LISTED = Statement(
    _Shown,
    select(*[_D.c[each.name] for each in fields(_Shown)])
    .where(_OF_WEBHOOK, _D.c.sequence < bindparam("before"))
    .order_by(_D.c.sequence.desc())
    .limit(bindparam("limit", type_=Integer)),
)


class _Again:
    """Has posts go out anew, whatever became of them, but those that are on their way.

    Args:
        which: of a webhook's.
        behind: which wait then, since one that goes out anew was before them.
    """

    def __init__(self, which: ColumnElement[bool], behind: ColumnElement[bool]) -> None:
        wanted = [_OF_WEBHOOK, or_(_D.c.state != PENDING, _UNLEASED), which]
        place = func.row_number().over(partition_by=_D.c.subject_id, order_by=_D.c.sequence)
        again = select(_D.c.sequence, place.label("place"), first_left().label("first")).where(*wanted)
        found = again.subquery("again")
        waits = or_(found.c.place > 1, func.coalesce(found.c.first < _D.c.sequence, false()))
        self._change = Statement(
            int,
            update(_D)
            .where(_D.c.sequence == found.c.sequence, *wanted)
            .values(state="PENDING", failures=0, due_time=_NOW, lease_until=None, waits=waits)
            .returning(_D.c.sequence),
        )
        pending = update(_D).where(_OF_WEBHOOK, _D.c.state == PENDING, FOREMOST, behind)
        self._hold = statement(pending.values(waits=True))

    def run(self, tx: Tx, webhook_id: str, **given: object) -> int:
        """Do so; answers how many go out anew. The webhook is locked before."""
        count = len(self._change.all(tx, of_webhook_id=webhook_id, now=tx.now(), **given))
        if count:
            # What was the first of its subject may be behind one of these.
            self._hold.run(tx, of_webhook_id=webhook_id, **given)
        return count


_DELIVERY_ID = bindparam("of_delivery_id", type_=String)
_SUBJECT = select(_OTHER.c.subject_id).where(_OTHER.c.delivery_id == _DELIVERY_ID).scalar_subquery()
_ONE = _Again(_D.c.delivery_id == _DELIVERY_ID, _D.c.sequence == first_left(_WEBHOOK_ID, _SUBJECT, behind=1))
_FAILED_SINCE = _Again(
    and_(_D.c.state == FAILED, _D.c.last_attempt_time >= bindparam("since", type_=Moment)),
    _D.c.sequence > first_left(),
)


def seen(tx: Tx, delivery_ids: Sequence[str]) -> dict[str, Seen]:
    """Of some posts those that are leased and whose webhook is there, not locked."""
    return {name: Seen(*rest) for name, *rest in _SEEN.all(tx, [(each,) for each in delivery_ids])}


def deliver(tx: Tx, delivery_id: str, attempt: int, status: int, millis: int) -> None:
    """Write that a post has arrived, where the lease is still the last one."""
    given = {"of_delivery_id": delivery_id, "of_attempt": attempt, "now": tx.now()}
    _DELIVERED.run(tx, **given, http_status=status, duration_millis=millis)


def locked(tx: Tx, delivery_id: str, attempt: int) -> Leased | None:
    """A post as it is now, by its last lease; the webhook is locked before it. None where that is over."""
    return _LOCK.first(tx, of_delivery_id=delivery_id, of_attempt=attempt)


def fail(
    tx: Tx,
    post: Leased,
    *,
    state: DeliveryState,
    failures: int,
    due_time: datetime,
    http_status: int,
    error: str,
    duration_millis: int,
) -> None:
    """Write that a post has not arrived, and when it is tried again."""
    _FAILED.run(
        tx,
        post.delivery_id,
        state=state.value,
        failures=failures,
        due_time=due_time,
        lease_until=None,
        http_status=http_status,
        error=error,
        duration_millis=duration_millis,
        last_attempt_time=tx.now(),
    )


def make_due(tx: Tx, webhook_id: str) -> None:
    """Have all that waits for its time be due at once, of a webhook."""
    _MAKE_DUE.run(tx, of_webhook_id=webhook_id, now=tx.now())


def begin_anew(tx: Tx, webhook_id: str) -> None:
    """Have all that waits be due at once, as if it had never failed: something else is behind the webhook."""
    _BEGIN_ANEW.run(tx, of_webhook_id=webhook_id, now=tx.now())


def post_again(tx: Tx, webhook_id: str, delivery_id: str) -> int:
    """Have a post go out anew, unless it is on its way; answers how many. The webhook is locked before."""
    return _ONE.run(tx, webhook_id, of_delivery_id=delivery_id)


def post_failed_again(tx: Tx, webhook_id: str, since: datetime) -> int:
    """As `post_again`, all that were given up at a time or later."""
    return _FAILED_SINCE.run(tx, webhook_id, since=since)


def is_of(tx: Tx, webhook_id: str, delivery_id: str, event_id: str) -> bool:
    """Whether a post is of this event, to this webhook."""
    return _IS_OF.first(tx, of_webhook_id=webhook_id, delivery_id=delivery_id, event_id=event_id) is not None


def listed(tx: Tx, webhook_id: str, before: int | None, limit: int) -> list[tuple[int, Delivery]]:
    """Posts to a webhook, newest event first, each with its place.

    Args:
        tx: of a read.
        webhook_id: which.
        before: the place to go on from; None for the newest.
        limit: at most so many.
    """
    rows = _LISTED.all(tx, of_webhook_id=webhook_id, before=_END if before is None else before, limit=limit)
    return [(row.sequence, _delivery(row)) for row in rows]


def _delivery(row: _Shown) -> Delivery:
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
