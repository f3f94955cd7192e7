"""Verifies the receipt of an approval: what a key of its user signed, though the service lied."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.domain import keys as p256
from authy_grpc.domain import receipts
from authy_grpc.domain.errors import BadSignature
from authy_grpc.domain.receipts import Decision, Question, Receipt
from authy_grpc.v1 import approval_pb2
from authy_grpc.v1.approval_pb2 import Approval, ApprovalState, CreateApprovalRequest, DenyReason
from authy_grpc.v1.user_pb2 import SiteKey

_SKEW = 60
_TTL = 90
# Of the contract, where neither the request nor the application says otherwise.
_DIGITS = 6
# A denial by MATCH_NUMBER is the service's own and has no receipt.
_DECISIONS = {
    (approval_pb2.APPROVAL_STATE_APPROVED, approval_pb2.DENY_REASON_UNSPECIFIED): Decision.APPROVE,
    (approval_pb2.APPROVAL_STATE_DENIED, approval_pb2.DENY_REASON_CANCELED_BY_USER): Decision.DENY,
    (approval_pb2.APPROVAL_STATE_DENIED, approval_pb2.DENY_REASON_FRAUD): Decision.REPORT_FRAUD,
}


class ReceiptError(ValueError):
    """An approval is not what its user signed, or not what the site asked. The text says where."""


@dataclass(frozen=True)
class Verified:
    """What a user's key has signed.

    Attributes:
        decision: what the user chose.
        kid: which key signed.
        time: when, in UTC, by the service's clock.
    """

    decision: Decision
    kid: str
    time: datetime


def check_asked(
    request: CreateApprovalRequest, asked: Approval, now: datetime, *, match_digits: int = _DIGITS
) -> None:
    """Checks that an approval just made is what the site asked for; see `verify_receipt`.

    Without it a lying service could answer CreateApproval with another question, or with an old approval
    whose receipt it has. Refuse an `approval_id` that you have had before, too.

    Args:
        request: what the site sent.
        asked: what CreateApproval answered.
        now: the site's own time, aware; a minute off at most.
        match_digits: the application's own, as the operator has it: the least where the request names none.

    Raises:
        ReceiptError: they differ.
    """
    created, expires = asked.create_time.seconds, asked.expire_time.seconds
    ttl = request.ttl.seconds if request.HasField("ttl") else _TTL
    least = request.match_digits if request.HasField("match_digits") else match_digits
    _compare(
        authy_id=asked.authy_id == request.authy_id,
        message=asked.message == request.message,
        details=_details(asked) == _details(request),
        hidden_details=dict(asked.hidden_details) == dict(request.hidden_details),
        require_user_verification=asked.require_user_verification == request.require_user_verification,
        match_digits=len(asked.match_number) >= least,
        create_time=abs(created - now.timestamp()) <= _SKEW,
        expire_time=abs(expires - created - ttl) <= 1,
    )


def verify_receipt(approval: Approval, asked: Approval, origin: str, keys: Iterable[SiteKey]) -> Verified:
    """Checks by itself that the user's own key signed this decision on what the site asked.

    Of the question, `site`, `site_id` and `nonce` are compared with nothing: the site is never told the
    latter two, and its name is the operator's to change; key, `approval_id` and `origin` bind the receipt
    to it. The keys are as good as their source: those kept since enrollment cannot be forged.

    Args:
        approval: an APPROVED or DENIED one, from a stream, an answer, an event or a webhook.
        asked: what CreateApproval answered, kept by the site and checked by `check_asked`.
        origin: the site's own web origin, as the operator has it.
        keys: those of this user that the site has kept, the revoked ones too.

    Returns:
        What the user chose.

    Raises:
        ReceiptError: anything is otherwise, or there is no receipt.
    """
    decision = _DECISIONS.get((approval.state, approval.deny_reason))
    if decision is None:
        found = _name(ApprovalState, approval.state)
        if approval.deny_reason:
            found += f" ({_name(DenyReason, approval.deny_reason)})"
        raise ReceiptError(f"state: {found}, for which no user signs a receipt")
    _compare(
        approval_id=approval.approval_id == asked.approval_id != "",
        authy_id=approval.authy_id == asked.authy_id,
        message=approval.message == asked.message,
        details=_details(approval) == _details(asked),
        hidden_details=dict(approval.hidden_details) == dict(asked.hidden_details),
        require_user_verification=approval.require_user_verification == asked.require_user_verification,
    )
    try:
        signed = receipts.read(approval.receipt)
        receipts.verify(signed, _point(signed.receipt.kid, asked.create_time, keys))
        question = Question.read(signed.receipt.question)
        receipts.check_time(signed.receipt, question)
    except BadSignature:
        raise ReceiptError("receipt: not in its fixed form, not by this key, or not in time") from None
    _check_question(question, asked, origin)
    _check_decision(signed.receipt, decision, asked)
    return Verified(decision, signed.receipt.kid, _time(signed.receipt.time))


def _name(kind: Any, value: int) -> str:
    """The name of an enum's value; of one that a newer contract has, its number."""
    names: dict[int, str] = {number: name for name, number in kind.items()}
    return names.get(value, str(value))


def _check_question(question: Question, asked: Approval, origin: str) -> None:
    _compare(
        approval_id=question.approval_id == asked.approval_id,
        authy_id=question.authy_id == asked.authy_id,
        origin=question.origin == origin,
        message=question.message == asked.message,
        details=question.details == _details(asked),
        require_user_verification=question.user_verification == asked.require_user_verification,
        match_digits=question.match_digits == len(asked.match_number),
        create_time=question.created == asked.create_time.seconds,
        expire_time=question.expires == asked.expire_time.seconds,
    )


def _check_decision(receipt: Receipt, decision: Decision, asked: Approval) -> None:
    approves = decision is Decision.APPROVE
    _compare(
        decision=receipt.decision is decision,
        match_number=receipt.match_number == (asked.match_number if approves else ""),
        user_verified=receipt.user_verified or not (approves and asked.require_user_verification),
    )


def _point(kid: str, asked: Timestamp, keys: Iterable[SiteKey]) -> bytes:
    """Returns the public key that a receipt names, out of the user's own.

    Raises:
        ReceiptError: none of them, or one that was revoked when the site asked.
    """
    found = b""
    for key in keys:
        # By the key itself and not by its stated name alone: another's may be put under it.
        if key.kid != kid or _thumbprint(key) != kid:
            continue
        revoked = key.revoke_time
        if key.HasField("revoke_time") and (revoked.seconds, revoked.nanos) <= (asked.seconds, asked.nanos):
            raise ReceiptError("kid: revoked when the site asked")
        found = p256.point_of_jwk(key.jwk)
    if not found:
        raise ReceiptError("kid: no key of this user")
    return found


def _thumbprint(key: SiteKey) -> str:
    try:
        return p256.thumbprint(p256.point_of_jwk(key.jwk))
    except BadSignature:
        return ""


def _time(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise ReceiptError("time: not one of a calendar") from None


def _details(source: Approval | CreateApprovalRequest) -> tuple[tuple[str, str], ...]:
    return tuple((detail.label, detail.value) for detail in source.details)


def _compare(**same: bool) -> None:
    """Raises ReceiptError for the first that is not the same."""
    for name, holds in same.items():
        if not holds:
            raise ReceiptError(f"{name}: differs from what was asked")
