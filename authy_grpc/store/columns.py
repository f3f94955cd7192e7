"""Column types that all tables share."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, or_
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_millis(time: datetime) -> int:
    """Milliseconds since 1970 of an aware time, rounded down."""
    return (time - _EPOCH) // _MILLISECOND


def from_millis(millis: int) -> datetime:
    """The aware UTC time of milliseconds since 1970."""
    return _EPOCH + millis * _MILLISECOND


def whole_millis(time: datetime) -> datetime:
    """A time as it is kept, so that an answer and what is read later say the same."""
    return from_millis(to_millis(time))


class Moment(TypeDecorator[datetime]):
    """A time, kept as whole milliseconds since 1970: the same in SQLite, PostgreSQL and JSON."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """What is kept of a time."""
        return None if value is None else to_millis(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """The time of what is kept."""
        return None if value is None else from_millis(value)


# SQLite counts up only in a column declared INTEGER.
Sequence = BigInteger().with_variant(Integer(), "sqlite")


def moment(**options: Any) -> Any:
    """A column for a time that is always set."""
    return Field(sa_type=Moment, **options)


def moment_or_none(**options: Any) -> Any:
    """A column for a time that may be unset."""
    return Field(default=None, sa_type=Moment, nullable=True, **options)


def big(**options: Any) -> Any:
    """A column for a 64-bit integer."""
    return Field(sa_type=BigInteger, **options)


def has_digest(columns: tuple[Any, Any], pair: tuple[bytes | None, bytes | None]) -> ColumnElement[bool]:
    """The rows of a value, by the digest of any key.

    Args:
        columns: a row's `…_digest` and `…_digest_odd`.
        pair: the value's digests for them, from `Vault.pair`.
    """
    known = [(column, digest) for column, digest in zip(columns, pair, strict=True) if digest is not None]
    return or_(*[column == digest for column, digest in known])
