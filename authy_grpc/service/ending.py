"""Ends questions: the event, the owner's activity, and what an end counts for."""

from datetime import datetime

from authy_grpc.domain.approval import Approval, ApprovalState, DenyReason
from authy_grpc.domain.event import UserEventType, event_type
from authy_grpc.domain.limits import PushGuard, after_denial, after_fraud, after_no_answer
from authy_grpc.domain.receipts import Question
from authy_grpc.domain.user import Factor
from authy_grpc.store import account as accounts
from authy_grpc.store import approval as store
from authy_grpc.store import link as links
from authy_grpc.store import push
from authy_grpc.store.approval import Kept
from authy_grpc.store.push import PushLink
from authy_grpc.store.tx import Tx


def push_guard(link: PushLink) -> PushGuard:
    """The questions to a link since its last success."""
    return PushGuard(link.push_misses, link.push_frozen_until)


def counted(guard: PushGuard, ended: Approval, now: datetime) -> PushGuard:
    """What a question that has ended makes of the guard of its link.

    One that nobody answered ended when its time ran out, whenever that was seen.
    """
    if ended.state is ApprovalState.APPROVED:
        return PushGuard()
    if ended.deny_reason is DenyReason.FRAUD:
        return after_fraud(guard)
    if ended.state is ApprovalState.DENIED:
        return after_denial(guard, now)
    return after_no_answer(guard, ended.expire_time if ended.state is ApprovalState.EXPIRED else now)


def end(
    tx: Tx,
    link: PushLink | None,
    row: Kept,
    ended: Approval,
    *,
    device_name: str = "",
) -> None:
    """Write the end of a question, and all that follows from it.

    Args:
        tx: of the change.
        link: of the question, locked; None where it is gone.
        row: of the question, locked.
        ended: in a terminal state.
        device_name: of the device that answered.
    """
    store.save(tx, row, ended)
    if link is None:
        return
    if ended.state is ApprovalState.APPROVED:
        _succeeded(tx, link)
    else:
        _missed(tx, link, ended)
    # One that the site took back is no doing of the owner's. For an owner who is gone the same is done,
    # without a name: the site would see the difference.
    if link.account_id and ended.state is not ApprovalState.CANCELED:
        # As it was asked: the site may have another name by now.
        asked = Question.read(store.question(tx.vault, row)).site
        site_name = asked if link.state == "ACTIVE" else ""
        accounts.changed(
            tx,
            link.account_id,
            activity=event_type(ended),
            site_name=site_name,
            device_name=device_name,
        )


def _succeeded(tx: Tx, link: PushLink) -> None:
    now = tx.now()
    held_up = any(until and until > now for until in (link.locked_until, link.push_frozen_until))
    push.succeeded(tx, link)
    if held_up:
        tx.record(links.event(tx.vault, link, UserEventType.UNLOCKED))


def _missed(tx: Tx, link: PushLink, ended: Approval) -> None:
    now = tx.now()
    before = push_guard(link)
    after = counted(before, ended, now)
    push.missed(tx, link, after.misses, after.frozen_until)
    if after.frozen_until and after.frozen_until != before.frozen_until and after.frozen_until > now:
        frozen = links.event(tx.vault, link, UserEventType.PUSH_FROZEN, factor=Factor.PUSH)
        tx.record(frozen)
