"""Owns how a device answers a question: what its receipt must be, and what its decision brings about."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from authy_grpc.domain import receipts
from authy_grpc.domain.approval import (
    TERMINAL,
    Approval,
    ApprovalState,
    DenyReason,
    at,
    attempts_allowed,
    move,
)
from authy_grpc.domain.errors import BadSignature, NotFound, WrongState
from authy_grpc.domain.receipts import Decision, Question, Receipt, Signed
from authy_grpc.service.caller import Device
from authy_grpc.service.ending import Endings
from authy_grpc.store import account as accounts
from authy_grpc.store import approval as store
from authy_grpc.store import device as devices
from authy_grpc.store.database import Database, Session
from authy_grpc.store.tables import ApprovalRow, LinkRow
from authy_grpc.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a question by an answer.

    Attributes:
        attempts_remaining: after a wrong match number that left it open; else 0.
    """

    state: ApprovalState
    attempts_remaining: int = 0


@dataclass(frozen=True, slots=True)
class _Verified:
    """A receipt whose every byte is as it has to be: what is left to decide is whether it comes in time."""

    signed: Signed
    text: str
    site_id: str
    lane: str

    @property
    def digest(self) -> str:
        """What the answer is known by: of one answer there are many signatures."""
        return hashlib.sha256(self.signed.signing_input).hexdigest()


class Answers:
    """What a device does with a question.

    Args:
        database: keeps them.
        vault: opens what was asked.
        endings: writes the end of a question.
        clock: the time.
    """

    def __init__(
        self, *, database: Database, vault: Vault, endings: Endings, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._vault = vault
        self._endings = endings
        self._clock = clock

    async def respond(self, caller: Device, approval_id: str, receipt: str) -> Answered:
        """Answer a question. Of many answers the first counts; one that comes again is answered the same.

        Args:
            caller: the device.
            approval_id: which question.
            receipt: the answer, a compact JWS.

        Raises:
            NotFound: its account was not asked this.
            BadSignature: the receipt is not by its key for the site, not over this question, in another
                form, of another time, or approves without the user verification asked for.
            WrongState: the question is no longer open.
        """
        signed = receipts.read(receipt)
        verified = await self._database.read(
            lambda session: self._verify(session, caller, approval_id, signed, receipt)
        )
        return await self._database.write(
            lambda session: self._answer(session, caller, approval_id, verified), verified.lane
        )

    def _verify(
        self, session: Session, caller: Device, approval_id: str, signed: Signed, text: str
    ) -> _Verified:
        row, link = store.find_asked(session, caller.account_id, approval_id)
        receipt = signed.receipt
        point = store.answering_key(session, link.site_id, caller.device_id, receipt.kid)
        if point is None or receipt.question != store.question(self._vault, row):
            raise BadSignature
        receipts.verify(signed, point)
        receipts.check_time(receipt, Question.read(receipt.question))
        if receipt.decision is Decision.APPROVE:
            _check_approves(receipt, row)
        return _Verified(signed, text, link.site_id, f"{link.application_id}/{link.authy_id}")

    def _answer(self, session: Session, caller: Device, approval_id: str, verified: _Verified) -> Answered:
        now = self._clock()
        accounts.find(session, caller.account_id, lock=True)
        link = session.get(LinkRow, verified.site_id, with_for_update=True)
        row = store.locked(session, approval_id)
        if link is None or row is None:
            raise NotFound
        if link.state != "ACTIVE" or link.account_id != caller.account_id:
            raise NotFound
        kid = verified.signed.receipt.kid
        if store.answering_key(session, link.site_id, caller.device_id, kid, lock=True) is None:
            raise BadSignature
        device = devices.acting(session, caller.device_id)
        answers = store.answers(row)
        if verified.digest in answers:
            state, left = answers[verified.digest]
            return Answered(ApprovalState(state), left)
        before = at(store.to_approval(self._vault, row), now)
        if before.state in TERMINAL:
            raise WrongState(before.state.value)

        left = attempts_allowed(row.match_digits) - len(answers) - 1
        after = self._decided(before, row, verified, left, now)
        answered = Answered(after.state, left if after.state not in TERMINAL else 0)
        answers[verified.digest] = (answered.state.value, answered.attempts_remaining)
        store.keep_answers(session, row, answers)
        if after.state in TERMINAL:
            name = devices.name(self._vault, device)
            self._endings.end(session, now, link, row, after, device_name=name)
        return answered

    def _decided(
        self, before: Approval, row: ApprovalRow, verified: _Verified, left: int, now: datetime
    ) -> Approval:
        """The question after an answer; the same after a wrong number with tries left."""
        receipt = verified.signed.receipt
        match receipt.decision:
            case Decision.DENY:
                reason = DenyReason.CANCELED_BY_USER
                return move(before, ApprovalState.DENIED, now, deny_reason=reason, receipt=verified.text)
            case Decision.REPORT_FRAUD:
                reason = DenyReason.FRAUD
                return move(before, ApprovalState.DENIED, now, deny_reason=reason, receipt=verified.text)
            case Decision.APPROVE:
                number = store.match_number(self._vault, row)
                if hmac.compare_digest(number.encode(), receipt.match_number.encode()):
                    return move(before, ApprovalState.APPROVED, now, receipt=verified.text)
                if left > 0:
                    return before
                return move(before, ApprovalState.DENIED, now, deny_reason=DenyReason.MATCH_NUMBER)


def _check_approves(receipt: Receipt, row: ApprovalRow) -> None:
    """An approval needs the user verification asked for, and types no number where none is asked for."""
    if row.require_user_verification and not receipt.user_verified:
        raise BadSignature
    if receipt.match_number and not row.match_digits:
        raise BadSignature
