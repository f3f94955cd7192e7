"""Owns the list of all that the keyset has made, and how rows are made anew by its primary key.

A digest is as old as the sealed column that it is made from: both are written together. So the
sealed columns alone say what is left to do, and a walk that was interrupted needs no memory.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, LargeBinary, func, inspect, select, tuple_
from sqlmodel import SQLModel

from authy_grpc.store.link import subject
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
    subject: Callable[[Any, bytes], bytes]
    paired: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return (self.column, f"{self.column}_odd") if self.paired else (self.column,)


@dataclass(frozen=True, slots=True)
class Table:
    """What the keyset has made in a table.

    Attributes:
        model: the table.
        places: the place of each sealed column, by its name.
        digests: those that can be made anew.
        row: the columns that name the row in what is sealed; empty for the primary key's.
    """

    model: type[SQLModel]
    places: Mapping[str, str]
    digests: tuple[Digest, ...] = ()
    row: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The table's name."""
        return str(self.model.__tablename__)

    @property
    def key(self) -> list[Column[Any]]:
        """The columns of its primary key."""
        return list(inspect(self.model).primary_key)

    def row_of(self, row: SQLModel) -> str:
        """The name of a row in what is sealed."""
        return "/".join(getattr(row, each) for each in self.row or [column.name for column in self.key])


def _itself(row: Any, plain: bytes) -> bytes:
    return plain


def _of_site(row: LinkRow | EnrollmentRow, plain: bytes) -> bytes:
    return subject(row.application_id, plain.decode())


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
    columns = inspect(table.model).columns
    prefixes = [func.substr(columns[name], 1, PREFIX_BYTES, type_=LargeBinary) for name in table.places]
    without_key = [columns[name].is_not(None) for name in _without_key(vault, table)]
    key = table.key
    statement = select(*key, *prefixes, *without_key).order_by(*key).limit(STEP)
    if after:
        statement = statement.where(tuple_(*key) > tuple_(*after))
    rows = tx.connection().execute(statement).all()
    keys = [tuple(row[: len(key)]) for row in rows]
    stale = [own for own, row in zip(keys, rows, strict=True) if _is_stale(vault, row[len(key) :])]
    return Page(len(rows), keys[-1] if keys else after, stale)


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
    columns = table.key
    wanted = tuple_(*columns).in_(keys) if len(columns) > 1 else columns[0].in_([key for (key,) in keys])
    statement = select(table.model).where(wanted).order_by(*columns)
    done = set()
    for row in tx.execute(statement.with_for_update(skip_locked=not wait)).scalars():
        _make_anew(vault, table, row)
        done.add(tuple(getattr(row, column.name) for column in columns))
    return done


def _is_stale(vault: Vault, looks: Iterable[bytes | bool | None]) -> bool:
    """Whether a row has to be made anew: by the prefixes of what is sealed, or for another reason."""
    return any(
        each is True or (isinstance(each, bytes) and each and not vault.is_current(each)) for each in looks
    )


def _make_anew(vault: Vault, table: Table, row: SQLModel) -> None:
    name = table.row_of(row)
    plain = {
        column: vault.open(place, name, sealed)
        for column, place in table.places.items()
        if (sealed := getattr(row, column))
    }
    for column, each in plain.items():
        setattr(row, column, vault.seal(table.places[column], name, each))
    for digest in table.digests:
        if digest.source not in plain:
            continue
        made_over = digest.subject(row, plain[digest.source])
        if digest.paired:
            made = vault.pair(digest.purpose, made_over)
            for column, value in zip(digest.columns, made, strict=True):
                setattr(row, column, value)
        else:
            setattr(row, digest.column, vault.digest(digest.purpose, made_over))


def _without_key(vault: Vault, table: Table) -> Iterable[str]:
    """The digest columns of keys that were dropped: what stands in them is of no more use."""
    for digest in table.digests:
        if digest.paired:
            pair = zip(digest.columns, vault.pair(digest.purpose, b""), strict=True)
            yield from (column for column, value in pair if value is None)
