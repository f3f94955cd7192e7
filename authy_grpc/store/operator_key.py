"""Keeps operator keys: the hash of each, its name, and when it was revoked."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import LargeBinary, bindparam, insert, select

from authy_grpc.domain.errors import NotFound
from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.statements import Statement, Updated, statement
from authy_grpc.store.tables import OperatorKeyRow
from authy_grpc.store.tx import Tx


class Listed(NamedTuple):
    """A key, without its secret."""

    operator_key_id: str
    name: str
    create_time: datetime
    last_use_time: datetime | None


_KEY = table(OperatorKeyRow)
_STANDS = _KEY.c.revoke_time.is_(None)
_BY_HASH = Bulk(value=LargeBinary).statement(
    lambda hashes: (
        select(_KEY.c.secret_hash, _KEY.c.operator_key_id, _KEY.c.name)
        .select_from(hashes)
        .join(_KEY, _KEY.c.secret_hash == hashes.c.value)
        .where(_STANDS)
    )
)
_BY_ID = Statement(
    str, select(_KEY.c.operator_key_id).where(_KEY.c.operator_key_id == bindparam("own"), _STANDS)
)
_LISTED = Statement(
    Listed, select(*[_KEY.c[name] for name in Listed._fields]).where(_STANDS).order_by(_KEY.c.operator_key_id)
)
_NAMED = Statement(
    str, select(_KEY.c.operator_key_id).where(_KEY.c.name == bindparam("name"), _STANDS).with_for_update()
)
_INSERT = statement(
    insert(_KEY).values(
        {name: bindparam(name) for name in ("operator_key_id", "name", "secret_hash", "create_time")}
    )
)
_REVOKE = Updated(_KEY, "operator_key_id")


def by_hash(tx: Tx, secret_hashes: Sequence[bytes]) -> dict[bytes, tuple[str, str]]:
    """The ids and names of the keys of some hashes, but those that are revoked."""
    rows = _BY_HASH.all(tx, [(each,) for each in secret_hashes])
    return {secret_hash: (own, name) for secret_hash, own, name in rows}


def stands(tx: Tx, operator_key_id: str) -> bool:
    """Whether a key has not been revoked."""
    return _BY_ID.first(tx, own=operator_key_id) is not None


def listed(tx: Tx) -> list[Listed]:
    """The keys that are not revoked, oldest first."""
    return _LISTED.all(tx)


def is_named(tx: Tx, name: str) -> bool:
    """Whether a key that is not revoked has a name."""
    return _NAMED.first(tx, name=name) is not None


def add(tx: Tx, *, operator_key_id: str, name: str, secret_hash: bytes) -> None:
    """Keep a new key."""
    _INSERT.run(tx, operator_key_id=operator_key_id, name=name, secret_hash=secret_hash, create_time=tx.now())


def revoke(tx: Tx, name: str) -> str:
    """Revoke the key of a name; answers its id.

    Raises:
        NotFound: no key that is not revoked has this name.
    """
    found = _NAMED.first(tx, name=name)
    if found is None:
        raise NotFound
    _REVOKE.run(tx, found, revoke_time=tx.now())
    return found
