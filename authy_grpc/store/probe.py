"""Asks whether a database can be written: the readiness of a server hangs on it."""

from datetime import datetime

from sqlalchemy import text

from authy_grpc.store import postgres
from authy_grpc.store.columns import from_millis
from authy_grpc.store.statements import Statement
from authy_grpc.store.tx import Tx

_READ_ONLY = "SELECT current_setting('transaction_read_only')"
_NEWEST = Statement(from_millis, text("SELECT create_time FROM event ORDER BY sequence DESC LIMIT 1"))
# A row that is gone when the transaction ends: SQLite writes nothing for an update that changes nothing.
_WRITE = text("INSERT INTO meta (name, value) VALUES ('probe', :value)")
_TAKE_BACK = text("DELETE FROM meta WHERE name = 'probe'")


def newest_time(tx: Tx) -> datetime | None:
    """When the newest event was recorded, by the clock of the server that did; None where there is none."""
    return _NEWEST.first(tx)


def may_write(tx: Tx) -> bool:
    """Whether it could be written, as far as can be told without: SQLite's lock was taken already."""
    return not tx.postgres or tx.execute_raw(_READ_ONLY, None)[0][0] == "off"


def writes(tx: Tx) -> bool:
    """Write, which fails where the disk is full, too."""
    tx.connection().execute(_WRITE, {"value": b"probe"})
    tx.connection().execute(_TAKE_BACK)
    return True


def is_pooled(tx: Tx) -> bool:
    """Whether a pooler stands between us and PostgreSQL."""
    driver = tx.connection().connection.driver_connection
    return driver is not None and postgres.is_pooled(driver)
