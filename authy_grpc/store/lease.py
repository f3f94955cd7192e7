"""Owns which posts to webhooks may be leased now, and who has them.

The webhook's row is locked before its posts are leased or fail, so that two servers count right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, zip_longest
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlmodel import Session

from authy_grpc.domain.delivery import MOST_IN_FLIGHT, PROBE_EVERY
from authy_grpc.store.columns import Moment
from authy_grpc.store.given import table
from authy_grpc.store.rows import Selected
from authy_grpc.store.tables import DeliveryRow, WebhookRow

# So many webhooks have their turn at a time.
_WEBHOOKS = 100
_D, _W = table(DeliveryRow), table(WebhookRow)
_OTHER = _D.alias("other")
_NOW = bindparam("now", type_=Moment)
_LIMIT = bindparam("limit", type_=Integer)
# Written out, or the indexes of what is pending would not be used.
PENDING: ColumnElement[str] = literal_column("'PENDING'")


@dataclass(frozen=True, slots=True)
class Due:
    """A post that may be leased now.

    Attributes:
        attempts: leases before.
    """

    sequence: int
    delivery_id: str
    event_id: str
    attempts: int


def _free() -> ColumnElement[bool]:
    """Nobody works on it, it is the first of its subject that is left, and none behind it is on its way.

    Written as sub-queries of one row, which are looked up for each post: of EXISTS PostgreSQL makes joins
    that read all that waits.
    """
    same = select(_OTHER.c.sequence).where(
        _OTHER.c.webhook_id == _D.c.webhook_id, _OTHER.c.subject_id == _D.c.subject_id
    )
    first = same.where(_OTHER.c.state == PENDING).order_by(_OTHER.c.sequence).limit(1)
    on_its_way = same.where(_OTHER.c.lease_until > _NOW).limit(1)
    return and_(
        _D.c.state == PENDING,
        or_(_D.c.lease_until.is_(None), _D.c.lease_until <= _NOW),
        _D.c.sequence == first.correlate(_D).scalar_subquery(),
        on_its_way.correlate(_D).scalar_subquery().is_(None),
    )


_DUE = _D.c.due_time <= _NOW
_IN_FLIGHT = (
    select(func.count())
    .select_from(_OTHER)
    .where(_OTHER.c.webhook_id == _W.c.webhook_id, _OTHER.c.lease_until > _NOW)
    .correlate(_W)
    .scalar_subquery()
)
_OF_WEBHOOK = select(_D.c.sequence).where(_D.c.webhook_id == _W.c.webhook_id, _free()).correlate(_W)
# While it is spared, one post a minute goes out, due or not.
_HAS_WORK = and_(
    _W.c.state == "ENABLED",
    or_(
        and_(_W.c.next_probe_time.is_(None), _IN_FLIGHT < MOST_IN_FLIGHT, exists(_OF_WEBHOOK.where(_DUE))),
        and_(_W.c.next_probe_time.is_not(None), _W.c.next_probe_time <= _NOW, exists(_OF_WEBHOOK)),
    ),
)
_ANY_WORK = select(_W.c.webhook_id).where(_HAS_WORK).limit(1)
_WITH_WORK = (
    select(_W)
    .where(_HAS_WORK)
    .order_by(_W.c.turn_time, _W.c.webhook_id)
    .limit(_LIMIT)
    .with_for_update(skip_locked=True, of=_W)
)
_COUNTS = (
    select(_D.c.webhook_id, func.count())
    .where(
        _D.c.webhook_id.in_(bindparam("webhook_ids", expanding=True)),
        _D.c.lease_until > _NOW,
    )
    .group_by(_D.c.webhook_id)
)
_NEXT = (
    select(_D.c.sequence, _D.c.delivery_id, _D.c.event_id, _D.c.attempts)
    .where(_D.c.webhook_id == bindparam("webhook_id"), _free())
    .order_by(_D.c.due_time, _D.c.sequence)
    .limit(_LIMIT)
)
_NEXT_DUE, _NEXT_AT_ALL = Selected(Due, _NEXT.where(_DUE)), Selected(Due, _NEXT)
_SEQUENCES = _D.c.sequence.in_(bindparam("sequences", expanding=True))
_LEASE = (
    update(_D)
    .where(_SEQUENCES)
    .values(attempts=_D.c.attempts + 1, lease_until=bindparam("until", type_=Moment))
)
_DROP = delete(_D).where(_SEQUENCES)
_TURN = update(_W).where(_W.c.webhook_id.in_(bindparam("webhook_ids", expanding=True)))
_HAD_TURN = _TURN.values(turn_time=_NOW)
_PROBED = _TURN.values(next_probe_time=bindparam("next_probe", type_=Moment))
_HELD = select(_D.c.delivery_id, _D.c.attempts).where(
    _D.c.delivery_id.in_(bindparam("delivery_ids", expanding=True)),
    _D.c.state == PENDING,
    _D.c.lease_until > _NOW,
)
OWN_LEASE = and_(
    _D.c.delivery_id == bindparam("of_delivery_id"),
    _D.c.attempts == bindparam("of_attempt", type_=Integer),
    _D.c.state == PENDING,
    _D.c.lease_until.is_not(None),
)
_RELEASE = update(_D).where(OWN_LEASE).values(lease_until=None)


def any_due(session: Session, now: datetime) -> bool:
    """Whether there is anything to lease."""
    return session.connection().execute(_ANY_WORK, {"now": now}).first() is not None


def lease(session: Session, now: datetime, until: datetime, limit: int) -> list[tuple[Row[Any], Due]]:
    """Lease what is due, in turns: the first post of each webhook, then the second of each, and so on.

    Args:
        session: of the work.
        now: the time.
        until: when they fall due again.
        limit: at most so many.

    Returns:
        The row of the webhook, and the post as it was before.
    """
    connection = session.connection()
    given = {"now": now, "limit": min(limit, _WEBHOOKS)}
    webhooks = {row.webhook_id: row for row in connection.execute(_WITH_WORK, given)}
    # As they are now that all who might lease more are kept out.
    counts = _pairs(connection.execute(_COUNTS, {"now": now, "webhook_ids": list(webhooks)}))
    queues = [
        [(row, due) for due in _next(session, now, row, min(limit, MOST_IN_FLIGHT - counts.get(own, 0)))]
        for own, row in webhooks.items()
    ]
    taken = [each for each in chain.from_iterable(zip_longest(*queues)) if each is not None][:limit]
    if not taken:
        return []
    sequences, rows = [due.sequence for _, due in taken], [row for row, _ in taken]
    connection.execute(_LEASE, {"sequences": sequences, "until": until})
    connection.execute(_HAD_TURN, {"webhook_ids": list({row.webhook_id for row in rows}), "now": now})
    if spared := list({row.webhook_id for row in rows if row.next_probe_time is not None}):
        connection.execute(_PROBED, {"webhook_ids": spared, "next_probe": now + PROBE_EVERY})
    return taken


def _next(session: Session, now: datetime, webhook: Row[Any], limit: int) -> list[Due]:
    own = webhook.webhook_id
    if webhook.next_probe_time is not None:
        return _NEXT_AT_ALL.all(session, webhook_id=own, now=now, limit=1)
    return _NEXT_DUE.all(session, webhook_id=own, now=now, limit=limit) if limit > 0 else []


def drop(session: Session, sequences: Sequence[int]) -> None:
    """Remove posts whose events are kept no longer."""
    if sequences:
        session.connection().execute(_DROP, {"sequences": list(sequences)})


def held(session: Session, now: datetime, delivery_ids: Sequence[str]) -> dict[str, int]:
    """Of some leased posts those that are neither reported nor free by time, with the number of the lease."""
    given = {"now": now, "delivery_ids": list(delivery_ids)}
    return _pairs(session.connection().execute(_HELD, given))


def _pairs(rows: Iterable[Any]) -> dict[str, int]:
    return {row[0]: row[1] for row in rows}


def release(session: Session, leases: Sequence[tuple[str, int]]) -> None:
    """Give leases back that nobody works on: posts, and the numbers of their leases."""
    for delivery_id, attempt in leases:
        given = {"of_delivery_id": delivery_id, "of_attempt": attempt}
        session.connection().execute(_RELEASE, given)
