"""Owns what follows when a question ends: its event, the owner's activity, and what it counts for."""

from datetime import datetime

from authy_grpc.domain.approval import Approval, ApprovalState, DenyReason
from authy_grpc.domain.event import UserEventType, event_type
from authy_grpc.domain.limits import PushGuard, after_denial, after_fraud, after_no_answer
from authy_grpc.domain.receipts import Question
from authy_grpc.domain.user import Factor
from authy_grpc.store import approval as store
from authy_grpc.store import link as links
from authy_grpc.store import push
from authy_grpc.store.account import AccountNews
from authy_grpc.store.approval import Kept
from authy_grpc.store.events import Events
from authy_grpc.store.push import PushLink
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault


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


class Endings:
    """Writes the end of questions.

    Args:
        vault: opens and seals what was asked.
        events: where the site learns it.
        accounts: tells the account's devices.
    """

    def __init__(self, *, vault: Vault, events: Events, accounts: AccountNews) -> None:
        self._vault = vault
        self._events = events
        self._accounts = accounts

    def end(
        self,
        tx: Tx,
        now: datetime,
        link: PushLink | None,
        row: Kept,
        ended: Approval,
        *,
        device_name: str = "",
    ) -> None:
        """Write the end of a question, and all that follows from it.

        Args:
            tx: of the change.
            now: when it is written.
            link: of the question, locked; None where it is gone.
            row: of the question, locked.
            ended: in a terminal state.
            device_name: of the device that answered.
        """
        store.save(tx, self._vault, self._events, now, row, ended)
        if link is None:
            return
        if ended.state is ApprovalState.APPROVED:
            self._succeeded(tx, now, link)
        else:
            self._missed(tx, now, link, ended)
        # One that the site took back is no doing of the owner's. For an owner who is gone the same is done,
        # without a name: the site would see the difference.
        if link.account_id and ended.state is not ApprovalState.CANCELED:
            # As it was asked: the site may have another name by now.
            asked = Question.read(store.question(self._vault, row)).site
            site_name = asked if link.state == "ACTIVE" else ""
            self._accounts.changed(
                tx,
                now,
                link.account_id,
                activity=event_type(ended),
                site_name=site_name,
                device_name=device_name,
            )

    def _succeeded(self, tx: Tx, now: datetime, link: PushLink) -> None:
        held_up = any(until and until > now for until in (link.locked_until, link.push_frozen_until))
        push.succeeded(tx, link, now)
        if held_up:
            self._events.record(tx, now, links.event(self._vault, link, UserEventType.UNLOCKED))

    def _missed(self, tx: Tx, now: datetime, link: PushLink, ended: Approval) -> None:
        before = push_guard(link)
        after = counted(before, ended, now)
        push.missed(tx, link, after.misses, after.frozen_until)
        if after.frozen_until and after.frozen_until != before.frozen_until and after.frozen_until > now:
            frozen = links.event(self._vault, link, UserEventType.PUSH_FROZEN, factor=Factor.PUSH)
            self._events.record(tx, now, frozen)
