"""Owns how long rows are kept after they have served, and removes them in small steps."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, inspect, select, tuple_
from sqlalchemy.orm import aliased
from sqlmodel import SQLModel, col

from authy_grpc.domain import approval, enrollment
from authy_grpc.store.position import Position, pruned, set_pruned
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
_ENDED = timedelta(days=7)
_EVENTS = timedelta(days=30)
_DELIVERIES = timedelta(days=30)
_DEVICES = timedelta(days=30)
_ACTIVITY = timedelta(days=90)

# Named one by one, so that the index by state and time finds them.
_ENDED_ENROLLMENT = sorted(state.value for state in enrollment.TERMINAL)
_ENDED_APPROVAL = sorted(state.value for state in approval.TERMINAL)


def prune(tx: Tx) -> int:
    """Remove what is kept no longer, some of each kind; answers how many rows went."""
    now = tx.now()
    removed = _prune_events(tx, now - _EVENTS)
    for table, condition in _conditions(now):
        removed += _remove(tx, table, condition)
    return removed


def _conditions(now: datetime) -> list[tuple[type[SQLModel], ColumnElement[bool]]]:
    ended = now - _ENDED
    revoked = (col(DeviceRow.state) == "REVOKED") & (col(DeviceRow.revoke_time) < now - _DEVICES)
    # An erased account has no digest either, which an index finds.
    digests = col(AccountRow.number_digest), col(AccountRow.number_digest_odd)
    erased = and_(*[each.is_(None) for each in (col(AccountRow.sealed_number), *digests)])
    return [
        (
            EnrollmentRow,
            col(EnrollmentRow.state).in_(_ENDED_ENROLLMENT) & (col(EnrollmentRow.update_time) < ended),
        ),
        (
            ApprovalRow,
            col(ApprovalRow.state).in_(_ENDED_APPROVAL) & (col(ApprovalRow.expire_time) < ended),
        ),
        (SentCodeRow, col(SentCodeRow.expire_time) < ended),
        (PhoneVerificationRow, col(PhoneVerificationRow.expire_time) < ended),
        (SessionRow, col(SessionRow.expire_time) < ended),
        (AnswerRow, col(AnswerRow.expire_time) < now),
        (BudgetRow, col(BudgetRow.expire_time) < now),
        (DeliveryRow, col(DeliveryRow.create_time) < now - _DELIVERIES),
        (DeliveryRow, col(DeliveryRow.webhook_id).in_(_gone_webhooks())),
        (ActivityRow, col(ActivityRow.create_time) < now - _ACTIVITY),
        (DeviceRow, revoked & ~exists().where(col(SessionRow.device_id) == DeviceRow.device_id)),
        (
            AccountRow,
            erased
            & ~exists().where(col(DeviceRow.account_id) == AccountRow.account_id)
            & ~exists().where(col(LinkRow.account_id) == AccountRow.account_id),
        ),
    ]


def _gone_webhooks() -> Select[Any]:
    """Webhooks that are no more, and have posts left: from one to the next, the rows between are not read.

    It stands within what asks for it: of a statement that begins with WITH SQLite counts no rows.
    """
    posts, others = aliased(DeliveryRow), aliased(DeliveryRow)
    first = select(col(posts.webhook_id)).order_by(col(posts.webhook_id)).limit(1)
    known = select(first.scalar_subquery().label("webhook_id")).cte("known", recursive=True, nesting=True)
    following = (
        select(col(others.webhook_id))
        .where(col(others.webhook_id) > known.c.webhook_id)
        .order_by(col(others.webhook_id))
        .limit(1)
        .correlate(known)
    )
    known = known.union_all(select(following.scalar_subquery()).where(known.c.webhook_id.is_not(None)))
    there = exists().where(col(WebhookRow.webhook_id) == known.c.webhook_id)
    return select(known.c.webhook_id).where(known.c.webhook_id.is_not(None), ~there)


def _remove(tx: Tx, table: type[SQLModel], condition: ColumnElement[bool]) -> int:
    key = tuple_(*inspect(table).primary_key)
    some = select(*inspect(table).primary_key).where(condition).limit(STEP)
    # Asked once more of each row as it is when it goes: it may have been renewed since it was found.
    done = tx.connection().execute(delete(table).where(key.in_(some), condition))
    return done.rowcount


def _prune_events(tx: Tx, before: datetime) -> int:
    """Events go in the order of the feed, so that one position says what is gone."""
    before_that = pruned(tx, lock=True)
    order = (col(EventRow.epoch), col(EventRow.xid), col(EventRow.sequence))
    old = select(*order, col(EventRow.create_time)).order_by(*order).limit(STEP)
    gone = [row for row in tx.connection().execute(old) if row.create_time < before]
    if not gone:
        return 0
    sequences = [row.sequence for row in gone]
    tx.connection().execute(delete(EventRow).where(col(EventRow.sequence).in_(sequences)))
    newest = max(Position(row.epoch, row.xid, row.sequence) for row in gone)
    set_pruned(tx, max(newest, before_that))
    return len(gone)
