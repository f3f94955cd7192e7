"""Use cases of a site that asks its user to approve something."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from authy_grpc.domain import codes
from authy_grpc.domain.approval import TERMINAL, Approval, ApprovalState, Detail, at, move
from authy_grpc.domain.encoding import base64url
from authy_grpc.domain.errors import FactorUnavailable, Refusal
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.limits import check_push
from authy_grpc.domain.receipts import Question
from authy_grpc.service import ending
from authy_grpc.service.caller import Site
from authy_grpc.service.ending import counted, push_guard
from authy_grpc.service.heartbeat import HEARTBEAT, Heartbeat
from authy_grpc.service.signals import Signals
from authy_grpc.store import account as accounts
from authy_grpc.store import approval as store
from authy_grpc.store import push
from authy_grpc.store.approval import Kept
from authy_grpc.store.database import Database
from authy_grpc.store.events import Recorded
from authy_grpc.store.once import Request, once
from authy_grpc.store.push import Asking, PushLink
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_TTL = timedelta(seconds=90)
_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a site wants to ask.

    Attributes:
        hidden_details: kept with the approval, never shown to the user.
        ttl: how long it stands; None for 90 s.
        match_digits: how many digits to type at least; None for the application's own.
        require_user_verification: whether an approval needs a PIN or a biometric.
    """

    authy_id: str
    message: str = field(repr=False)
    details: tuple[Detail, ...] = field(default=(), repr=False)
    hidden_details: dict[str, str] = field(default_factory=dict, repr=False)
    ttl: timedelta | None = None
    match_digits: int | None = None
    require_user_verification: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """An approval as its site is answered it: with the number that the user must type, which no event has."""

    approval: Approval
    match_number: str = field(repr=False)


_ASKED = TypeAdapter(Asked)


class _RunOut(Exception):
    """The open question has run out, and is to be ended first: its account is locked before its link."""

    def __init__(self, due: store.Due) -> None:
        super().__init__()
        self.due = due


