"""The states of an approval and the moves between them."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from authy_grpc.domain.errors import WrongState


class ApprovalState(StrEnum):
    """Where a question stands."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"


class DenyReason(StrEnum):
    """Why an approval was denied."""

    CANCELED_BY_USER = "CANCELED_BY_USER"
    FRAUD = "FRAUD"
    MATCH_NUMBER = "MATCH_NUMBER"


_S = ApprovalState

MOVES: dict[ApprovalState, frozenset[ApprovalState]] = {
    _S.PENDING: frozenset({_S.APPROVED, _S.DENIED, _S.EXPIRED, _S.CANCELED}),
    _S.APPROVED: frozenset(),
    _S.DENIED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELED: frozenset(),
}
TERMINAL = frozenset(state for state, moves in MOVES.items() if not moves)

ANSWERS = frozenset({_S.APPROVED, _S.DENIED})


@dataclass(frozen=True, slots=True)
class Detail:
    """One line that the user is shown."""

    label: str = field(repr=False)
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One question to one user.

    The match number is no part of it: this is what events carry, and they never carry that.

    Attributes:
        respond_time: when it was answered; None unless APPROVED or DENIED.
        deny_reason: None unless DENIED.
        receipt: the compact JWS of the answer; empty where there is none.
        revision: grows by one with each change.
        hidden_details: never shown to the user.
    """

    approval_id: str
    authy_id: str
    state: ApprovalState = ApprovalState.PENDING
    message: str = field(repr=False)
    details: tuple[Detail, ...] = field(default=(), repr=False)
    create_time: datetime
    expire_time: datetime
    respond_time: datetime | None = None
    deny_reason: DenyReason | None = None
    receipt: str = field(default="", repr=False)
    revision: int = 1
    hidden_details: dict[str, str] = field(default_factory=dict, repr=False)
    require_user_verification: bool = False


def at(approval: Approval, now: datetime) -> Approval:
    """Returns the approval as it stands at `now`: EXPIRED from its `expire_time` on.

    The answer does not depend on `now` beyond that, so a read before the expiry worker and one after it
    see the same.
    """
    if now < approval.expire_time or _S.EXPIRED not in MOVES[approval.state]:
        return approval
    return _changed(approval, _S.EXPIRED)


def move(
    approval: Approval,
    state: ApprovalState,
    now: datetime,
    *,
    deny_reason: DenyReason | None = None,
    receipt: str = "",
) -> Approval:
    """Returns the approval in another state, one revision on.

    EXPIRED is reached through `at` alone: only time expires.

    Args:
        approval: as it was last written; `at` is asked first.
        state: the next state.
        now: becomes `respond_time` where the state is an answer.
        deny_reason: with DENIED.
        receipt: with APPROVED, and with DENIED by the owner's own choice.

    Raises:
        WrongState: the move is not legal; names the state at `now`.
    """
    current = at(approval, now)
    if state is _S.EXPIRED or state not in MOVES[current.state]:
        raise WrongState(current.state.value)
    respond_time = now if state in ANSWERS else None
    return replace(
        _changed(current, state), respond_time=respond_time, deny_reason=deny_reason, receipt=receipt
    )


def attempts_allowed(match_digits: int) -> int:
    """Returns how many wrong match numbers deny the question, the last of them included.

    Fewer than six digits are too easily guessed for a second try.
    """
    return 3 if match_digits >= 6 else 1


def _changed(approval: Approval, state: ApprovalState) -> Approval:
    return replace(approval, state=state, revision=approval.revision + 1)
