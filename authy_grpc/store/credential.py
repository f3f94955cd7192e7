"""Owns how credentials are found by their hash, and the events by which every server learns of their end."""

from datetime import datetime

from sqlalchemy import update
from sqlmodel import Session, col, select

from authy_grpc.store.events import CREDENTIALS, NewEvent
from authy_grpc.store.tables import ApiKeyRow, DeviceRow, OperatorKeyRow, SessionRow

ENDED = "credential.ended"
CHANGED = "credential.changed"


def ended(subject_id: str) -> NewEvent:
    """The event that ends the streams of an API key, a session, or a device with all its sessions."""
    return NewEvent(type=ENDED, subject_id=subject_id, account_id=CREDENTIALS)


def changed(subject_id: str) -> NewEvent:
    """The event that makes every server look a credential up again."""
    return NewEvent(type=CHANGED, subject_id=subject_id, account_id=CREDENTIALS)


def api_key(session: Session, secret_hash: bytes) -> ApiKeyRow | None:
    """The API key of a hash, whether or not it has expired; None where it is revoked."""
    return session.exec(
        select(ApiKeyRow).where(ApiKeyRow.secret_hash == secret_hash, col(ApiKeyRow.revoke_time).is_(None))
    ).first()


def device_session(session: Session, token_hash: bytes) -> tuple[SessionRow, DeviceRow] | None:
    """The session of a device token, whether or not it has expired; None where its device is revoked."""
    return session.exec(
        select(SessionRow, DeviceRow)
        .join(DeviceRow, col(DeviceRow.device_id) == col(SessionRow.device_id))
        .where(SessionRow.token_hash == token_hash, DeviceRow.state != "REVOKED")
    ).first()


def key_stands(session: Session, api_key_id: str) -> bool:
    """Whether an API key has not been revoked."""
    statement = select(ApiKeyRow.api_key_id).where(
        ApiKeyRow.api_key_id == api_key_id, col(ApiKeyRow.revoke_time).is_(None)
    )
    return session.exec(statement).first() is not None


def session_stands(session: Session, session_id: str) -> bool:
    """Whether a session has not ended, nor its device been revoked."""
    statement = (
        select(SessionRow.session_id)
        .join(DeviceRow, col(DeviceRow.device_id) == col(SessionRow.device_id))
        .where(SessionRow.session_id == session_id, DeviceRow.state != "REVOKED")
    )
    return session.exec(statement).first() is not None


def note_use(session: Session, name: str, now: datetime) -> None:
    """Write when an API or operator key was last used, or a device last seen."""
    match name.partition("_")[0]:
        case "key":
            statement = update(ApiKeyRow).where(col(ApiKeyRow.api_key_id) == name).values(last_use_time=now)
        case "opk":
            key = col(OperatorKeyRow.operator_key_id) == name
            statement = update(OperatorKeyRow).where(key).values(last_use_time=now)
        case _:
            statement = update(DeviceRow).where(col(DeviceRow.device_id) == name).values(last_seen_time=now)
    session.connection().execute(statement)
