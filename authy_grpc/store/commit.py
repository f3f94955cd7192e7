"""Prepares commits on PostgreSQL: wakes other servers, and clears up a commit that was not answered."""

import time

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from authy_grpc.store.tx import Tx

CHANNEL = "authy_grpc"
_ASKS = 10
_ASK_SECONDS = 0.25
_XID = "pg_current_xact_id_if_assigned()::text"
_SEE_XID = f"SELECT {_XID}"
_WAKE = f"SELECT pg_notify('{CHANNEL}', '')"
_WAKE_AND_SEE_XID = f"SELECT {_XID}, pg_notify('{CHANNEL}', '')"
# Of a transaction that a server which died had not written down, and that has not come again since.
_IN_THE_FUTURE = "22023"
_OUTCOME = text("SELECT pg_xact_status(CAST(:xid AS xid8))")


class OutcomeUnknown(Exception):
    """The database went away in the midst of a commit, and does not come back to say what became of it."""


def announce(tx: Tx, *, wakes: bool) -> str | None:
    """Prepare a commit.

    Args:
        tx: whose changes are about to be committed.
        wakes: whether other servers are told, once it is.

    Returns:
        The name by which `was_committed` asks; None where nothing was changed.
    """
    if tx.has_changed_nothing and not wakes:
        return None
    if tx.xid is None:
        ((xid, *_),) = tx.execute_raw(_WAKE_AND_SEE_XID if wakes else _SEE_XID, None)
        return None if xid is None else str(xid)
    if wakes:
        # What it answers is not waited for.
        tx.run_raw(_WAKE, None)
    return tx.xid


def was_committed(engine: Engine, xid: str) -> bool:
    """Whether a transaction took place whose commit was not answered. It blocks for some seconds.

    Raises:
        OutcomeUnknown: the database does not say in time.
    """
    for _ in range(_ASKS):
        try:
            with engine.begin() as connection:
                outcome: str | None = connection.execute(_OUTCOME, {"xid": xid}).scalar()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _IN_THE_FUTURE:
                return False
        else:
            if outcome in ("committed", "aborted"):
                return outcome == "committed"
        time.sleep(_ASK_SECONDS)
    raise OutcomeUnknown
