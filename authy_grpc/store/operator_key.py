"""Keeps operator keys: the hash of each, its name, and when it was revoked."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update
from sqlmodel import col

from authy_grpc.domain.errors import NotFound
from authy_grpc.store.tables import OperatorKeyRow
from authy_grpc.store.tx import Tx

_id, _name, _revoked = (
    col(OperatorKeyRow.operator_key_id),
    col(OperatorKeyRow.name),
    col(OperatorKeyRow.revoke_time),
)
_COLUMNS = (_id, _name, col(OperatorKeyRow.create_time), col(OperatorKeyRow.last_use_time))
_BY_HASH = select(_id, _name).where(
    col(OperatorKeyRow.secret_hash) == bindparam("secret_hash"), _revoked.is_(None)
)
_STANDS = select(_id).where(_id == bindparam("own"), _revoked.is_(None))
_LISTED = select(*_COLUMNS).where(_revoked.is_(None)).order_by(_id)
_NAMED = select(_id).where(_name == bindparam("name"), _revoked.is_(None)).with_for_update()


def by_hash(tx: Tx, secret_hash: bytes) -> tuple[str, str] | None:
    """The id and name of the key of a hash; None where it is unknown or revoked."""
    found = tx.connection().execute(_BY_HASH, {"secret_hash": secret_hash}).first()
    return None if found is None else (found[0], found[1])


def stands(tx: Tx, operator_key_id: str) -> bool:
    """Whether a key has not been revoked."""
    return tx.connection().execute(_STANDS, {"own": operator_key_id}).first() is not None


def listed(tx: Tx) -> Sequence[tuple[str, str, datetime, datetime | None]]:
    """The keys that are not revoked, oldest first: id, name, time of making and of last use."""
    return [(row[0], row[1], row[2], row[3]) for row in tx.connection().execute(_LISTED)]


def is_named(tx: Tx, name: str) -> bool:
    """Whether a key that is not revoked has a name."""
    return tx.connection().execute(_NAMED, {"name": name}).first() is not None


def add(tx: Tx, *, operator_key_id: str, name: str, secret_hash: bytes) -> None:
    """Keep a new key."""
    tx.connection().execute(
        insert(OperatorKeyRow).values(
            operator_key_id=operator_key_id, name=name, secret_hash=secret_hash, create_time=tx.now()
        )
    )


def revoke(tx: Tx, name: str) -> str:
    """Revoke the key of a name; answers its id.

    Raises:
        NotFound: no key that is not revoked has this name.
    """
    found = tx.connection().execute(_NAMED, {"name": name}).first()
    if found is None:
        raise NotFound
    tx.connection().execute(update(OperatorKeyRow).where(_id == found[0]).values(revoke_time=tx.now()))
    return str(found[0])
