"""The unit of work: a transaction with what its works decide and write by (vault, time, random bytes)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlmodel import Session

from authy_grpc.store.columns import whole_millis
from authy_grpc.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Tools:
    """What the works of a process share.

    Attributes:
        clock: the time, aware.
        random: random bytes.
    """

    vault: Vault
    clock: Callable[[], datetime]
    random: Callable[[int], bytes]


class Tx(Session):
    """A transaction, as its works see it.

    It is a Session too, for as long as there are nouns that are kept by the ORM.

    Args:
        connection: whose transaction has begun.
        tools: None where the works bring their own.
    """

    def __init__(self, connection: Connection, tools: Tools | None = None) -> None:
        super().__init__(
            connection, autoflush=False, expire_on_commit=False, join_transaction_mode="rollback_only"
        )
        self.postgres = connection.dialect.name == "postgresql"
        self._tools = tools
        self._connection = connection
        self._cursor: Any = None
        self._now: datetime | None = None

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

    def next_work(self) -> None:
        """Forget what the last work has read: several share a transaction."""
        self._now = None
        self.expunge_all()

    def execute_raw(self, sql: str, values: Any, *, many: bool = False) -> Sequence[Sequence[Any]]:
        """Run a statement on the driver's own cursor; answers the rows, as the driver made them.

        Args:
            sql: in the driver's paramstyle.
            values: as the driver takes them: one row of them, or with `many` a list of rows.
            many: whether to run it once for each row.

        Raises:
            DBAPIError: as SQLAlchemy raises it.
        """
        connection = self._connection
        if self._cursor is None:
            self._cursor = connection.connection.cursor()
        # Who counts statements, such as the guard of works, sees these too.
        for heard in connection.dispatch.before_cursor_execute:
            heard(connection, self._cursor, sql, values, None, many)
        try:
            if many:
                self._cursor.executemany(sql, values)
            else:
                self._cursor.execute(sql, values)
            return self._cursor.fetchall() if self._cursor.description else ()
        except Exception as error:
            # It wraps the error, tells those who listen, and drops a connection that has died.
            connection._handle_dbapi_exception(error, sql, values, self._cursor, None)
            raise
