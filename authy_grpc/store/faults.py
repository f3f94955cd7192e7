"""Tells the faults of a database (gone, full, read-only, too slow) from those of our own statements.

PostgreSQL's are judged by the class of their SQLSTATE, not by the driver's exceptions: a primary that has
become a standby answers 25006, which is no OperationalError.
"""

import sqlite3
from enum import StrEnum
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

# Connection, authorization, no such database, rollback (deadlock, serialization), resources, object in use or
# locked, operator's intervention, system, configuration, internal.
_CLASSES = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58", "F0", "XX"})
# Read-only; idle in a transaction, or in one for too long; a right was taken away; NOTIFY's queue is full.
_STATES = frozenset({"25006", "25P03", "25P04", "42501", "54000"})
# A pooler has given us another connection than the one that knew a statement, or a table was altered.
_STALE = frozenset({"26000", "42P05", "0A000"})
# After these a connection is good for nothing: the server goes, is a standby now, or cannot be trusted.
_ENDING_CLASSES = frozenset({"08", "57", "58", "F0", "XX"})
_ENDING_STATES = frozenset({"25006", "25P03", "25P04"}) | _STALE
_CANCELED = "57014"
_OF_NOTIFY = frozenset({"54000", "42501"})
_CONTENDED_CLASSES = frozenset({"40", "55"})

_SQLITE_CONTENDED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
# Opened anew, these may be right again.
_SQLITE_ENDING = frozenset(
    {
        sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB,
    }
)  # fmt: skip
_SQLITE = (
    _SQLITE_CONTENDED | _SQLITE_ENDING | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOLFS}
)


class Fault(StrEnum):
    """The kinds of errors, as metrics tell them."""

    CONNECTION = "CONNECTION"
    CONTENDED = "CONTENDED"
    TIMEOUT = "TIMEOUT"
    READ_ONLY = "READ_ONLY"
    FULL = "FULL"
    RIGHTS = "RIGHTS"
    SYSTEM = "SYSTEM"
    CONSTRAINT = "CONSTRAINT"
    STATEMENT = "STATEMENT"


_KINDS_BY_STATE = {_CANCELED: Fault.TIMEOUT, "25006": Fault.READ_ONLY, "42501": Fault.RIGHTS}
_KINDS_BY_CLASS = {
    "08": Fault.CONNECTION,
    "57": Fault.CONNECTION,
    "25": Fault.TIMEOUT,
    "40": Fault.CONTENDED,
    "55": Fault.CONTENDED,
    "53": Fault.FULL,
    "54": Fault.FULL,
    "28": Fault.RIGHTS,
    "3D": Fault.RIGHTS,
    "58": Fault.SYSTEM,
    "F0": Fault.SYSTEM,
    "XX": Fault.SYSTEM,
    "23": Fault.CONSTRAINT,
}
_KINDS_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: Fault.CONTENDED,
    sqlite3.SQLITE_LOCKED: Fault.CONTENDED,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_NOMEM: Fault.FULL,
    sqlite3.SQLITE_PERM: Fault.RIGHTS,
    sqlite3.SQLITE_CONSTRAINT: Fault.CONSTRAINT,
    **dict.fromkeys(
        (
            sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_NOLFS,
        ),
        Fault.SYSTEM,
    ),
}  # fmt: skip


def kind(error: BaseException | None) -> Fault:
    """What kind of error a driver has raised; STATEMENT where none of the others."""
    if isinstance(error, sqlite3.Error):
        return _KINDS_OF_SQLITE.get(_sqlite_code(error) or -1, Fault.STATEMENT)
    state = _state(error)
    if state is None:
        # Of a connection that was not made, or broke, psycopg has no SQLSTATE.
        broken = type(error).__name__ in ("OperationalError", "InterfaceError")
        return Fault.CONNECTION if broken else Fault.STATEMENT
    return _KINDS_BY_STATE.get(state) or _KINDS_BY_CLASS.get(state[:2], Fault.STATEMENT)


def out_of_reach(error: DBAPIError) -> bool:
    """Whether the database is at fault rather than the statement, so that nothing was decided."""
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        code = _sqlite_code(error.orig)
        return code in _SQLITE if code is not None else isinstance(error, OperationalError)
    state = _state(error.orig)
    if state is None:
        # Of a connection that was not made, or broke, the driver has no SQLSTATE.
        return isinstance(error, OperationalError | InterfaceError)
    return state[:2] in _CLASSES or state in _STATES or state in _STALE


def contended(error: DBAPIError) -> bool:
    """Whether others were in the way: it says nothing of whether the database can be written."""
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error.orig) in _SQLITE_CONTENDED
    state = _state(error.orig) or ""
    return state == _CANCELED or state[:2] in _CONTENDED_CLASSES


def may_be_of_notify(error: DBAPIError) -> bool:
    """Whether a commit may have failed for what it would have told to listeners.

    One of them has not read for long, or the right to tell them was taken away.
    """
    return _state(error.orig) in _OF_NOTIFY


def ends_connection(error: BaseException | None) -> bool:
    """Whether the connection that an error of the driver came by has to be dropped."""
    if isinstance(error, sqlite3.Error):
        return _sqlite_code(error) in _SQLITE_ENDING
    state = _state(error)
    if state is None or state == _CANCELED:
        return False
    return state[:2] in _ENDING_CLASSES or state in _ENDING_STATES


def _state(error: Any) -> str | None:
    state: str | None = getattr(error, "sqlstate", None)
    return state


def _sqlite_code(error: Any) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
