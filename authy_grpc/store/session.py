"""Owns device tokens: they are found by their hash in `credential.py`, and kept and ended here."""

from sqlalchemy import delete
from sqlmodel import Session, col, select

from authy_grpc.store.tables import SessionRow


def oldest(session: Session, device_id: str, kept: int) -> list[SessionRow]:
    """The sessions of a device that are more than may be kept, oldest first."""
    statement = (
        select(SessionRow)
        .where(SessionRow.device_id == device_id)
        .order_by(col(SessionRow.create_time).desc(), col(SessionRow.session_id).desc())
        .offset(kept)
    )
    return list(session.exec(statement))


def end(session: Session, session_id: str) -> bool:
    """End a session; answers whether there was one."""
    ended = delete(SessionRow).where(col(SessionRow.session_id) == session_id)
    return session.connection().execute(ended).rowcount > 0


def end_all(session: Session, device_id: str) -> None:
    """End all sessions of a device."""
    session.connection().execute(delete(SessionRow).where(col(SessionRow.device_id) == device_id))
