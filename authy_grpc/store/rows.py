"""Owns statements that are made once and make no ORM objects: on the hot path those take most of the time."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, Table, bindparam, update
from sqlmodel import Session

T = TypeVar("T")


class Selected(Generic[T]):
    """A SELECT whose rows are made into values.

    Args:
        make: takes the columns of a row, in order.
        statement: with a parameter for all that differs from call to call.
    """

    def __init__(self, make: Callable[..., T], statement: Select[Any]) -> None:
        self._make = make
        self._statement = statement

    def first(self, session: Session, **given: Any) -> T | None:
        """The first row, or None."""
        row = session.connection().execute(self._statement, given).first()
        return None if row is None else self._make(*row)

    def all(self, session: Session, **given: Any) -> list[T]:
        """All rows."""
        return [self._make(*row) for row in session.connection().execute(self._statement, given)]


class Updated:
    """An UPDATE of one row.

    Args:
        table: whose row.
        key: the column that names it.
        columns: those that are set.
    """

    def __init__(self, table: Table, key: str, *columns: str) -> None:
        # A parameter of a column's own name would be taken for a value to be set.
        self._key = f"of_{key}"
        names = table.c[key] == bindparam(self._key)
        self._statement = update(table).where(names).values({each: bindparam(each) for each in columns})

    def run(self, session: Session, key: str, **values: Any) -> None:
        """Set the columns of a row, every one of them."""
        session.connection().execute(self._statement, {self._key: key, **values})
