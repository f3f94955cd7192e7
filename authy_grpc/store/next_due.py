"""Reads when something falls due next, so that nobody has to look for it before."""

from datetime import datetime

from sqlalchemy import Column, Table, func, select

from authy_grpc.domain import enrollment
from authy_grpc.domain.approval import ApprovalState
from authy_grpc.store.bulk import table
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import ApprovalRow, EnrollmentRow, TextRow
from authy_grpc.store.tx import Tx

_ENROLLMENT, _APPROVAL, _TEXT = table(EnrollmentRow), table(ApprovalRow), table(TextRow)


def _earliest(*times: datetime | None) -> datetime | None:
    return min((each for each in times if each is not None), default=None)


def _by_state(rows: Table, *states: str) -> Statement[datetime | None]:
    """When the first of the rows in some states expires: one look into an index for each."""
    time: Column[datetime] = rows.c.expire_time
    first = [select(func.min(time)).where(rows.c.state == each).scalar_subquery() for each in states]
    return Statement(_earliest, select(*first))


_NEXT_ENROLLMENT = _by_state(_ENROLLMENT, *sorted(set(enrollment.EnrollmentState) - enrollment.TERMINAL))
_NEXT_APPROVAL = _by_state(_APPROVAL, ApprovalState.PENDING.value)
_NEXT_TEXT = Statement(_earliest, select(func.min(_TEXT.c.due_time)))


def of_enrollments(tx: Tx) -> datetime | None:
    """When the next open enrollment expires; None where none is open."""
    return _NEXT_ENROLLMENT.first(tx)


def of_approvals(tx: Tx) -> datetime | None:
    """When the next open question expires; None where none is open."""
    return _NEXT_APPROVAL.first(tx)


def of_texts(tx: Tx) -> datetime | None:
    """When the next text is to be sent; None where none waits."""
    return _NEXT_TEXT.first(tx)
