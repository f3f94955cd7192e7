"""Leases posts to webhooks: which may go now, and who has them.

The webhook's row is locked before its posts are leased or fail, so that two servers count right.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice, zip_longest
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from authy_grpc.domain.delivery import MOST_IN_FLIGHT, MOST_OF_SITE, PROBE_EVERY
from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.columns import Moment
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import DeliveryRow, WebhookRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.waiting import FOREMOST, PENDING, first_left, let_go
from authy_grpc.store.webhook import ROWS
from authy_grpc.store.webhook import Kept as Webhook

# So many webhooks have their turn at a time.
_WEBHOOKS = 100
_D, _W = table(DeliveryRow), table(WebhookRow)
_OTHER, _OWN = _D.alias("other"), _W.alias("own")
_NOW = bindparam("now", type_=Moment)
_LIMIT = bindparam("limit", type_=Integer)


@dataclass(frozen=True, slots=True)
class Due:
    """A post that may be leased now.

    Attributes:
        attempts: leases before.
    """

    sequence: int
    delivery_id: str
    event_id: str
    subject_id: str
    attempts: int


Leased = tuple[Webhook, Due]


def _free() -> ColumnElement[bool]:
    """Nobody works on it, it is the first of its subject that is left, and none behind it is on its way.

    Written as sub-queries of one row, which are looked up for each post: of EXISTS PostgreSQL makes joins
    that read all that waits. And as `<=` and `<`, of which it expects many to be so: of `=` and IS NULL it
    expects none, and then reads all for the first ten.
    """
    on_its_way = (
        select(_OTHER.c.sequence)
        .where(
            _OTHER.c.webhook_id == _D.c.webhook_id,
            _OTHER.c.subject_id == _D.c.subject_id,
            _OTHER.c.lease_until > _NOW,
        )
        .limit(1)
    )
    return and_(
        _D.c.state == PENDING,
        or_(_D.c.lease_until.is_(None), _D.c.lease_until <= _NOW),
        _D.c.sequence <= first_left(),
        func.coalesce(on_its_way.correlate(_D).scalar_subquery(), 0) < 1,
    )


_DUE = _D.c.due_time <= _NOW
_IN_FLIGHT = (
    select(func.count())
    .select_from(_OTHER)
    .where(_OTHER.c.webhook_id == _W.c.webhook_id, _OTHER.c.lease_until > _NOW)
    .correlate(_W)
    .scalar_subquery()
)
_OF_SITE_IN_FLIGHT = (
    select(func.count())
    .select_from(_OWN)
    .join(_OTHER, _OTHER.c.webhook_id == _OWN.c.webhook_id)
    .where(_OWN.c.application_id == _W.c.application_id, _OTHER.c.lease_until > _NOW)
    .correlate(_W)
    .scalar_subquery()
)
_OF_WEBHOOK = select(_D.c.sequence).where(_D.c.webhook_id == _W.c.webhook_id, FOREMOST, _free()).correlate(_W)


def _has(posts: Select[Any]) -> ColumnElement[bool]:
    """Whether there is one; of EXISTS under OR PostgreSQL makes a table of all that waits."""
    return posts.order_by(_D.c.due_time, _D.c.sequence).limit(1).scalar_subquery().is_not(None)


# While it is spared, one post a minute goes out, due or not.
_HAS_WORK = and_(
    _W.c.state == "ENABLED",
    or_(
        and_(_W.c.next_probe_time.is_(None), _IN_FLIGHT < MOST_IN_FLIGHT, _has(_OF_WEBHOOK.where(_DUE))),
        and_(_W.c.next_probe_time.is_not(None), _W.c.next_probe_time <= _NOW, _has(_OF_WEBHOOK)),
    ),
    # Last, since few have come so far.
    _OF_SITE_IN_FLIGHT < MOST_OF_SITE,
)
_ANY_WORK = select(_W.c.webhook_id).where(_HAS_WORK).limit(1)
_WITH_WORK = (
    ROWS.select.where(_HAS_WORK)
    .order_by(_W.c.turn_time, _W.c.webhook_id)
    .limit(_LIMIT)
    .with_for_update(skip_locked=True, of=_W)
)
_NEXT = (
    select(_D.c.sequence, _D.c.delivery_id, _D.c.event_id, _D.c.subject_id, _D.c.attempts)
    .where(_D.c.webhook_id == bindparam("webhook_id"), FOREMOST, _free())
    .order_by(_D.c.due_time, _D.c.sequence)
    .limit(_LIMIT)
)
_FIND_WORK, _LOCK_WORK = Statement(str, _ANY_WORK), Statement(Webhook, _WITH_WORK)
_NEXT_DUE, _NEXT_AT_ALL = Statement(Due, _NEXT.where(_DUE)), Statement(Due, _NEXT)
_IDS, _SEQUENCES = Bulk(own=String), Bulk(own=BigInteger)
_COUNTS = _IDS.statement(
    lambda webhooks: (
        select(_D.c.webhook_id, func.count())
        .join(webhooks, webhooks.c.own == _D.c.webhook_id)
        .where(_D.c.lease_until > _NOW)
        .group_by(_D.c.webhook_id)
    )
)
_COUNTS_OF_SITES = _IDS.statement(
    lambda sites: (
        select(_W.c.application_id, func.count())
        .join(sites, sites.c.own == _W.c.application_id)
        .join(_D, _D.c.webhook_id == _W.c.webhook_id)
        .where(_D.c.lease_until > _NOW)
        .group_by(_W.c.application_id)
    )
)
# Asked again: a late report may have ended one meanwhile.
_LEASE = _SEQUENCES.statement(
    lambda due: (
        update(_D)
        .where(_D.c.sequence == due.c.own, _D.c.state == PENDING)
        .values(attempts=_D.c.attempts + 1, lease_until=bindparam("until", type_=Moment))
        .returning(_D.c.sequence)
    )
)
_DROP = _SEQUENCES.statement(lambda gone: delete(_D).where(_D.c.sequence.in_(select(gone.c.own))))
_HAD_TURN = _IDS.statement(
    lambda webhooks: update(_W).where(_W.c.webhook_id == webhooks.c.own).values(turn_time=_NOW)
)
_PROBED = _IDS.statement(
    lambda webhooks: (
        update(_W)
        .where(_W.c.webhook_id == webhooks.c.own)
        .values(next_probe_time=bindparam("next_probe", type_=Moment))
    )
)
_HELD = _IDS.statement(
    lambda posts: (
        select(_D.c.delivery_id, _D.c.attempts)
        .join(posts, posts.c.own == _D.c.delivery_id)
        .where(_D.c.state == PENDING, _D.c.lease_until > _NOW)
    )
)
OWN_LEASE = and_(
    _D.c.delivery_id == bindparam("of_delivery_id"),
    _D.c.attempts == bindparam("of_attempt", type_=Integer),
    _D.c.state == PENDING,
    _D.c.lease_until.is_not(None),
)
_RELEASE = statement(update(_D).where(OWN_LEASE).values(lease_until=None))


def any_due(tx: Tx) -> bool:
    """Whether there is anything to lease."""
    return _FIND_WORK.first(tx, now=tx.now()) is not None


def lease(tx: Tx, until: datetime, limit: int) -> list[Leased]:
    """Lease what is due, in turns: the first post of each webhook, then the second of each, and so on.

    Args:
        tx: of the work.
        until: when they fall due again.
        limit: at most so many.

    Returns:
        The webhook, and the post as it was before.
    """
    now = tx.now()
    webhooks = _LOCK_WORK.all(tx, now=now, limit=min(limit, _WEBHOOKS))
    # As they are now that all who might lease more are kept out.
    counts = dict(_COUNTS.all(tx, [(each.webhook_id,) for each in webhooks], now=now))
    queues = [
        [(each, due) for due in _next(tx, each, min(limit, MOST_IN_FLIGHT - counts.get(each.webhook_id, 0)))]
        for each in webhooks
    ]
    in_turn = (each for each in chain.from_iterable(zip_longest(*queues)) if each is not None)
    taken = list(islice(_within_sites(tx, webhooks, in_turn), limit))
    if not taken:
        return []
    leased = {own for (own,) in _LEASE.all(tx, [(due.sequence,) for _, due in taken], until=until)}
    taken = [(webhook, due) for webhook, due in taken if due.sequence in leased]
    spared = {webhook.webhook_id: webhook.next_probe_time is not None for webhook, _ in taken}
    _HAD_TURN.run(tx, [(own,) for own in spared], now=now)
    _PROBED.run(tx, [(own,) for own, probes in spared.items() if probes], next_probe=now + PROBE_EVERY)
    return taken


def _within_sites(tx: Tx, webhooks: Iterable[Webhook], posts: Iterable[Leased]) -> Iterator[Leased]:
    """Those of some posts for which there is room: each site has its own."""
    sites = {each.application_id for each in webhooks}
    in_flight = Counter[str](dict(_COUNTS_OF_SITES.all(tx, [(each,) for each in sites], now=tx.now())))
    for webhook, due in posts:
        if in_flight[webhook.application_id] < MOST_OF_SITE:
            in_flight[webhook.application_id] += 1
            yield webhook, due


def _next(tx: Tx, webhook: Webhook, limit: int) -> list[Due]:
    now, own = tx.now(), webhook.webhook_id
    if webhook.next_probe_time is not None:
        return _NEXT_AT_ALL.all(tx, webhook_id=own, now=now, limit=1)
    return _NEXT_DUE.all(tx, webhook_id=own, now=now, limit=limit) if limit > 0 else []


def drop(tx: Tx, leased: Sequence[Leased]) -> None:
    """Remove posts whose events are kept no longer."""
    _DROP.run(tx, [(due.sequence,) for _, due in leased])
    let_go(tx, [(webhook.webhook_id, due.subject_id) for webhook, due in leased])


def held(tx: Tx, delivery_ids: Sequence[str]) -> dict[str, int]:
    """Of some leased posts those that are neither reported nor free by time, with the number of the lease."""
    return dict(_HELD.all(tx, [(each,) for each in delivery_ids], now=tx.now()))


def release(tx: Tx, leases: Sequence[tuple[str, int]]) -> None:
    """Give leases back that nobody works on: posts, and the numbers of their leases."""
    for delivery_id, attempt in leases:
        _RELEASE.run(tx, of_delivery_id=delivery_id, of_attempt=attempt)
