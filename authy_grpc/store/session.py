"""Owns device tokens: they are found by their hash in `credential.py`, and kept and ended here."""

from sqlalchemy import delete
from sqlmodel import col, select

from authy_grpc.store.tables import SessionRow
from authy_grpc.store.tx import Tx


def oldest(tx: Tx, device_id: str, kept: int) -> list[SessionRow]:
    """The sessions of a device that are more than may be kept, oldest first."""
    statement = (
        select(SessionRow)
        .where(SessionRow.device_id == device_id)
        .order_by(col(SessionRow.create_time).desc(), col(SessionRow.session_id).desc())
        .offset(kept)
    )
    return list(tx.exec(statement))


def end(tx: Tx, session_id: str) -> bool:
    """End a session; answers whether there was one."""
    ended = delete(SessionRow).where(col(SessionRow.session_id) == session_id)
    return tx.connection().execute(ended).rowcount > 0


def end_all(tx: Tx, device_id: str) -> None:
    """End all sessions of a device."""
    tx.connection().execute(delete(SessionRow).where(col(SessionRow.device_id) == device_id))
