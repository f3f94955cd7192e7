"""Looks credentials up by their hash, all that wait at once, and makes the events that tell of their end."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import LargeBinary, bindparam, select

from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.events import CREDENTIALS, NewEvent
from authy_grpc.store.statements import Statement, Updated
from authy_grpc.store.tables import ApiKeyRow, DeviceRow, OperatorKeyRow, SessionRow
from authy_grpc.store.tx import Tx

ENDED = "credential.ended"
CHANGED = "credential.changed"


class KnownKey(NamedTuple):
    """An API key, by its hash."""

    secret_hash: bytes
    application_id: str
    api_key_id: str
    scopes: str
    expire_time: datetime | None


class KnownSession(NamedTuple):
    """A session and its device, by the hash of the token."""

    token_hash: bytes
    account_id: str
    device_id: str
    session_id: str
    state: str
    expire_time: datetime


_KEY, _DEVICE, _SESSION = table(ApiKeyRow), table(DeviceRow), table(SessionRow)
_OPERATOR_KEY = table(OperatorKeyRow)
_HASHES = Bulk(value=LargeBinary)
_KEYS = _HASHES.statement(
    lambda hashes: (
        select(*[_KEY.c[name] for name in KnownKey._fields])
        .select_from(hashes)
        .join(_KEY, _KEY.c.secret_hash == hashes.c.value)
        .where(_KEY.c.revoke_time.is_(None))
    )
)
_SESSIONS = _HASHES.statement(
    lambda hashes: (
        select(
            _SESSION.c.token_hash,
            _DEVICE.c.account_id,
            _DEVICE.c.device_id,
            _SESSION.c.session_id,
            _DEVICE.c.state,
            _SESSION.c.expire_time,
        )
        .select_from(hashes)
        .join(_SESSION, _SESSION.c.token_hash == hashes.c.value)
        .join(_DEVICE, _DEVICE.c.device_id == _SESSION.c.device_id)
        .where(_DEVICE.c.state != "REVOKED")
    )
)
_KEY_STANDS = Statement(
    str,
    select(_KEY.c.api_key_id).where(
        _KEY.c.api_key_id == bindparam("api_key_id"), _KEY.c.revoke_time.is_(None)
    ),
)
_SESSION_STANDS = Statement(
    str,
    select(_SESSION.c.session_id)
    .join(_DEVICE, _DEVICE.c.device_id == _SESSION.c.device_id)
    .where(_SESSION.c.session_id == bindparam("session_id"), _DEVICE.c.state != "REVOKED"),
)
_KEY_USED = Updated(_KEY, "api_key_id")
_OPERATOR_KEY_USED = Updated(_OPERATOR_KEY, "operator_key_id")
_DEVICE_SEEN = Updated(_DEVICE, "device_id")


def ended(subject_id: str) -> NewEvent:
    """The event that ends the streams of an API key, a session, or a device with all its sessions."""
    return NewEvent(type=ENDED, subject_id=subject_id, account_id=CREDENTIALS)


def changed(subject_id: str) -> NewEvent:
    """The event that makes every server look a credential up again."""
    return NewEvent(type=CHANGED, subject_id=subject_id, account_id=CREDENTIALS)


def api_keys(tx: Tx, secret_hashes: Sequence[bytes]) -> list[KnownKey]:
    """The API keys of some hashes, whether or not they have expired, but those that are revoked."""
    return [KnownKey(*row) for row in _KEYS.all(tx, [(each,) for each in secret_hashes])]


def device_sessions(tx: Tx, token_hashes: Sequence[bytes]) -> list[KnownSession]:
    """The sessions of some device tokens, whether or not they have expired, but those of revoked devices."""
    return [KnownSession(*row) for row in _SESSIONS.all(tx, [(each,) for each in token_hashes])]


def key_stands(tx: Tx, api_key_id: str) -> bool:
    """Whether an API key has not been revoked."""
    return _KEY_STANDS.first(tx, api_key_id=api_key_id) is not None


def session_stands(tx: Tx, session_id: str) -> bool:
    """Whether a session has not ended, nor its device been revoked."""
    return _SESSION_STANDS.first(tx, session_id=session_id) is not None


def note_use(tx: Tx, name: str, used: datetime) -> None:
    """Write when an API or operator key was last used, or a device last seen."""
    match name.partition("_")[0]:
        case "key":
            _KEY_USED.run(tx, name, last_use_time=used)
        case "opk":
            _OPERATOR_KEY_USED.run(tx, name, last_use_time=used)
        case _:
            _DEVICE_SEEN.run(tx, name, last_seen_time=used)
