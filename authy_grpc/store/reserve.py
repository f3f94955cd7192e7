"""Locks what has no row yet (advisory lock): of two who make it the second sees what the first has made."""

from sqlalchemy import String, bindparam, func, select

from authy_grpc.store.statements import statement
from authy_grpc.store.tx import Tx

_LOCK = statement(
    select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name", type_=String), 0)))
)


def reserve(tx: Tx, name: str) -> bool:
    """Lock a name until the transaction ends; what is read from then on is as those before have left it.

    Args:
        tx: of a work.
        name: of what is to be made: a kind and an id or digest.

    Returns:
        Whether that was needed: SQLite has one writer.
    """
    if tx.postgres:
        _LOCK.ask(tx, name=name)
    return tx.postgres
