"""Rows of one table as values of a dataclass, with the statements that every noun needs of them."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Table, bindparam, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import Executable
from sqlmodel import SQLModel

from authy_grpc.store.bulk import table
from authy_grpc.store.statements import Statement, Updated, statement

if TYPE_CHECKING:
    from authy_grpc.store.tx import Tx

T = TypeVar("T")


def upsert(own: Table) -> Statement[tuple[Any, ...]]:
    """An INSERT of all columns of a row, in the place of the row of its key where there is one."""

    def core(postgres: bool) -> Executable:
        new = (postgresql if postgres else sqlite).insert(own)
        values = {each.name: new.excluded[each.name] for each in own.c if not each.primary_key}
        made: Executable = new.on_conflict_do_update(index_elements=list(own.primary_key), set_=values)
        return made

    return statement(core)


class Rows(Generic[T]):
    """The rows of a table whose key is one column.

    Args:
        kind: a dataclass whose fields are the columns.
        model: the table.

    Attributes:
        c: the columns.
        select: selects all rows, for what `where` cannot say.
    """

    def __init__(self, kind: type[T], model: type[SQLModel]) -> None:
        own = table(model)
        self.c = own.c
        self._kind = kind
        self._key = own.primary_key.columns.keys()[0]
        self._names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
        self.select = select(*[own.c[name] for name in self._names])
        named = own.c[self._key] == bindparam("key")
        self._find, self._lock = self.where(named), self.where(named, lock=True)
        self._insert = statement(insert(own).values({name: bindparam(name) for name in self._names}))
        self._put = upsert(own)
        self._update = Updated(own, self._key)
        self._delete = statement(delete(own).where(named))

    def where(
        self, *conditions: ColumnElement[bool], order: tuple[Any, ...] = (), lock: bool = False
    ) -> Statement[T]:
        """A statement that answers the rows under conditions; locked where they will be changed."""
        found = self.select.where(*conditions).order_by(*order)
        return Statement(self._kind, found.with_for_update() if lock else found)

    def find(self, tx: "Tx", key: str | None, *, lock: bool = False) -> T | None:
        """A row by its key, as it is now; None where there is none."""
        return (self._lock if lock else self._find).first(tx, key=key) if key is not None else None

    def add(self, tx: "Tx", row: T) -> None:
        """Write a new row."""
        self._insert.run(tx, **{name: getattr(row, name) for name in self._names})

    def put(self, tx: "Tx", row: T) -> None:
        """Write a row, in the place of the one of its key where there is one."""
        self._put.run(tx, **{name: getattr(row, name) for name in self._names})

    def change(self, tx: "Tx", row: T, **values: Any) -> None:
        """Set columns of a row, in the value that was read as in the table."""
        for name, value in values.items():
            setattr(row, name, value)
        self._update.run(tx, getattr(row, self._key), **values)

    def remove(self, tx: "Tx", row: T) -> None:
        """Remove a row."""
        self._delete.run(tx, key=getattr(row, self._key))