class Approvals:
    """What a site does with questions to its users.

    Args:
        database: keeps them.
        vault: opens and seals what is asked.
        signals: wake those who watch.
        clock: the time.
        random: source of random bytes.
        heartbeat: how long a watcher that asks for heartbeats hears nothing at most.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        signals: Signals,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes],
        heartbeat: timedelta = HEARTBEAT,
    ) -> None:
        self._database = database
        self._vault = vault
        self._signals = signals
        self._clock = clock
        self._random = random
        self._heartbeat = Heartbeat(random, heartbeat)

    async def create(self, caller: Site, request: Request, ask: Ask) -> Asked:
        """Put a question to a user, in the place of one that is still open.

        Args:
            caller: the site.
            request: the call, which may come again.
            ask: what to ask.

        Raises:
            NotFound: the site has no such user.
            FactorUnavailable: the site knows of no device of the user.
            PushFrozen: too many questions came to nothing, or one was reported as fraud.
        """

        def work(tx: Tx) -> Asked | Refusal | _RunOut:
            return once(
                tx,
                caller.application_id,
                request,
                _ASKED,
                lambda: self._create(tx, caller.application_id, ask),
            )

        while True:
            try:
                return await self._database.write(work, by=caller.application_id)
            except _RunOut as found:
                await self._expire(found.due)

    async def get(self, caller: Site, approval_id: str) -> Asked:
        """A question as it stands.

        Raises:
            NotFound: the site has no such approval.
        """

        def work(tx: Tx) -> tuple[Asked, store.Due]:
            row = store.find(tx, caller.application_id, approval_id)
            return self._asked(row), store.to_due(row)

        own = caller.application_id
        asked, due = await self._database.read(work, by=own)
        if at(asked.approval, self._clock()) is not asked.approval:
            # An answer that came in time may be about to be written: the end is decided where that is.
            await self._expire(due)
            asked, _ = await self._database.read(work, by=own)
        return asked

    async def watch(
        self, caller: Site, approval_id: str, after_revision: int = 0, *, heartbeat: bool = False
    ) -> AsyncGenerator[Asked | None, None]:
        """A question as it stands, then each change of it, until it has ended.

        Args:
            caller: the site.
            approval_id: which.
            after_revision: states up to this one are left out.
            heartbeat: say None where there is nothing newer, at once and at least every 25 s.

        Raises:
            NotFound: the site has no such approval.
        """
        with self._signals.subscribe(approval_id) as subscription:
            asked = await self.get(caller, approval_id)
            while True:
                if asked.approval.revision > after_revision:
                    after_revision = asked.approval.revision
                    yield asked
                elif heartbeat and asked.approval.state not in TERMINAL:
                    yield None
                if asked.approval.state in TERMINAL:
                    return
                rows = await subscription.wait(self._heartbeat.pause() if heartbeat else None)
                if subscription.behind:
                    subscription.catch_up()
                    asked = await self.get(caller, approval_id)
                elif rows:
                    asked = Asked(_newest(rows, asked.approval), asked.match_number)

    async def cancel(self, caller: Site, approval_id: str) -> Asked:
        """Take back a question that is still open; one that was taken back is answered as it is.

        Raises:
            NotFound: the site has no such approval.
            WrongState: it has ended in another way.
        """

        def work(tx: Tx) -> Asked:
            found = store.find(tx, caller.application_id, approval_id)
            link = push.lock(tx, found.site_id)
            row = store.locked(tx, approval_id) or found
            now, asked = tx.now(), self._asked(row)
            if asked.approval.state is ApprovalState.CANCELED:
                return asked
            canceled = move(asked.approval, ApprovalState.CANCELED, now)
            ending.end(tx, link, row, canceled)
            return Asked(canceled, asked.match_number)

        return await self._database.write(work, by=caller.application_id)

    async def expire_due(self) -> int:
        """End the questions whose time has run out, a hundred at most; answers how many."""
        due = await self._database.read(lambda tx: store.due(tx))
        ended = await asyncio.gather(*(self._expire(each) for each in due))
        return sum(ended)

    def _create(self, tx: Tx, application_id: str, ask: Ask) -> Asked | _RunOut:
        link = push.lock_user(tx, application_id, ask.authy_id)
        site = push.asking(tx, link)
        if not site.has_told_key:
            raise FactorUnavailable
        open_row = store.open_of_link(tx, link.site_id)
        # Times are taken under the lock, or a decision could be older than one that it comes after.
        now, guard = tx.now(), push_guard(link)
        before = at(store.to_approval(tx.vault, open_row), now) if open_row else None
        if open_row is not None and before is not None and before.state is ApprovalState.EXPIRED:
            check_push(counted(guard, before, now), now)
            return _RunOut(store.to_due(open_row))
        check_push(guard, now)

        if open_row is not None and before is not None:
            ending.end(tx, link, open_row, move(before, ApprovalState.CANCELED, now))
        question, asked = self._drawn(now, link, site, ask)
        row = store.add(tx, link, question, asked.approval, asked.match_number)
        store.record(tx, row, asked.approval)
        return asked

    def _drawn(self, now: datetime, link: PushLink, site: Asking, ask: Ask) -> tuple[Question, Asked]:
        create_time = _whole_millis(now)
        digits = max(site.match_digits, ask.match_digits or 0)
        approval = Approval(
            approval_id=new_id("apr", now, self._random),
            authy_id=ask.authy_id,
            message=ask.message,
            details=ask.details,
            create_time=create_time,
            expire_time=_whole_millis(create_time + (ask.ttl or _TTL)),
            hidden_details=ask.hidden_details,
            require_user_verification=ask.require_user_verification,
        )
        question = Question(
            approval_id=approval.approval_id,
            authy_id=approval.authy_id,
            site_id=link.site_id,
            site=site.site_name,
            origin=site.origin,
            message=ask.message,
            details=tuple((each.label, each.value) for each in ask.details),
            match_digits=digits,
            user_verification=ask.require_user_verification,
            created=_whole_seconds(approval.create_time),
            expires=_whole_seconds(approval.expire_time),
            nonce=base64url(self._random(_NONCE_BYTES)),
        )
        return question, Asked(approval, codes.match_number(self._random, digits))

    def _asked(self, row: Kept) -> Asked:
        """As it was last written."""
        return Asked(store.to_approval(self._vault, row), store.match_number(self._vault, row))

    async def _expire(self, due: store.Due) -> bool:
        def work(tx: Tx) -> bool:
            if due.account_id is not None:
                accounts.hold(tx, due.account_id)
            link = push.lock(tx, due.site_id)
            row = store.locked(tx, due.approval_id)
            if row is None:
                return False
            now, before = tx.now(), store.to_approval(tx.vault, row)
            after = at(before, now)
            if after is not before:
                ending.end(tx, link, row, after)
            return after is not before

        return await self._database.write(work, accounts=True)


def _newest(rows: list[Recorded], present: Approval) -> Approval:
    told = [row.body for row in rows if isinstance(row.body, Approval)]
    return max(present, *told, key=lambda each: each.revision) if told else present


def _whole_millis(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _whole_seconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
