"""The unit of work: a transaction with what its works decide and write by (vault, time, random bytes)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from authy_grpc.store.columns import whole_millis
from authy_grpc.store.events import NewEvent, Recording
from authy_grpc.store.vault import Vault


@dataclass(slots=True)
class Tools:
    """What the works of a process share.

    Attributes:
        clock: the time, aware.
        random: random bytes.
        epoch: of the feed (see `events.py`), settled at start.
    """

    vault: Vault
    clock: Callable[[], datetime]
    random: Callable[[int], bytes]
    epoch: int = 0


class Tx:
    """A transaction, as its works see it.

    Args:
        connection: whose transaction has begun.
        tools: None where the works bring their own.

    Attributes:
        info: what the works of the transaction have gathered for whoever commits it.
    """

    def __init__(self, connection: Connection, tools: Tools | None = None) -> None:
        self.info: dict[str, Any] = {}
        self.postgres = connection.dialect.name == "postgresql"
        self._tools = tools
        self._connection = connection
        self._cursor: Any = None
        self._sender: Any = None
        # Its name, by which a lost answer to COMMIT is cleared up; asked with the first rows that have one.
        self.xid: str | None = None
        self.asks_xid = False
        # Whether something was sent since it was last asked for.
        self._sent = False
        self._now: datetime | None = None
        self._recording = Recording()

    @property
    def tools(self) -> Tools:
        """What the works of this process share."""
        if self._tools is None:
            raise RuntimeError("this database was opened without a keyset and a clock")
        return self._tools

    @property
    def vault(self) -> Vault:
        """Seals and opens."""
        return self.tools.vault

    @property
    def random(self) -> Callable[[int], bytes]:
        """Random bytes."""
        return self.tools.random

    def now(self) -> datetime:
        """The time of this work: when it first asked. It asks once it has locked what it decides about."""
        if self._now is None:
            self._now = whole_millis(self.tools.clock())
        return self._now

    def record(self, *new: NewEvent) -> list[str]:
        """Have events and their posts written by the commit, which wakes who watch; answers their ids."""
        return [self._recording.add(self, each) for each in new]

    @property
    def recorded(self) -> int:
        """How many events wait to be written."""
        return len(self._recording)

    def drop_recorded(self, length: int) -> None:
        """Keep so many of the events that wait, the oldest."""
        self._recording.cut(length)

    def write_recorded(self) -> None:
        """Write the events that were recorded so far: by whoever commits, once for all works."""
        self._recording.write(self)

    def next_work(self) -> None:
        """Forget the time of the last work: several share a transaction."""
        self._now = None

    def connection(self) -> Connection:
        """SQLAlchemy's own, for what no statement of ours says."""
        return self._connection

    @property
    def pipelined(self) -> bool:
        """Whether statements that answer no rows are not waited for."""
        return self.postgres and bool(self._connection.connection.driver_connection.pipelined)  # type: ignore[union-attr]

    @property
    def has_changed_nothing(self) -> bool:
        """Whether that is known, without another question."""
        return self.pipelined and self.asks_xid and self.xid is None and not self._sent

    def execute_raw(self, sql: str, values: Any) -> Sequence[Sequence[Any]]:
        """Run a statement on the driver's own cursor; answers the rows, as the driver made them.

        Args:
            sql: in the driver's paramstyle; one that answers rows.
            values: as the driver takes them.

        Raises:
            DBAPIError: as SQLAlchemy raises it, of this statement or one before it that was not waited for.
        """
        return self.ask_raw(sql, values)()

    def ask_raw(self, sql: str, values: Any) -> Callable[[], Sequence[Sequence[Any]]]:
        """Send a statement, as `execute_raw` does; its rows are waited for by what is answered.

        What is asked before it is waited for makes one round trip of all.
        """
        if self.pipelined:
            cursor = self._connection.connection.cursor()
        else:
            cursor = self._cursor = self._cursor or self._connection.connection.cursor()
        self._tell(cursor, sql, values, False)
        try:
            cursor.execute(sql, values)
            rows: Sequence[Sequence[Any]] | None = None if self.pipelined else cursor.fetchall()
        except Exception as error:
            self._fail(error, sql, values, cursor)
            raise

        def wait() -> Sequence[Sequence[Any]]:
            return self._fetch(cursor, sql, values) if rows is None else rows

        return wait

    def _fetch(self, cursor: Any, sql: str, values: Any) -> Sequence[Sequence[Any]]:
        try:
            asked = self._ask_xid() if self.asks_xid and self.xid is None else None
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            if asked is not None:
                self.xid = asked.fetchone()[0]
            return rows
        except Exception as error:
            self._fail(error, sql, values, cursor)
            raise

    def run_raw(self, sql: str, values: Any, *, many: bool = False) -> None:
        """Run a statement that answers no rows; in a pipeline it is not waited for.

        Args:
            sql: in the driver's paramstyle.
            values: as the driver takes them: one row of them, or with `many` a list of rows.
            many: whether to run it once for each row.

        Raises:
            DBAPIError: as SQLAlchemy raises it, of this statement or one before it that was not waited for.
        """
        # One of its own: the answer to a statement that was not waited for is none to the next.
        if self._sender is None:
            self._sender = self._connection.connection.cursor()
        cursor = self._sender
        self._tell(cursor, sql, values, many)
        try:
            (cursor.executemany if many else cursor.execute)(sql, values)
        except Exception as error:
            self._fail(error, sql, values, cursor)
            raise

    def _ask_xid(self) -> Any:
        if not self.pipelined:
            return None
        asked = self._connection.connection.cursor()
        asked.execute("SELECT pg_current_xact_id_if_assigned()::text")
        self._sent = False
        return asked

    def _tell(self, cursor: Any, sql: str, values: Any, many: bool) -> None:
        self._sent = True
        # Who counts statements, such as the guard of works, sees these too.
        for heard in self._connection.dispatch.before_cursor_execute:
            heard(self._connection, cursor, sql, values, None, many)

    def _fail(self, error: Exception, sql: str, values: Any, cursor: Any) -> None:
        # It wraps the error, tells those who listen, and drops a connection that has died.
        self._connection._handle_dbapi_exception(error, sql, values, cursor, None)
