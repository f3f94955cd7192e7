"""Bulk binding: a list of rows as one SQL parameter (`unnest`, `json_each`): a batch is one statement."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    LargeBinary,
    Table,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.base import Executable
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

from authy_grpc.store.columns import Moment
from authy_grpc.store.statements import statement

if TYPE_CHECKING:
    from authy_grpc.store.tx import Tx

Row = Sequence[Any]


def table(model: type[SQLModel]) -> Table:
    """The table of a model, for statements that make no objects."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


class Bulk:
    """Rows to select from: `unnest` of arrays on PostgreSQL, `json_each` of a text on SQLite.

    Args:
        columns: the type of each; on SQLite none of times.
    """

    def __init__(self, **columns: TypeEngine[Any] | type[TypeEngine[Any]]) -> None:
        self._columns = columns
        self._names = [f"given_{name}" for name in columns]
        self.on = cache(self._on)

    def statement(self, core: Callable[[FromClause], Executable]) -> "BulkStatement":
        """A statement about the rows, from what it makes of them."""
        return BulkStatement(self, core)

    def bind(self, tx: "Tx", rows: Sequence[Row]) -> dict[str, Any]:
        """The parameters that bring rows, at least one, each in the order of the columns."""
        if tx.postgres:
            return dict(zip(self._names, map(list, zip(*rows, strict=True)), strict=True))
        return {"given": json.dumps(rows, default=bytes.hex)}

    def _on(self, postgres: bool) -> FromClause:
        """What a statement selects from."""
        return self._unnested() if postgres else self._parsed()

    def _unnested(self) -> FromClause:
        named = zip(self._names, self._columns.values(), strict=True)
        arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in named]
        return func.unnest(*arrays).table_valued(*self._columns, name="given").render_derived()

    def _parsed(self) -> FromClause:
        value = func.json_each(bindparam("given")).table_valued("value", name="each").c.value
        fields = [
            _extracted(func.json_extract(value, f"$[{index}]", type_=kind)).label(name)
            for index, (name, kind) in enumerate(self._columns.items())
        ]
        return select(*fields).subquery("given")


class BulkStatement:
    """One statement about many rows. About none it does nothing."""

    def __init__(self, bulk: Bulk, core: Callable[[FromClause], Executable]) -> None:
        self._bulk = bulk
        self._statement = statement(lambda postgres: core(bulk.on(postgres)))

    def all(self, tx: "Tx", rows: Sequence[Row], **given: Any) -> list[tuple[Any, ...]]:
        """What it finds, for rows in the order of the bulk's columns."""
        return self._statement.all(tx, **self._bulk.bind(tx, rows), **given) if rows else []

    def ask(self, tx: "Tx", rows: Sequence[Row]) -> Callable[[], list[tuple[Any, ...]]]:
        """As `all`, once it is wanted (see `Statement.ask`)."""
        return self._statement.ask(tx, **self._bulk.bind(tx, rows)) if rows else list

    def run(self, tx: "Tx", rows: Sequence[Row], **given: Any) -> None:
        """Change what it changes."""
        if rows:
            self._statement.run(tx, **self._bulk.bind(tx, rows), **given)


class Inserted:
    """An INSERT of rows: from arrays on PostgreSQL; SQLite, which takes no bytes in JSON, gets them plain.

    Args:
        table: where to.
        columns: those that are set. Times are brought as milliseconds since 1970.
        fixed: those that are the same in every row, as the SQL of SQLite and of PostgreSQL.
    """

    def __init__(self, table: Table, *columns: str, **fixed: tuple[str, str]) -> None:
        self._table, self._columns, self._fixed = table, columns, fixed
        self._bulk = Bulk(**{name: _plain(table.c[name].type) for name in columns})
        self._from_arrays = statement(self._insert_from)
        self._plain = cache(self._make_plain)

    def run(self, tx: "Tx", rows: Sequence[Row]) -> None:
        """Write rows, if there are any, each in the order of the columns."""
        if not rows:
            return
        if tx.postgres:
            self._from_arrays.run(tx, **self._bulk.bind(tx, rows))
        else:
            # Half the time that it takes to bring them as named parameters.
            text, ordered = self._plain()
            tx.run_raw(text, list(map(ordered, rows)), many=True)

    def _insert_from(self, postgres: bool) -> Any:
        values: list[Any] = [literal_column(on_postgres) for _, on_postgres in self._fixed.values()]
        rows = select(*self._bulk.on(postgres).c, *values)
        return insert(self._table).from_select([*self._columns, *self._fixed], rows)

    def _make_plain(self) -> tuple[str, Any]:
        same: dict[str, Any] = {
            name: literal_column(on_sqlite) for name, (on_sqlite, _) in self._fixed.items()
        }
        compiled = (
            insert(self._table)
            .values(same)
            .compile(dialect=sqlite.dialect(paramstyle="qmark"), column_keys=[*self._columns, *same])
        )
        places = [self._columns.index(name) for name in compiled.positiontup or ()]
        # Of one place itemgetter answers no tuple.
        return str(compiled), itemgetter(*places) if len(places) > 1 else tuple


def _extracted(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A value of JSON, which has no bytes: those are brought in hex."""
    return func.from_hex(value, type_=value.type) if isinstance(value.type, LargeBinary) else value


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return BigInteger() if isinstance(kind, Moment) else kind
