"""Owns how plans of what sites are told are found."""

from datetime import datetime

from sqlmodel import Session, col, select

from authy_grpc.store.tables import TellingRow

_STEP = 100


def due(session: Session, now: datetime) -> list[TellingRow]:
    """What is due, the oldest first, locked, without what another server has taken."""
    statement = (
        select(TellingRow)
        .where(TellingRow.due_time <= now)
        .order_by(col(TellingRow.due_time))
        .limit(_STEP)
        .with_for_update(skip_locked=True)
    )
    return list(session.exec(statement))
