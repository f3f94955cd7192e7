"""Owns how credentials are found by their hash, and the events by which every server learns of their end."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import update
from sqlmodel import col, select

from authy_grpc.store.events import CREDENTIALS, NewEvent
from authy_grpc.store.tables import ApiKeyRow, DeviceRow, OperatorKeyRow, SessionRow
from authy_grpc.store.tx import Tx

ENDED = "credential.ended"
CHANGED = "credential.changed"


def ended(subject_id: str) -> NewEvent:
    """The event that ends the streams of an API key, a session, or a device with all its sessions."""
    return NewEvent(type=ENDED, subject_id=subject_id, account_id=CREDENTIALS)


def changed(subject_id: str) -> NewEvent:
    """The event that makes every server look a credential up again."""
    return NewEvent(type=CHANGED, subject_id=subject_id, account_id=CREDENTIALS)


def api_keys(tx: Tx, secret_hashes: Sequence[bytes]) -> Sequence[ApiKeyRow]:
    """The API keys of some hashes, whether or not they have expired, but those that are revoked."""
    return tx.exec(
        select(ApiKeyRow).where(
            col(ApiKeyRow.secret_hash).in_(secret_hashes), col(ApiKeyRow.revoke_time).is_(None)
        )
    ).all()


def device_sessions(tx: Tx, token_hashes: Sequence[bytes]) -> Sequence[tuple[SessionRow, DeviceRow]]:
    """The sessions of some device tokens, whether or not they have expired, but those of revoked devices."""
    return tx.exec(
        select(SessionRow, DeviceRow)
        .join(DeviceRow, col(DeviceRow.device_id) == col(SessionRow.device_id))
        .where(col(SessionRow.token_hash).in_(token_hashes), DeviceRow.state != "REVOKED")
    ).all()


def key_stands(tx: Tx, api_key_id: str) -> bool:
    """Whether an API key has not been revoked."""
    statement = select(ApiKeyRow.api_key_id).where(
        ApiKeyRow.api_key_id == api_key_id, col(ApiKeyRow.revoke_time).is_(None)
    )
    return tx.exec(statement).first() is not None


def session_stands(tx: Tx, session_id: str) -> bool:
    """Whether a session has not ended, nor its device been revoked."""
    statement = (
        select(SessionRow.session_id)
        .join(DeviceRow, col(DeviceRow.device_id) == col(SessionRow.device_id))
        .where(SessionRow.session_id == session_id, DeviceRow.state != "REVOKED")
    )
    return tx.exec(statement).first() is not None


def note_use(tx: Tx, name: str, used: datetime) -> None:
    """Write when an API or operator key was last used, or a device last seen."""
    match name.partition("_")[0]:
        case "key":
            statement = update(ApiKeyRow).where(col(ApiKeyRow.api_key_id) == name).values(last_use_time=used)
        case "opk":
            key = col(OperatorKeyRow.operator_key_id) == name
            statement = update(OperatorKeyRow).where(key).values(last_use_time=used)
        case _:
            statement = update(DeviceRow).where(col(DeviceRow.device_id) == name).values(last_seen_time=used)
    tx.connection().execute(statement)
