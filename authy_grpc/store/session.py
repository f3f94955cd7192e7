"""Device tokens: they are found by their hash in `credential.py`, and kept and ended here."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Integer, bindparam, delete, select

from authy_grpc.store.bulk import table
from authy_grpc.store.rows import Rows
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import SessionRow
from authy_grpc.store.tx import Tx


@dataclass(slots=True)
class Kept:
    """A session as it is kept: `SessionRow`."""

    session_id: str
    device_id: str
    token_hash: bytes = field(repr=False)
    create_time: datetime
    expire_time: datetime


ROWS = Rows(Kept, SessionRow)
_SESSION = table(SessionRow)
_OWN = _SESSION.c.device_id == bindparam("device_id")
_BEYOND = Statement(
    str,
    select(_SESSION.c.session_id)
    .where(_OWN)
    .order_by(_SESSION.c.create_time.desc(), _SESSION.c.session_id.desc())
    .offset(bindparam("kept", type_=Integer)),
)
_END = Statement(
    str,
    delete(_SESSION).where(_SESSION.c.session_id == bindparam("session_id")).returning(_SESSION.c.session_id),
)
_END_ALL = statement(delete(_SESSION).where(_OWN))


def beyond(tx: Tx, device_id: str, kept: int) -> list[str]:
    """The sessions of a device but for its newest."""
    return _BEYOND.all(tx, device_id=device_id, kept=kept)


def end(tx: Tx, session_id: str) -> bool:
    """End a session; answers whether there was one."""
    return _END.first(tx, session_id=session_id) is not None


def end_all(tx: Tx, device_id: str) -> None:
    """End all sessions of a device."""
    _END_ALL.run(tx, device_id=device_id)
