"""Owns cursors: places in the feed, sealed for one application, and how far back they may reach."""

from sqlmodel import Session

from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.domain.errors import BadField
from authy_grpc.store.events import EARLIEST, Position
from authy_grpc.store.tables import MetaRow
from authy_grpc.store.vault import KeysetError, Vault

_PLACE = "cursor"
_PRUNED = "feed.pruned"


def seal_cursor(vault: Vault, application_id: str, position: Position) -> str:
    """The cursor of a place."""
    return base64url(vault.seal(_PLACE, application_id, _write(position)))


def open_cursor(vault: Vault, application_id: str, cursor: str) -> Position:
    """The place of a cursor.

    Raises:
        BadField: it is not one of this application's.
    """
    try:
        return _read(vault.open(_PLACE, application_id, base64url_decode(cursor)))
    except (ValueError, KeysetError) as error:
        raise BadField.one("cursor", "is not one that this feed answered") from error


def pruned(session: Session) -> Position:
    """The newest event that is no longer kept; a cursor before it has missed something."""
    row = session.get(MetaRow, _PRUNED)
    return _read(row.value) if row else EARLIEST


def set_pruned(session: Session, position: Position) -> None:
    """Say that all up to a place has been removed."""
    session.merge(MetaRow(name=_PRUNED, value=_write(position)))


def _write(position: Position) -> bytes:
    return ".".join(str(each) for each in position).encode()


def _read(text: bytes) -> Position:
    return Position(*[int(each) for each in text.decode().split(".")])
