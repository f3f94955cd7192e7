"""Asks whether a database can be written: the readiness of a server hangs on it."""

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from authy_grpc.store import postgres
from authy_grpc.store.columns import from_millis

_READ_ONLY = text("SELECT current_setting('transaction_read_only')")
_NEWEST = text("SELECT create_time FROM event ORDER BY sequence DESC LIMIT 1")
# A row that is gone when the transaction ends: SQLite writes nothing for an update that changes nothing.
_WRITE = text("INSERT INTO meta (name, value) VALUES ('probe', :value)")
_TAKE_BACK = text("DELETE FROM meta WHERE name = 'probe'")


def newest_time(session: Session) -> datetime | None:
    """When the newest event was recorded, by the clock of the server that did; None where there is none."""
    millis = session.connection().scalar(_NEWEST)
    return None if millis is None else from_millis(millis)


def may_write(session: Session) -> bool:
    """Whether it could be written, as far as can be told without: SQLite's lock was taken already."""
    connection = session.connection()
    return connection.dialect.name != "postgresql" or connection.scalar(_READ_ONLY) == "off"


def writes(session: Session) -> bool:
    """Write, which fails where the disk is full, too."""
    session.connection().execute(_WRITE, {"value": b"probe"})
    session.connection().execute(_TAKE_BACK)
    return True


def is_pooled(session: Session) -> bool:
    """Whether a pooler stands between us and PostgreSQL."""
    driver = session.connection().connection.driver_connection
    return driver is not None and postgres.is_pooled(driver)
