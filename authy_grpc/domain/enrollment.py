"""The states of an enrollment and the moves between them."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from authy_grpc.domain.errors import WrongState
from authy_grpc.domain.user import SiteKey


class EnrollmentMethod(StrEnum):
    """What the user scans with."""

    AUTHENTICATOR = "AUTHENTICATOR"
    GENERIC_TOTP = "GENERIC_TOTP"


class EnrollmentState(StrEnum):
    """Where an enrollment stands."""

    PENDING = "PENDING"
    SCANNED = "SCANNED"
    AWAITING_CODE = "AWAITING_CODE"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"


_S = EnrollmentState

# Accepting or rejecting a PENDING one is two moves, so that whoever watches always learns of the scan.
MOVES: dict[EnrollmentState, frozenset[EnrollmentState]] = {
    _S.PENDING: frozenset({_S.SCANNED, _S.EXPIRED, _S.CANCELED}),
    _S.SCANNED: frozenset({_S.AWAITING_CODE, _S.COMPLETED, _S.REJECTED, _S.EXPIRED, _S.CANCELED}),
    _S.AWAITING_CODE: frozenset({_S.COMPLETED, _S.REJECTED, _S.EXPIRED, _S.CANCELED}),
    _S.COMPLETED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELED: frozenset(),
}
TERMINAL = frozenset(state for state, moves in MOVES.items() if not moves)

INITIAL = {
    EnrollmentMethod.AUTHENTICATOR: _S.PENDING,
    EnrollmentMethod.GENERIC_TOTP: _S.AWAITING_CODE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """One attempt to enroll one user of one relying site.

    Attributes:
        authy_id: empty until COMPLETED.
        revision: grows by one with each change.
        keys: empty until COMPLETED.
    """

    enrollment_id: str
    custom_user_id: str = field(repr=False)
    method: EnrollmentMethod
    state: EnrollmentState
    authy_id: str = ""
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    revision: int = 1
    keys: tuple[SiteKey, ...] = ()


def moves(enrollment: Enrollment) -> frozenset[EnrollmentState]:
    """Returns the states that may follow. Nobody can reject a GENERIC_TOTP one: no account holds it."""
    legal = MOVES[enrollment.state]
    return legal - {_S.REJECTED} if enrollment.method is EnrollmentMethod.GENERIC_TOTP else legal


def at(enrollment: Enrollment, now: datetime) -> Enrollment:
    """Returns the enrollment as it stands at `now`: EXPIRED from its `expire_time` on.

    The answer does not depend on `now` beyond that, so a read before the expiry worker and one after it
    see the same.
    """
    if now < enrollment.expire_time or _S.EXPIRED not in moves(enrollment):
        return enrollment
    return _changed(enrollment, _S.EXPIRED, enrollment.expire_time)


def move(
    enrollment: Enrollment,
    state: EnrollmentState,
    now: datetime,
    *,
    authy_id: str = "",
    keys: tuple[SiteKey, ...] = (),
) -> Enrollment:
    """Returns the enrollment in another state, one revision on.

    EXPIRED is reached through `at` alone: only time expires.

    Args:
        enrollment: as it was last written; `at` is asked first.
        state: the next state.
        now: becomes `update_time`.
        authy_id: with COMPLETED, of the user.
        keys: with COMPLETED, the key that came with it.

    Raises:
        WrongState: the move is not legal; names the state at `now`.
    """
    current = at(enrollment, now)
    if state is _S.EXPIRED or state not in moves(current):
        raise WrongState(current.state.value)
    return replace(_changed(current, state, now), authy_id=authy_id, keys=keys)


def _changed(enrollment: Enrollment, state: EnrollmentState, time: datetime) -> Enrollment:
    return replace(enrollment, state=state, update_time=time, revision=enrollment.revision + 1)
