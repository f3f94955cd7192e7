"""Counts what a transaction decides, for metrics: it is told after the commit, and never of one rolled back.

A key is the name of a metric and the values of its labels. All of them are in `KEYS`: no id ever is.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from authy_grpc.domain.approval import Approval, ApprovalState, DenyReason
from authy_grpc.domain.enrollment import Enrollment, EnrollmentState
from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import CodeResult

if TYPE_CHECKING:
    from authy_grpc.store.tx import Tx


Key = tuple[str, ...]
Tally = Mapping[Key, int]

CODES, APPROVALS, ENROLLMENTS, TEXTS, LOCKS = "codes", "approvals", "enrollments", "texts", "locks"
CREATED, LOCKED, UNKNOWN = "CREATED", "LOCKED", "UNKNOWN"

_INFO = "tally"
_DENIALS = {
    DenyReason.CANCELED_BY_USER: "DENIED",
    DenyReason.FRAUD: "DENIED_FRAUD",
    DenyReason.MATCH_NUMBER: "DENIED_MATCH_NUMBER",
}
_LOCKS = {
    UserEventType.LOCKED.value: "LOCKED",
    UserEventType.UNLOCKED.value: "UNLOCKED",
    UserEventType.PUSH_FROZEN.value: "PUSH_FROZEN",
}
_TEXTS = ("DELIVERED", "REFUSED", "UNREACHABLE", UNKNOWN, "RETRIED")
_REFUSED_CODES = (*(each.value for each in CodeResult if each is not CodeResult.ACCEPTED), LOCKED)

KEYS: frozenset[Key] = frozenset(
    [
        *((CODES, "ACCEPTED", factor.value) for factor in Factor if factor is not Factor.PUSH),
        *((CODES, result, UNKNOWN) for result in _REFUSED_CODES),
        (CODES, "WRONG", Factor.BACKUP_CODE.value),
        *((APPROVALS, outcome) for outcome in (CREATED, *_DENIALS.values())),
        *((APPROVALS, state.value) for state in ApprovalState if state.value not in ("PENDING", "DENIED")),
        *((ENROLLMENTS, state.value) for state in EnrollmentState if state is not EnrollmentState.PENDING),
        (ENROLLMENTS, CREATED),
        *((TEXTS, outcome) for outcome in _TEXTS),
        *((LOCKS, kind) for kind in _LOCKS.values()),
    ]
)


def count(tx: "Tx", *key: str) -> None:
    """Count something once, if the transaction is committed.

    Args:
        tx: of the work, which writes something, too.
        *key: one of `KEYS`.
    """
    counted: Counter[Key] = tx.info.setdefault(_INFO, Counter())
    counted[key] += 1


def count_event(tx: "Tx", type: str, body: object) -> None:
    """Count an event that is recorded, where its type says how something went."""
    if isinstance(body, Enrollment):
        count(tx, ENROLLMENTS, CREATED if body.revision == 1 else body.state.value)
    elif isinstance(body, Approval):
        count(tx, APPROVALS, _outcome(body))
    elif type in _LOCKS:
        count(tx, LOCKS, _LOCKS[type])


def take(tx: "Tx") -> Tally:
    """What was counted; asked before the commit, and told after it."""
    counted: Tally = tx.info.pop(_INFO, {})
    return counted


def _outcome(approval: Approval) -> str:
    if approval.state is ApprovalState.PENDING:
        return CREATED
    if approval.state is ApprovalState.DENIED and approval.deny_reason is not None:
        return _DENIALS[approval.deny_reason]
    return approval.state.value
