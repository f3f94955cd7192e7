"""Checks codes for VerifyCode: those of all calls that wait in one transaction, in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from pydantic import TypeAdapter

from authy_grpc.domain.codes import is_backup_shape
from authy_grpc.domain.errors import NotFound, Refusal, UserLocked
from authy_grpc.domain.event import UserEvent, UserEventType
from authy_grpc.domain.limits import BACKUP_RULES, SITE_NO_CODE, spend
from authy_grpc.domain.rate import Rate
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import Checked, CodeResult
from authy_grpc.store import backup_code, budget, logins, sent_code, tally
from authy_grpc.store.account import AccountBusy
from authy_grpc.store.answers import Answered, Answers
from authy_grpc.store.events import NewEvent
from authy_grpc.store.once import Request
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import GENERIC, LinkState, LinkStates, Name

_ANSWERS_KEPT = timedelta(minutes=10)
_CHECKED = TypeAdapter(Checked)


@dataclass(frozen=True)
class Attempt:
    """One VerifyCode.

    Attributes:
        code: as typed.
        action: what a sent code must have been sent for.
    """

    application_id: str
    authy_id: str
    code: str = field(repr=False)
    action: str
    request: Request

    @property
    def name(self) -> Name:
        """What names the link."""
        return self.application_id, self.authy_id

    @cached_property
    def is_backup_code(self) -> bool:
        """Whether it has the shape of one."""
        return is_backup_shape(self.code)


@dataclass(slots=True)
class _Batch:
    """What a batch has read, and what it will write."""

    now: datetime
    links: dict[Name, LinkState]
    answered: Answered[Checked]
    # When wrong codes of the shape of backup codes were brought, by link; and those to which some were added.
    backup_wrong: dict[str, tuple[datetime, ...]]
    backup_counted: set[str] = field(default_factory=set)
    events: list[NewEvent] = field(default_factory=list)
    accepted: list[tuple[LinkState, str]] = field(default_factory=list)
    # For the metrics: a result and a factor each.
    results: list[tuple[str, str]] = field(default_factory=list)


class CodeChecks:
    """Checks codes, a batch at a time.

    Args:
        vault: opens secrets, seals answers.
        rate: counts what is no code.
    """

    def __init__(self, *, vault: Vault, rate: Rate | None = None) -> None:
        self._rate = rate or Rate()
        self._vault = vault
        self._links = LinkStates(vault)
        self._answers = Answers(_CHECKED, _ANSWERS_KEPT)

    def check(self, tx: Tx, attempts: Sequence[Attempt]) -> list[Checked | Refusal | AccountBusy]:
        """Answer each attempt, in order: those at one link see what the ones before them used up.

        AccountBusy stands for those at a link of which a code would be accepted while somebody holds its
        account, or has just put out the device that made it: nothing is decided about them, and
        `check_waiting` is to be asked. Other links of the account do not wait with it.
        """
        batch = self._read(tx, attempts)
        answers: list[Checked | Refusal | AccountBusy] = [self._answer(batch, each) for each in attempts]
        names = self._put_off(tx, batch)
        if not names:
            self._write(tx, batch)
            return answers
        others = [each for each in attempts if each.name not in names]
        decided = iter(self.check(tx, others) if others else ())
        return [AccountBusy() if each.name in names else next(decided) for each in attempts]

    def check_waiting(self, tx: Tx, attempts: Sequence[Attempt]) -> list[Checked | Refusal]:
        """As `check`, but wait for the accounts before all else."""
        batch = self._read(tx, attempts, accounts=True)
        answers = [self._answer(batch, attempt) for attempt in attempts]
        self._write(tx, batch)
        return answers

    def _put_off(self, tx: Tx, batch: _Batch) -> set[Name]:
        """Lock the accounts of accepted codes: the links for which that has to be waited for."""
        busy, gone = self._links.hold(tx, batch.accepted)
        held = {_name(link) for link, _ in batch.accepted if link.account_id in busy}
        return held or {_name(link) for link, kid in batch.accepted if kid in gone}

    def _read(self, tx: Tx, attempts: Sequence[Attempt], *, accounts: bool = False) -> _Batch:
        typed = {(each.name, each.action) for each in attempts if not each.is_backup_code}
        names = {each.name for each in attempts}
        # All are asked before the first is waited for.
        locked = self._links.lock(tx, names, {name for name, _ in typed}, accounts=accounts)
        answers = self._answers.ask(tx, ((each.application_id, each.request) for each in attempts))
        sent = sent_code.ask(tx, typed)
        links = locked()
        # Not before the links are locked, which may take a while.
        now = tx.now()
        answered = answers()
        sent(links.values())
        backup = {
            links[each.name].site_id: links[each.name]
            for each in attempts
            if each.is_backup_code and each.name in links
        }
        backup_code.read(tx, backup.values())
        # In one order, since each is locked.
        wrong = {site_id: budget.spent(tx, _budget(site_id)) for site_id in sorted(backup)}
        return _Batch(now, links, answered, wrong)

    def _write(self, tx: Tx, batch: _Batch) -> None:
        links = batch.links.values()
        self._links.save(tx, links)
        sent_code.save(tx, links)
        backup_code.save(tx, links)
        self._answers.save(tx, batch.answered)
        tx.record(*batch.events)
        logins.save(tx, batch.accepted)
        for site_id in sorted(batch.backup_counted):
            budget.keep(tx, _budget(site_id), batch.backup_wrong[site_id], BACKUP_RULES)
        for result in batch.results:
            tally.count(tx, tally.CODES, *result)

    def _answer(self, batch: _Batch, attempt: Attempt) -> Checked | Refusal:
        try:
            before = batch.answered.find(attempt.application_id, attempt.request)
            if before is not None:
                return before
            link = batch.links.get(attempt.name)
            if link is None:
                raise NotFound
            held_back = link.holds_back(batch.now)
            wrong = batch.backup_wrong.get(link.site_id, ()) if attempt.is_backup_code else ()
            # Before it is looked at: past the rate a right one is not told from a wrong one.
            spent = spend(wrong, batch.now, BACKUP_RULES)
            checked = self._worth(link, attempt, batch.now)
            is_code = attempt.is_backup_code or link.codes.may_be(attempt.code)
            if not is_code:
                self._rate.spend(link.application_id, batch.now, SITE_NO_CODE)
        except Refusal as refusal:
            if isinstance(refusal, UserLocked):
                batch.results.append((tally.LOCKED, tally.UNKNOWN))
            return refusal
        batch.results.append((checked.result.value, _factor(attempt, checked)))
        batch.answered.add(attempt.application_id, attempt.request, checked)
        if checked.result is CodeResult.ACCEPTED:
            _accept(batch, link, checked, held_back)
        elif is_code:
            if attempt.is_backup_code:
                batch.backup_wrong[link.site_id] = spent
                batch.backup_counted.add(link.site_id)
            _reject(batch, link, checked, counted=not attempt.is_backup_code)
        return checked

    def _worth(self, link: LinkState, attempt: Attempt, now: datetime) -> Checked:
        if attempt.is_backup_code:
            return link.codes.check_backup(backup_code.digests(self._vault, link.site_id, attempt.code), now)
        return link.codes.check(attempt.code, attempt.action, now)


def _budget(site_id: str) -> str:
    return f"backup:{site_id}"


def _factor(attempt: Attempt, checked: Checked) -> str:
    if checked.factor is not None:
        return checked.factor.value
    return Factor.BACKUP_CODE.value if attempt.is_backup_code else tally.UNKNOWN


def _name(link: LinkState) -> Name:
    return link.application_id, link.authy_id


def _accept(batch: _Batch, link: LinkState, checked: Checked, held_back: bool) -> None:
    link.succeeded(batch.now)
    batch.accepted.append((link, link.codes.taken_by or GENERIC))
    batch.events.append(_event(link, UserEventType.CODE_ACCEPTED, checked.factor, wakes=True))
    if held_back:
        batch.events.append(_event(link, UserEventType.UNLOCKED))


def _reject(batch: _Batch, link: LinkState, checked: Checked, *, counted: bool) -> None:
    reason = checked.result.value.lower()
    batch.events.append(_event(link, UserEventType.CODE_REJECTED, checked.factor, reason))
    if checked.result is CodeResult.WRONG and counted:
        link.changed = True
        # A wrong code that was looked at and leaves none to try has begun a lock.
        if checked.attempts_remaining == 0:
            batch.events.append(_event(link, UserEventType.LOCKED))


def _event(
    link: LinkState, type: UserEventType, factor: Factor | None = None, reason: str = "", wakes: bool = False
) -> NewEvent:
    return NewEvent(
        type=type.value,
        subject_id=link.site_id,
        application_id=link.application_id,
        # A wrong code is nothing that the owner's devices have to look at.
        account_id=link.account_id if wakes else None,
        body=UserEvent(
            authy_id=link.authy_id, custom_user_id=link.custom_user_id, factor=factor, reason=reason
        ),
    )
