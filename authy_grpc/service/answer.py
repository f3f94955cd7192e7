"""Takes a device's answer to a question: what its receipt must be, and what its decision brings about."""

import hashlib
import hmac
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
from authy_grpc.service import ending
from authy_grpc.service.caller import Device
from authy_grpc.store import account as accounts
from authy_grpc.store import approval as store
from authy_grpc.store import device as devices
from authy_grpc.store import push
from authy_grpc.store.approval import AnsweringKey, Kept
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx
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
class _Answer:
    """An answer in its fixed form: whose it is, and whether it counts, is still to be seen."""

    approval_id: str
    signed: Signed
    text: str

    @property
    def digest(self) -> str:
        """What the answer is known by: of one answer there are many signatures."""
        return hashlib.sha256(self.signed.signing_input).hexdigest()


class Answers:
    """What a device does with a question.

    Args:
        database: keeps them.
        vault: opens what was asked.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
    ) -> None:
        self._database = database
        self._vault = vault

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
        answer = _Answer(approval_id, receipts.read(receipt), receipt)
        return await self._database.write(
            lambda tx: self._answer(tx, caller, answer), accounts=True, by=caller.account_id
        )

    def _answer(self, tx: Tx, caller: Device, answer: _Answer) -> Answered:
        site_id = store.find_asked(tx, caller.account_id, answer.approval_id)
        accounts.lock(tx, caller.account_id)
        link = push.lock(tx, site_id)
        row = store.locked(tx, answer.approval_id)
        if row is None or link is None or not link.is_of(caller.account_id):
            raise NotFound
        key = self._signer(tx, caller, row, answer.signed)
        answers = store.answers(row)
        if answer.digest in answers:
            state, left = answers[answer.digest]
            return Answered(ApprovalState(state), left)
        # Taken under the lock: an answer that waited for it comes after what it waited for.
        now = tx.now()
        before = at(store.to_approval(tx.vault, row), now)
        if before.state in TERMINAL:
            raise WrongState(before.state.value)

        left = attempts_allowed(row.match_digits) - len(answers) - 1
        after = self._decided(before, row, answer, left, now)
        answered = Answered(after.state, left if after.state not in TERMINAL else 0)
        answers[answer.digest] = (answered.state.value, answered.attempts_remaining)
        store.set_answers(row, answers)
        if after.state not in TERMINAL:
            store.keep_answers(tx, row)
        else:
            name = devices.open_name(tx.vault, key.device_id, key.sealed_name)
            ending.end(tx, link, row, after, device_name=name)
        return answered

    def _signer(self, tx: Tx, caller: Device, row: Kept, signed: Signed) -> AnsweringKey:
        """The key, where all of what it signed is as it has to be."""
        receipt = signed.receipt
        key = store.answering_key(tx, row.site_id, caller.device_id, receipt.kid)
        if key is None or receipt.question != store.question(tx.vault, row):
            raise BadSignature
        receipts.verify(signed, key.point)
        receipts.check_time(receipt, Question.read(receipt.question))
        if receipt.decision is Decision.APPROVE:
            _check_approves(receipt, row)
        return key

    def _decided(self, before: Approval, row: Kept, answer: _Answer, left: int, now: datetime) -> Approval:
        """The question after an answer; the same after a wrong number with tries left."""
        receipt = answer.signed.receipt
        match receipt.decision:
            case Decision.DENY:
                reason = DenyReason.CANCELED_BY_USER
                return move(before, ApprovalState.DENIED, now, deny_reason=reason, receipt=answer.text)
            case Decision.REPORT_FRAUD:
                reason = DenyReason.FRAUD
                return move(before, ApprovalState.DENIED, now, deny_reason=reason, receipt=answer.text)
            case Decision.APPROVE:
                number = store.match_number(self._vault, row)
                if hmac.compare_digest(number.encode(), receipt.match_number.encode()):
                    return move(before, ApprovalState.APPROVED, now, receipt=answer.text)
                if left > 0:
                    return before
                return move(before, ApprovalState.DENIED, now, deny_reason=DenyReason.MATCH_NUMBER)


def _check_approves(receipt: Receipt, row: Kept) -> None:
    """An approval needs the user verification asked for, and types no number where none is asked for."""
    if row.require_user_verification and not receipt.user_verified:
        raise BadSignature
    if receipt.match_number and not row.match_digits:
        raise BadSignature
