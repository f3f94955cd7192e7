"""Owns how many rows reach a statement as one parameter, so that a batch of any size is one statement."""

import json
from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import ARRAY, BigInteger, FromClause, Table, bindparam, func, insert, literal_column, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

from authy_grpc.store.columns import Moment
from authy_grpc.store.statements import statement
from authy_grpc.store.tx import Tx

Row = Sequence[Any]


def table(model: type[SQLModel]) -> Table:
    """The table of a model, for statements that make no objects."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


class Given:
    """Rows to select from: `unnest` of arrays on PostgreSQL, `json_each` of a text on SQLite.

    Args:
        postgres: which of the two.
        columns: the type of each; on SQLite none of bytes or times.
    """

    def __init__(self, postgres: bool, **columns: TypeEngine[Any] | type[TypeEngine[Any]]) -> None:
        self._names = [f"given_{name}" for name in columns]
        self._postgres = postgres
        self.rows: FromClause = self._unnested(columns) if postgres else self._parsed(columns)
        self.c = self.rows.c

    def bind(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The parameters that bring rows, at least one, each in the order of the columns."""
        if self._postgres:
            return dict(zip(self._names, map(list, zip(*rows, strict=True)), strict=True))
        return {"given": json.dumps(rows)}

    def _unnested(self, columns: dict[str, Any]) -> FromClause:
        named = zip(self._names, columns.values(), strict=True)
        arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in named]
        return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()

    def _parsed(self, columns: dict[str, Any]) -> FromClause:
        value = func.json_each(bindparam("given")).table_valued("value", name="each").c.value
        fields = [
            func.json_extract(value, f"$[{index}]", type_=kind).label(name)
            for index, (name, kind) in enumerate(columns.items())
        ]
        return select(*fields).subquery("given")


class Inserted:
    """An INSERT of rows: from arrays on PostgreSQL; SQLite, which takes no bytes in JSON, gets them plain.

    Args:
        postgres: which of the two.
        table: where to.
        columns: those that are set. Times are brought as milliseconds since 1970.
        fixed: those that are the same in every row, each as the database's own SQL.
    """

    def __init__(self, postgres: bool, table: Table, *columns: str, **fixed: str) -> None:
        same: dict[str, Any] = {name: literal_column(value) for name, value in fixed.items()}
        self._given = (
            Given(True, **{name: _plain(table.c[name].type) for name in columns}) if postgres else None
        )
        if self._given is not None:
            values = select(*self._given.c, *same.values())
            self._statement = statement(insert(table).from_select([*columns, *same], values))
        else:
            dialect = sqlite.dialect(paramstyle="qmark")
            compiled = insert(table).values(same).compile(dialect=dialect, column_keys=[*columns, *same])
            self._text = str(compiled)
            self._ordered = itemgetter(*map(columns.index, compiled.positiontup or ()))

    def run(self, tx: Tx, rows: Sequence[Row]) -> None:
        """Write rows, if there are any, each in the order of the columns."""
        if not rows:
            return
        if self._given is not None:
            self._statement.run(tx, **self._given.bind(rows))
        else:
            # Half the time that it takes to bring them as named parameters.
            tx.run_raw(self._text, list(map(self._ordered, rows)), many=True)


@cache
def inserted(postgres: bool, table: Table, *columns: str, **fixed: str) -> Inserted:
    """An `Inserted`, made and compiled once in a process."""
    return Inserted(postgres, table, *columns, **fixed)


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return BigInteger() if isinstance(kind, Moment) else kind
