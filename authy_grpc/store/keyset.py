"""Owns the database's memory of its keyset: a server with another one must not start."""

from sqlmodel import Session

from authy_grpc.store.tables import MetaRow
from authy_grpc.store.vault import KeysetError, Vault

_NAME = "keyset.check"
_TEXT = b"authy_grpc"


def check(session: Session, vault: Vault) -> None:
    """Ask whether the keyset is the database's own; a database that has none yet keeps this one's mark.

    Raises:
        KeysetError: it is another one's, or damaged.
    """
    row = session.get(MetaRow, _NAME)
    if row is None:
        session.add(MetaRow(name=_NAME, value=vault.seal("meta.value", _NAME, _TEXT)))
        return
    try:
        vault.open("meta.value", _NAME, row.value)
    except KeysetError as error:
        raise KeysetError(
            "This keyset is not the database's own:"
            " set AUTHY_KEYSET or AUTHY_HOME to the one it was made with."
        ) from error
