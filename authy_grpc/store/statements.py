"""Prebuilt statements: Core expressions, compiled once for each database, run on the driver's own cursor.

A row becomes a value by one call. What SQLAlchemy's types do to parameters and columns is done here, and
for those alone whose types do something.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import ARRAY, ColumnElement, Dialect, Table, bindparam, literal, update
from sqlalchemy.sql.base import Executable

if TYPE_CHECKING:
    from authy_grpc.store.tx import Tx


T = TypeVar("T")
# Where it differs by database, the expression is made of whether it is PostgreSQL.
Core = Executable | Callable[[bool], Executable]
_Convert = Callable[[Any], Any]


def _values(*columns: Any) -> tuple[Any, ...]:
    return columns


class _Compiled:
    """A statement as one database takes it."""

    __slots__ = ("_columns", "_constants", "_converted", "sql")

    def __init__(self, core: Any, dialect: Dialect) -> None:
        named = _named(dialect)
        compiled = core.compile(dialect=named)
        self.sql = str(compiled)
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        converted = {name: _to_driver(bind.type, named) for name, bind in binds.items()}
        self._constants = {
            name: to(value) if (to := converted.get(name)) else value
            for name, value in compiled.construct_params(_check=False).items()
            if not (name in binds and binds[name].required)
        }
        self._converted = [(name, to) for name, to in converted.items() if to and binds[name].required]
        columns = enumerate(core.exported_columns) if hasattr(core, "exported_columns") else ()
        self._columns = [
            (index, to) for index, column in columns if (to := _from_driver(column.type, named)) is not None
        ]

    def bind(self, given: dict[str, Any]) -> dict[str, Any]:
        """The driver's parameters. `given` is changed."""
        for name, to_driver in self._converted:
            given[name] = to_driver(given[name])
        return {**self._constants, **given} if self._constants else given

    def read(self, rows: Sequence[Sequence[Any]], make: Callable[..., T]) -> list[T]:
        """Values of the driver's rows."""
        if not self._columns:
            return [make(*row) for row in rows]
        made = []
        for row in rows:
            columns = list(row)
            for index, from_driver in self._columns:
                columns[index] = from_driver(columns[index])
            made.append(make(*columns))
        return made


class Statement(Generic[T]):
    """One statement, with a parameter for all that differs from call to call.

    Lists are brought by bulk binding (`bulk.py`), constant ones by `among`: `in_` is compiled at each run.

    Args:
        make: takes the columns of a row, in order.
        core: the expression.
    """

    __slots__ = ("_compiled", "_core", "_make")

    def __init__(self, make: Callable[..., T], core: Core) -> None:
        self._make = make
        self._core = core
        self._compiled: dict[bool, _Compiled] = {}

    def all(self, tx: "Tx", **given: Any) -> list[T]:
        """All rows."""
        compiled = self._compiled.get(tx.postgres) or self._compile(tx)
        return compiled.read(tx.execute_raw(compiled.sql, compiled.bind(given)), self._make)

    def ask(self, tx: "Tx", **given: Any) -> Callable[[], list[T]]:
        """All rows, once they are wanted: what is asked before it is wanted makes one round trip of all."""
        compiled = self._compiled.get(tx.postgres) or self._compile(tx)
        rows = tx.ask_raw(compiled.sql, compiled.bind(given))
        return lambda: compiled.read(rows(), self._make)

    def first(self, tx: "Tx", **given: Any) -> T | None:
        """The first row, or None."""
        compiled = self._compiled.get(tx.postgres) or self._compile(tx)
        rows = tx.execute_raw(compiled.sql, compiled.bind(given))
        return compiled.read(rows[:1], self._make)[0] if rows else None

    def run(self, tx: "Tx", **given: Any) -> None:
        """Change what it changes."""
        compiled = self._compiled.get(tx.postgres) or self._compile(tx)
        tx.run_raw(compiled.sql, compiled.bind(given))

    def _compile(self, tx: "Tx") -> _Compiled:
        core = self._core
        built = core if isinstance(core, Executable) else core(tx.postgres)
        compiled = self._compiled[tx.postgres] = _Compiled(built, tx.connection().dialect)
        return compiled


def among(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Whether a column is one of some constants."""
    return column.in_([literal(each, column.type) for each in values])


def statement(core: Core) -> Statement[tuple[Any, ...]]:
    """A statement whose rows are tuples, or which has none."""
    return Statement(_values, core)


class Updated:
    """UPDATEs of one row, each compiled once for the columns that it sets.

    Args:
        table: whose row.
        key: the column that names it.
    """

    def __init__(self, table: Table, key: str) -> None:
        self._table = table
        # A parameter of a column's own name would be taken for a value to be set.
        self._key = f"of_{key}"
        self._names = table.c[key] == bindparam(self._key)
        self._statements: dict[tuple[str, ...], Statement[tuple[Any, ...]]] = {}

    def run(self, tx: "Tx", key: str, **values: Any) -> None:
        """Set columns of a row."""
        columns = tuple(values)
        found = self._statements.get(columns) or self._build(columns)
        found.run(tx, **{self._key: key}, **values)

    def _build(self, columns: tuple[str, ...]) -> Statement[tuple[Any, ...]]:
        set_to: dict[str, Any] = {name: bindparam(name) for name in columns}
        made = self._statements[columns] = statement(update(self._table).where(self._names).values(set_to))
        return made


def _named(dialect: Dialect) -> Dialect:
    if not dialect.positional:
        return dialect
    return type(dialect)(paramstyle="named")  # type: ignore[call-arg]


def _to_driver(kind: Any, dialect: Dialect) -> _Convert | None:
    if isinstance(kind, ARRAY):
        each = _to_driver(kind.item_type, dialect)
        return (lambda values: list(map(each, values))) if each else None
    convert: _Convert | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return convert


def _from_driver(kind: Any, dialect: Dialect) -> _Convert | None:
    convert: _Convert | None = kind.dialect_impl(dialect).result_processor(dialect, None)
    return convert
