"""Asks a database, whatever state it is in, what an operator's check-up tells."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import inspect, select, text

from authy_grpc.store import keyset, meta, probe
from authy_grpc.store.columns import from_millis
from authy_grpc.store.engine import connect
from authy_grpc.store.tables import MetaRow
from authy_grpc.store.trouble import explained
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

# Readers stop at the oldest write that is open, see `events.py`.
_HELD_BACK = text(
    "SELECT min(create_time) FROM event WHERE epoch = (SELECT max(epoch) FROM event)"
    " AND xid >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
)


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found.

    Attributes:
        empty: whether it has no tables of ours yet.
        sealed: whether a server has run on it, whose keyset left its mark.
        time: by the database's clock; None for SQLite, which has no other clock than ours.
        newest: when the newest event was recorded, by the clock of the server that did.
        held_back: the age of the oldest event that readers of the feed wait for; None where there is none.
    """

    empty: bool
    sealed: bool
    time: datetime | None
    held_back: timedelta | None = None
    newest: datetime | None = None


def look(url: str, vault: Vault | None = None) -> Checkup:
    """Look at a database without changing it.

    Args:
        url: `sqlite:///…`, whose file is there, or `postgresql://…`.
        vault: asked to open the mark of the database's keyset.

    Raises:
        DatabaseTrouble: it cannot be opened or read.
        KeysetError: the vault is not the one that sealed it.
    """
    engine = connect(url, writes=False, connections=1)
    try:
        with explained(url), engine.connect() as connection:
            tx = Tx(connection)
            if not inspect(connection).has_table(str(MetaRow.__tablename__)):
                return Checkup(empty=True, sealed=False, time=None)
            sealed = connection.scalar(select(meta.ROWS.c.name).limit(1)) is not None
            if sealed and vault is not None:
                keyset.missing(tx, vault)
            newest = probe.newest_time(tx) if inspect(connection).has_table("event") else None
            postgres = engine.dialect.name == "postgresql"
            time = connection.scalar(text("SELECT clock_timestamp()")) if postgres else None
            if time is None:
                return Checkup(empty=False, sealed=sealed, time=None, newest=newest)
            time = time.astimezone(UTC)
            since = connection.scalar(_HELD_BACK) if inspect(connection).has_table("event") else None
            held_back = None if since is None else time - from_millis(since)
            return Checkup(empty=False, sealed=sealed, time=time, held_back=held_back, newest=newest)
    finally:
        engine.dispose()
