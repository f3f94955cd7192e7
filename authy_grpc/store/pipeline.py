"""Sends statements to PostgreSQL without waiting for each other's answers: libpq's pipeline mode.

A transaction begins in a pipeline: BEGIN goes with the first statement that is waited for, and what is only
written goes with COMMIT. SQLAlchemy's own statements need their answers at once, and know nothing of it: the
first of them ends the pipeline for this transaction.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import psycopg
from sqlalchemy import Engine, event


class Connection(psycopg.Connection[Any]):
    """A connection that knows whether it is in a pipeline."""

    # Whether a pooler stands in between: what it says of the server's process is not true.
    pooled = False
    _entered: AbstractContextManager[Any] | None = None

    @property
    def pipelined(self) -> bool:
        """Whether statements wait for no answers."""
        return self._entered is not None

    def enter(self) -> None:
        """Begin a pipeline; with a libpq before 14, which has none, each statement is waited for."""
        if not psycopg.Pipeline.is_supported():
            return
        entered = self.pipeline()
        entered.__enter__()
        self._entered = entered

    def leave(self) -> None:
        """End the pipeline, if there is one, once all is answered; raises what was answered wrongly."""
        entered, self._entered = self._entered, None
        if entered is not None:
            entered.__exit__(None, None, None)

    def close(self) -> None:
        """Close it, be it in the midst of a pipeline."""
        super().close()
        # Closed, it waits for nothing; left to the collector, psycopg would log that it was lost.
        with suppress(psycopg.Error):
            self.leave()


def use(engine: Engine, begin: Sequence[str]) -> None:
    """Have the transactions of an engine begin in pipelines.

    Args:
        engine: whose connections are of this module, in autocommit: transactions begin by statements.
        begin: those statements.
    """
    dialect: Any = engine.dialect
    for name in ("do_execute", "do_execute_no_params", "do_executemany"):
        setattr(dialect, name, _outside(getattr(dialect, name)))
    dialect.do_commit, dialect.do_rollback = _commit, _rollback

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        try:
            driver = connection.connection.driver_connection
            driver.enter()
            cursor = driver.cursor()
            for statement in begin:
                cursor.execute(statement)
        except Exception as error:
            # It wraps the error, tells those who listen, and drops a connection that has died.
            connection._handle_dbapi_exception(error, begin[0], None, None, None)
            raise


def _outside(execute: Callable[..., None]) -> Callable[..., None]:
    def run(cursor: Any, *given: Any) -> None:
        cursor.connection.leave()
        execute(cursor, *given)

    return run


def _commit(connection: Any) -> None:
    driver = connection.driver_connection
    if driver.pipelined:
        driver.cursor().execute("COMMIT")
        driver.leave()
    connection.commit()


def _rollback(connection: Any) -> None:
    # What had failed in the pipeline is what this is for.
    with suppress(psycopg.Error):
        connection.driver_connection.leave()
    connection.rollback()
