"""Checks a keyset by the marks that a database keeps of its own: a server with another one must not start."""

from authy_grpc.store import meta
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import KeysetError, Vault

_NAME = "keyset.check"
_TEXT = b"authy_grpc"
_PLACE = "meta.value"


def check(tx: Tx, vault: Vault) -> None:
    """Ask whether the keyset is the database's own, at any step of a rotation.

    A database that has none yet keeps this one's marks: a sealed text, which a keyset must open, and
    a digest by each key, since new keys that were added in two places would each be read in one alone.

    Raises:
        KeysetError: it is another one's, or damaged, or its new keys are not those that others have.
    """
    for mark in missing(tx, vault):
        meta.ROWS.add(tx, mark)


def missing(tx: Tx, vault: Vault) -> list[meta.Kept]:
    """As `check`, without a change: answers the marks that the database has not yet."""
    new = []
    row = meta.ROWS.find(tx, _NAME)
    if row is None:
        new.append(meta.Kept(_NAME, vault.seal(_PLACE, _NAME, _TEXT)))
    else:
        _open(vault, row)
    for age, digest in vault.by_age("number", _TEXT).items():
        name = f"keyset.{age}"
        known = meta.ROWS.find(tx, name)
        if known is None:
            new.append(meta.Kept(name, digest))
        elif known.value != digest:
            raise KeysetError(
                "This keyset has keys that were added apart from those of the other servers:"
                " `authy-grpc keys add` runs once, and every server gets a copy of that keyset."
            )
    return new


def seal_anew(tx: Tx, vault: Vault) -> None:
    """Seal the database's mark by the primary key: servers that do not have it start no more.

    Raises:
        KeysetError: the keyset is not the database's own.
    """
    row = meta.ROWS.find(tx, _NAME, lock=True)
    if row is None:
        raise RuntimeError("a database's keyset is checked before it is sealed anew")
    _open(vault, row)
    meta.ROWS.change(tx, row, value=vault.seal(_PLACE, _NAME, _TEXT))


def _open(vault: Vault, row: meta.Kept) -> None:
    try:
        vault.open(_PLACE, _NAME, row.value)
    except KeysetError as error:
        raise KeysetError(
            "This keyset is not the database's own:"
            " set AUTHY_KEYSET or AUTHY_HOME to the one it was made with, or to what a rotation made of it."
        ) from error
