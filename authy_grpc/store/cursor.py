"""Cursors: places in the feed, sealed for one application."""

from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.domain.errors import BadField, CursorExpired
from authy_grpc.store.position import Position, pack, unpack
from authy_grpc.store.vault import KeysetError, Vault

_PLACE = "cursor"
_BYTES = 57


def seal_cursor(vault: Vault, application_id: str, position: Position) -> str:
    """The cursor of a place: 76 characters."""
    return base64url(vault.seal(_PLACE, application_id, pack(position)))


def open_cursor(vault: Vault, application_id: str, cursor: str) -> Position:
    """The place of a cursor.

    Raises:
        BadField: it is not one of this application's.
        CursorExpired: the key that sealed it was dropped.
    """
    sealed = b""
    try:
        sealed = base64url_decode(cursor)
        return unpack(vault.open(_PLACE, application_id, sealed))
    except (ValueError, KeysetError) as error:
        if len(sealed) == _BYTES and vault.is_unknown(sealed):
            raise CursorExpired from error
        raise BadField.one("cursor", "is not one that this feed answered") from error
