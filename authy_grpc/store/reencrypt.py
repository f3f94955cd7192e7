"""Makes rows anew by the primary key of a keyset: all that it has ever sealed or digested is listed here.

A digest is as old as the sealed column that it is made from: both are written together. So the
sealed columns alone say what is left to do, and a walk that was interrupted needs no memory.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from typing import Any

from sqlalchemy import Column, FromClause, LargeBinary, bindparam, func, select, tuple_, update
from sqlalchemy.sql.base import Executable
from sqlmodel import SQLModel

from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.link import subject
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import (
    AccountRow,
    ActivityRow,
    AnswerRow,
    ApprovalRow,
    DeviceRow,
    EnrollmentRow,
    EventRow,
    LinkRow,
    PhoneVerificationRow,
    SentCodeRow,
    TextRow,
    WebhookRow,
)
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import PREFIX_BYTES, Vault

STEP = 500
Key = tuple[Any, ...]
# By the names of the columns.
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest that can be made anew, since what it is made from is kept, sealed.

    Attributes:
        column: its name; with `paired` the next key's stands in the column of that name and `_odd`.
        source: the sealed column.
        purpose: of the key.
        subject: what it is made over, by the row and what was sealed.
    """

    column: str
    source: str
    purpose: str
    subject: Callable[[Row, bytes], bytes]
    paired: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return (self.column, f"{self.column}_odd") if self.paired else (self.column,)


class Table:
    """What the keyset has made in a table.

    Args:
        model: the table.
        places: the place of each sealed column, by its name.
        digests: those that can be made anew.
        row: the columns that name the row in what is sealed; empty for the primary key's.
    """

    def __init__(
        self,
        model: type[SQLModel],
        places: Mapping[str, str],
        digests: tuple[Digest, ...] = (),
        row: tuple[str, ...] = (),
    ) -> None:
        own = table(model)
        self.model, self.places, self.digests, self.name = model, places, digests, own.name
        self.key: list[Column[Any]] = list(own.primary_key)
        self._row = row or tuple(each.name for each in self.key)
        self.columns = own.c
        self._names = own.c.keys()
        self._made = [*places, *chain.from_iterable(each.columns for each in digests)]
        keys = Bulk(**{each.name: each.type for each in self.key})
        self._lock, self._lock_free = (
            keys.statement(partial(self._select, skip=skip)) for skip in (False, True)
        )
        self._update = statement(
            update(own)
            .where(*[each == bindparam(f"of_{each.name}") for each in self.key])
            .values({name: bindparam(name) for name in self._made})
        )

    def _select(self, keys: FromClause, *, skip: bool) -> Executable:
        of_these = tuple_(*self.key).in_(select(*keys.c))
        rows = select(*self.columns).where(of_these).order_by(*self.key)
        return rows.with_for_update(skip_locked=skip)

    def row_of(self, row: Row) -> str:
        """The name of a row in what is sealed."""
        return "/".join(row[each] for each in self._row)

    def key_of(self, row: Row) -> Key:
        """The primary key of a row."""
        return tuple(row[each.name] for each in self.key)

    def lock(self, tx: Tx, keys: Sequence[Key], *, wait: bool) -> list[Row]:
        """Rows as they are now, locked; without those that others have locked, unless it is to `wait`."""
        found = (self._lock if wait else self._lock_free).all(tx, keys)
        return [dict(zip(self._names, columns, strict=True)) for columns in found]

    def save(self, tx: Tx, row: Row) -> None:
        """Write what the keyset has made of a row."""
        names = {f"of_{each.name}": row[each.name] for each in self.key}
        self._update.run(tx, **names, **{name: row[name] for name in self._made})


def _itself(row: Row, plain: bytes) -> bytes:
    return plain


def _of_site(row: Row, plain: bytes) -> bytes:
    return subject(row["application_id"], plain.decode())


