"""Shares compiled SQL among the stores of a process: each test opens its own, and compiled all anew."""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


def share() -> None:
    """Take dialects of one kind for the same, which is what compiled statements are kept by.

    There is a statement for each place of the code that writes one, so what is kept needs no bound.
    """
    for kind in (PGDialect_psycopg, SQLiteDialect_pysqlite):
        kept: dict[Any, Any] = {}

        def created(kind: type, engine: Engine, kept: dict[Any, Any] = kept) -> None:
            engine.update_execution_options(compiled_cache=kept)

        changed: Any = kind
        changed.__eq__ = lambda self, other: type(self) is type(other)
        changed.__hash__ = lambda self: hash(type(self))
        changed.engine_created = classmethod(created)
