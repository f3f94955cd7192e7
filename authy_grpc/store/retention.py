"""Removes rows that have served, in small steps, once their time is over."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    select,
    tuple_,
)

from authy_grpc.domain import approval, enrollment
from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.columns import Moment
from authy_grpc.store.position import Position, pruned, set_pruned
from authy_grpc.store.statements import Statement, among, statement
from authy_grpc.store.tables import (
    AccountRow,
    ActivityRow,
    AnswerRow,
    ApprovalRow,
    BudgetRow,
    DeliveryRow,
    DeviceRow,
    EnrollmentRow,
    EventRow,
    LinkRow,
    PhoneVerificationRow,
    SentCodeRow,
    SessionRow,
    WebhookRow,
)
from authy_grpc.store.tx import Tx

STEP = 500
_AT_ONCE = timedelta(0)
_ENDED = timedelta(days=7)
_EVENTS = timedelta(days=30)
_DELIVERIES = timedelta(days=30)
_DEVICES = timedelta(days=30)
_ACTIVITY = timedelta(days=90)

_BEFORE = bindparam("before", type_=Moment)
_ENROLLMENT, _APPROVAL, _SENT_CODE = table(EnrollmentRow), table(ApprovalRow), table(SentCodeRow)
_VERIFICATION, _SESSION, _ANSWER = table(PhoneVerificationRow), table(SessionRow), table(AnswerRow)
_BUDGET, _DELIVERY, _WEBHOOK = table(BudgetRow), table(DeliveryRow), table(WebhookRow)
_ACTIVITIES, _DEVICE, _ACCOUNT = table(ActivityRow), table(DeviceRow), table(AccountRow)
_LINK, _EVENT = table(LinkRow), table(EventRow)


class _Old(NamedTuple):
    """An event's place, and when it was recorded."""

    epoch: int
    xid: int
    sequence: int
    create_time: datetime


def _removes(rows: Table, *conditions: ColumnElement[bool]) -> Statement[tuple[Any, ...]]:
    key = rows.primary_key.columns
    some = select(*key).where(*conditions).limit(STEP)
    # Asked once more of each row as it is when it goes: it may have been renewed since it was found.
    removed = delete(rows).where(tuple_(*key).in_(some), *conditions)
    return statement(removed.returning(next(iter(key))))


def _gone_webhooks() -> Select[Any]:
    """Webhooks that are no more, and have posts left: from one to the next, the rows between are not read."""
    posts, others = _DELIVERY.alias(), _DELIVERY.alias()
    first = select(posts.c.webhook_id).order_by(posts.c.webhook_id).limit(1)
    known = select(first.scalar_subquery().label("webhook_id")).cte("known", recursive=True)
    following = (
        select(others.c.webhook_id)
        .where(others.c.webhook_id > known.c.webhook_id)
        .order_by(others.c.webhook_id)
        .limit(1)
        .correlate(known)
    )
    known = known.union_all(select(following.scalar_subquery()).where(known.c.webhook_id.is_not(None)))
    there = exists().where(_WEBHOOK.c.webhook_id == known.c.webhook_id)
    return select(known.c.webhook_id).where(known.c.webhook_id.is_not(None), ~there)


def _removals() -> list[tuple[timedelta, Statement[tuple[Any, ...]]]]:
    """What goes, each with how long it is kept."""
    # States are named one by one, so that the index by state and time finds them.
    ended_enrollment = among(_ENROLLMENT.c.state, sorted(enrollment.TERMINAL))
    ended_approval = among(_APPROVAL.c.state, sorted(approval.TERMINAL))
    revoked = and_(_DEVICE.c.state == "REVOKED", _DEVICE.c.revoke_time < _BEFORE)
    # An erased account has no digest either, which an index finds.
    number = _ACCOUNT.c.sealed_number, _ACCOUNT.c.number_digest, _ACCOUNT.c.number_digest_odd
    return [
        (_ENDED, _removes(_ENROLLMENT, ended_enrollment, _ENROLLMENT.c.update_time < _BEFORE)),
        (_ENDED, _removes(_APPROVAL, ended_approval, _APPROVAL.c.expire_time < _BEFORE)),
        (_ENDED, _removes(_SENT_CODE, _SENT_CODE.c.expire_time < _BEFORE)),
        (_ENDED, _removes(_VERIFICATION, _VERIFICATION.c.expire_time < _BEFORE)),
        (_ENDED, _removes(_SESSION, _SESSION.c.expire_time < _BEFORE)),
        (_AT_ONCE, _removes(_ANSWER, _ANSWER.c.expire_time < _BEFORE)),
        (_AT_ONCE, _removes(_BUDGET, _BUDGET.c.expire_time < _BEFORE)),
        (_DELIVERIES, _removes(_DELIVERY, _DELIVERY.c.create_time < _BEFORE)),
        (_AT_ONCE, _removes(_DELIVERY, _DELIVERY.c.webhook_id.in_(_gone_webhooks()))),
        (_ACTIVITY, _removes(_ACTIVITIES, _ACTIVITIES.c.create_time < _BEFORE)),
        (_DEVICES, _removes(_DEVICE, revoked, ~exists().where(_SESSION.c.device_id == _DEVICE.c.device_id))),
        (
            _AT_ONCE,
            _removes(
                _ACCOUNT,
                *[each.is_(None) for each in number],
                ~exists().where(_DEVICE.c.account_id == _ACCOUNT.c.account_id),
                ~exists().where(_LINK.c.account_id == _ACCOUNT.c.account_id),
            ),
        ),
    ]


_REMOVALS = _removals()
_FIRST_EVENTS = Statement(
    _Old,
    select(*[_EVENT.c[name] for name in _Old._fields])
    .order_by(_EVENT.c.epoch, _EVENT.c.xid, _EVENT.c.sequence)
    .limit(STEP),
)
_REMOVE_EVENTS = Bulk(sequence=BigInteger).statement(
    lambda gone: delete(_EVENT).where(_EVENT.c.sequence.in_(select(gone.c.sequence)))
)


def prune(tx: Tx) -> int:
    """Remove what is kept no longer, some of each kind; answers how many rows went."""
    now = tx.now()
    removed = _prune_events(tx, now - _EVENTS)
    return removed + sum(len(each.all(tx, before=now - kept)) for kept, each in _REMOVALS)


def _prune_events(tx: Tx, before: datetime) -> int:
    """Events go in the order of the feed, so that one position says what is gone."""
    before_that = pruned(tx, lock=True)
    gone = [each for each in _FIRST_EVENTS.all(tx) if each.create_time < before]
    if not gone:
        return 0
    _REMOVE_EVENTS.run(tx, [(each.sequence,) for each in gone])
    newest = max(Position(each.epoch, each.xid, each.sequence) for each in gone)
    set_pruned(tx, max(newest, before_that))
    return len(gone)