TABLES = (
    Table(
        AccountRow,
        {"sealed_number": "account.number"},
        (Digest("number_digest", "sealed_number", "number", _itself),),
    ),
    Table(DeviceRow, {"sealed_name": "device.name", "sealed_secret": "device.secret"}),
    Table(
        PhoneVerificationRow,
        {
            "sealed_number": "phone_verification.number",
            "sealed_code": "phone_verification.code",
            "sealed_answer": "phone_verification.answer",
        },
        (Digest("number_digest", "sealed_number", "number", _itself, paired=False),),
    ),
    Table(
        LinkRow,
        {
            "sealed_custom_user_id": "link.custom_user_id",
            "sealed_label": "link.label",
            "sealed_seed": "link.seed",
        },
        (Digest("custom_user_digest", "sealed_custom_user_id", "custom_user_id", _of_site),),
    ),
    Table(
        EnrollmentRow,
        {"sealed_custom_user_id": "enrollment.custom_user_id"},
        (Digest("custom_user_digest", "sealed_custom_user_id", "custom_user_id", _of_site),),
    ),
    Table(SentCodeRow, {"sealed_code": "sent_code.code"}),
    Table(
        ApprovalRow,
        {
            "sealed_question": "approval.question",
            "sealed_hidden_details": "approval.hidden_details",
            "sealed_match_number": "approval.match_number",
            "sealed_receipt": "approval.receipt",
        },
    ),
    Table(TextRow, {"sealed_message": "text.message"}),
    Table(AnswerRow, {"sealed_body": "answer.body"}),
    Table(EventRow, {"sealed_body": "event.body"}, row=("event_id",)),
    Table(ActivityRow, {"sealed_body": "activity.body"}),
    Table(
        WebhookRow,
        {
            "sealed_url": "webhook.url",
            "sealed_secret": "webhook.secret",
            "sealed_old_secret": "webhook.old_secret",
        },
    ),
)

# Digests of what is not kept, by the purpose of their keys, which stay in the keyset for them.
UNKNOWN = {
    "account.recovery_hash": "recovery_code",
    "phone_verification.request_hash": "request",
    "enrollment.confirm_hash": "request",
    "answer.request_digest": "request",
    "backup_code.code_hash": "backup_code",
}


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, in the order of their keys.

    Attributes:
        seen: how many were looked at; fewer than `STEP` are the last.
        last: the key to go on after.
        stale: the keys of those that are not as the keyset would make them now.
    """

    seen: int
    last: Key
    stale: list[Key]


def look(tx: Tx, vault: Vault, table: Table, after: Key) -> Page:
    """Look at the rows of a table, `STEP` at most.

    Args:
        tx: of a read.
        vault: whose primary key all should be sealed by.
        table: which.
        after: the `last` of the page before; empty for the beginning.
    """
    size = len(table.key)
    found = _look(table, tuple(_without_key(vault, table)), not after)
    rows = found.all(tx, **{f"after_{index}": each for index, each in enumerate(after)})
    stale = [row[:size] for row in rows if _is_stale(vault, row[size:])]
    return Page(len(rows), rows[-1][:size] if rows else after, stale)


@cache
def _look(table: Table, without_key: tuple[str, ...], is_first: bool) -> Statement[tuple[Any, ...]]:
    columns, key = table.columns, table.key
    prefixes = [func.substr(columns[name], 1, PREFIX_BYTES, type_=LargeBinary) for name in table.places]
    gone = [columns[name].is_not(None) for name in without_key]
    rows = select(*key, *prefixes, *gone).order_by(*key).limit(STEP)
    after = [bindparam(f"after_{index}", type_=each.type) for index, each in enumerate(key)]
    return statement(rows if is_first else rows.where(tuple_(*key) > tuple_(*after)))


def make_anew(tx: Tx, vault: Vault, table: Table, keys: Sequence[Key], *, wait: bool) -> set[Key]:
    """Seal rows by the primary key, with digests by every key.

    Args:
        tx: of a work.
        vault: opens what is sealed by any of its keys.
        table: of the rows.
        keys: of the rows.
        wait: whether to wait for rows that others have locked: one who waits for several rows may wait
            for ever.

    Returns:
        The keys of those that it was done for.

    Raises:
        KeysetError: what is sealed in one of them does not open.
    """
    rows = table.lock(tx, keys, wait=wait)
    for row in rows:
        _make_anew(vault, table, row)
        table.save(tx, row)
    return {table.key_of(row) for row in rows}


def _is_stale(vault: Vault, looks: Iterable[bytes | bool | None]) -> bool:
    """Whether a row has to be made anew: by the prefixes of what is sealed, or for another reason."""
    return any(
        each is True or (isinstance(each, bytes) and each and not vault.is_current(each)) for each in looks
    )


def _make_anew(vault: Vault, table: Table, row: Row) -> None:
    name = table.row_of(row)
    plain = {
        column: vault.open(place, name, sealed)
        for column, place in table.places.items()
        if (sealed := row[column])
    }
    for column, each in plain.items():
        row[column] = vault.seal(table.places[column], name, each)
    for digest in table.digests:
        if digest.source not in plain:
            continue
        made_over = digest.subject(row, plain[digest.source])
        if digest.paired:
            row.update(zip(digest.columns, vault.pair(digest.purpose, made_over), strict=True))
        else:
            row[digest.column] = vault.digest(digest.purpose, made_over)


def _without_key(vault: Vault, table: Table) -> Iterable[str]:
    """The digest columns of keys that were dropped: what stands in them is of no more use."""
    for digest in table.digests:
        if digest.paired:
            pair = zip(digest.columns, vault.pair(digest.purpose, b""), strict=True)
            yield from (column for column, value in pair if value is None)
