"""Owns the feed: events are rows written in the transaction of the change, and read in one order.

On PostgreSQL commit order is not sequence order: rows are ordered by (epoch, xid, sequence) and
read only below the oldest open transaction, or an event that commits late would be skipped for
ever. SQLite has one writer, so its order is the sequence's, which is never used again.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Integer, Select, bindparam, func, or_, select, text, tuple_
from sqlmodel import col

from authy_grpc.domain.approval import Approval
from authy_grpc.domain.enrollment import Enrollment
from authy_grpc.domain.event import UserEvent, WebhookEvent
from authy_grpc.domain.ids import new_id
from authy_grpc.store import tally
from authy_grpc.store.columns import to_millis
from authy_grpc.store.given import inserted, table
from authy_grpc.store.outbox import Outbox
from authy_grpc.store.position import EARLIEST as EARLIEST
from authy_grpc.store.position import Position as Position
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import EventRow, MetaRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

Body = Enrollment | Approval | UserEvent | WebhookEvent | None

# How much a reader takes at once, whatever it asks for: 1 MiB, and one event.
PAGE_BYTES = 1024 * 1024

# Every change of a credential is about this topic too, for those who remember look-ups.
CREDENTIALS = "credentials"

_BODIES: dict[str, TypeAdapter[Any]] = {
    "enrollment": TypeAdapter(Enrollment),
    "approval": TypeAdapter(Approval),
    "code": TypeAdapter(UserEvent),
    "user": TypeAdapter(UserEvent),
    "webhook": TypeAdapter(WebhookEvent),
}
_PLACE = "event.body"
_EPOCH = "feed.epoch"
_TABLE = table(EventRow)
_COLUMNS = (
    "epoch",
    "event_id",
    "application_id",
    "account_id",
    "subject_id",
    "type",
    "revision",
    "sealed_body",
    "create_time",
)
_REMEMBERED = 100
_BY_ID = select(_TABLE).where(_TABLE.c.event_id.in_(bindparam("event_ids", expanding=True)))
_AFTER: Any = tuple_(*[bindparam(name, type_=BigInteger) for name in Position._fields])
_Row: Any = namedtuple("_Row", [column.name for column in _TABLE.c])  # type: ignore[misc]
# The oldest transaction that is still open.
_HORIZON = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_ANY_UNSETTLED = statement(
    select(_TABLE.c.sequence)
    .where(tuple_(_TABLE.c.epoch, _TABLE.c.xid, _TABLE.c.sequence) > _AFTER)
    .where(text(f"(event.epoch, event.xid) >= (:own_epoch, {_HORIZON})"))
    .limit(1)
)
_NOW_ON_POSTGRES = text(f"SELECT {_HORIZON}")
_NOW_ON_SQLITE = text("SELECT seq FROM sqlite_sequence WHERE name = 'event'")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be recorded.

    Attributes:
        type: as the contract names it; those of no application wake, and no site reads them.
        subject_id: the enrollment, approval, link or credential that it is about.
        application_id: in whose feed it stands; None for none.
        account_id: whose devices it wakes.
        revision: of the subject.
        webhook_id: the one webhook that it is posted to, whatever its types; empty for all that want it.
    """

    type: str
    subject_id: str
    application_id: str | None = None
    account_id: str | None = None
    revision: int = 0
    body: Body = None
    webhook_id: str = ""


@dataclass(frozen=True)
class Recorded:
    """An event as it was recorded. `body` is opened when it is first asked for; `size` is its bytes."""

    position: Position
    event_id: str
    type: str
    subject_id: str
    application_id: str | None
    account_id: str | None
    revision: int
    create_time: datetime
    size: int
    open_body: Callable[[], Body] = field(repr=False, compare=False)

    @cached_property
    def body(self) -> Body:
        """What it says."""
        return self.open_body()

    @property
    def topics(self) -> tuple[str, ...]:
        """Whom it wakes: application, account and subject."""
        return tuple(each for each in (self.application_id, self.account_id, self.subject_id) if each)


class Events:
    """Records and reads events.

    Args:
        vault: seals what they say.
        random: source of random bytes.
        postgres: whether the store is PostgreSQL.
    """

    _ORDER: ClassVar = (col(EventRow.epoch), col(EventRow.xid), col(EventRow.sequence))

    def __init__(self, vault: Vault, random: Callable[[int], bytes], *, postgres: bool) -> None:
        self._vault = vault
        self._random = random
        self._postgres = postgres
        self._epoch = 0
        xid = "pg_current_xact_id()::text::bigint" if postgres else "0"
        self._insert = inserted(postgres, _TABLE, *_COLUMNS, xid=xid)
        self._outbox = Outbox(postgres)
        # To make a statement takes longer than to run it.
        self._select = lru_cache(_REMEMBERED)(self._make_select)

    def record(self, tx: Tx, now: datetime, *events: NewEvent) -> list[str]:
        """Write events and their posts in the transaction of the change, whose commit wakes those who watch.

        Args:
            tx: of the change.
            now: when it happened.
            events: in order.

        Returns:
            Their ids.
        """
        if not events:
            return []
        ids = [new_id("evt", now, self._random) for _ in events]
        self._insert.run(tx, [self._row(*each, now) for each in zip(ids, events, strict=True)])
        self._outbox.add(
            tx,
            now,
            [
                (event_id, event.type, event.subject_id, event.application_id, event.webhook_id)
                for event_id, event in zip(ids, events, strict=True)
                if event.application_id is not None
            ],
        )
        for event in events:
            tally.count_event(tx, event.type, event.body)
        # Credentials that changed are forgotten here before the caller is answered.
        changed: set[str] = tx.info.setdefault("woke", set())
        changed.update(event.subject_id for event in events if event.account_id == CREDENTIALS)
        return ids

    def find(self, tx: Tx, event_ids: Sequence[str]) -> dict[str, Recorded]:
        """Events by their ids; those that are kept no longer are left out."""
        rows = tx.connection().execute(_BY_ID, {"event_ids": list(event_ids)})
        return {row.event_id: self._recorded(row) for row in rows}

    def read_after(
        self,
        tx: Tx,
        position: Position,
        *,
        application_id: str | None = None,
        types: Sequence[str] = (),
        limit: int,
    ) -> list[Recorded]:
        """Read events in order, up to the one with which they exceed `PAGE_BYTES`.

        Args:
            tx: of a read.
            position: after which.
            application_id: whose feed; None for all rows, those that only wake too.
            types: whole types, or beginnings that end in `*`; none for all.
            limit: at most so many.
        """
        return self._ask(tx, position, application_id, types, limit)()

    def read_new(self, tx: Tx, position: Position, limit: int) -> tuple[list[Recorded], bool]:
        """All rows after a place, as `read_after` does, and whether others wait for an older transaction."""
        rows = self._ask(tx, position, None, (), limit)
        if not self._postgres:
            return rows(), False
        unsettled = self._ask_unsettled(tx, position)
        return rows(), bool(unsettled())

    def _ask(
        self, tx: Tx, position: Position, application_id: str | None, types: Sequence[str], limit: int
    ) -> Callable[[], list[Recorded]]:
        own = {"own_epoch": self._epoch} if self._postgres else {}
        of_one = {} if application_id is None else {"application_id": application_id}
        select = self._select(application_id is not None, tuple(types))
        rows = select.ask(tx, limit=limit, **position._asdict(), **own, **of_one)
        return lambda: [self._recorded(row) for row in rows()]

    def _ask_unsettled(self, tx: Tx, position: Position) -> Callable[[], Sequence[Any]]:
        return _ANY_UNSETTLED.ask(tx, own_epoch=self._epoch, **position._asdict())

    def _make_select(self, of_one: bool, types: tuple[str, ...]) -> Statement[Any]:
        """The statement of `read_after`: of one application or all, of some types or all."""
        size = func.length(col(EventRow.sealed_body)).label("size")
        wanted = self._settled(select(*self._ORDER, size)).where(tuple_(*self._ORDER) > _AFTER)
        if of_one:
            wanted = wanted.where(col(EventRow.application_id) == bindparam("application_id"))
        if types:
            wanted = wanted.where(_wanted(types))
        some = wanted.order_by(*self._ORDER).limit(bindparam("limit", type_=Integer)).subquery("some")
        before = (
            func.sum(some.c.size).over(order_by=(some.c.epoch, some.c.xid, some.c.sequence)) - some.c.size
        )
        fits = select(some.c.sequence, before.label("before")).subquery("fits")
        return Statement(
            _Row,
            select(_TABLE)
            .join(fits, fits.c.sequence == _TABLE.c.sequence)
            .where(fits.c.before <= PAGE_BYTES)
            .order_by(_TABLE.c.epoch, _TABLE.c.xid, _TABLE.c.sequence),
        )

    def newest(self, tx: Tx) -> Position:
        """The position after which all that happens from now on stands, and nothing that can be read yet."""
        if self._postgres:
            return Position(self._epoch, tx.execute(_NOW_ON_POSTGRES).scalar_one(), -1)
        return Position(self._epoch, 0, tx.execute(_NOW_ON_SQLITE).scalar() or 0)

    def unsettled(self, tx: Tx, position: Position) -> bool:
        """Whether committed events after `position` wait for an older transaction to end."""
        return self._postgres and bool(self._ask_unsettled(tx, position)())

    def begin_epoch(self, tx: Tx) -> None:
        """At start: a restored dump counts transactions anew, so its events get a higher epoch."""
        meta = tx.get(MetaRow, _EPOCH, with_for_update=True)
        self._epoch = int(meta.value) if meta else 0
        if not self._postgres:
            return
        newest = tx.execute(
            select(col(EventRow.xid))
            .where(col(EventRow.epoch) == self._epoch)
            .order_by(col(EventRow.xid).desc())
            .limit(1)
        ).scalar()
        current = tx.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
        if (newest or 0) > current:
            self._epoch += 1
            tx.merge(MetaRow(name=_EPOCH, value=str(self._epoch).encode()))

    def _settled(self, statement: Select[Any]) -> Select[Any]:
        if not self._postgres:
            return statement
        return statement.where(text(f"(event.epoch < :own_epoch OR event.xid < {_HORIZON})"))

    def _row(self, event_id: str, event: NewEvent, now: datetime) -> Sequence[Any]:
        body = b"" if event.body is None else _BODIES[event.type.split(".")[0]].dump_json(event.body)
        return (
            self._epoch,
            event_id,
            event.application_id,
            event.account_id,
            event.subject_id,
            event.type,
            event.revision,
            self._vault.seal(_PLACE, event_id, body) if body else b"",
            to_millis(now),
        )

    def _recorded(self, row: Any) -> Recorded:
        event_id, kind, sealed = row.event_id, row.type.split(".")[0], row.sealed_body

        def open_body() -> Body:
            if not sealed:
                return None
            body: Body = _BODIES[kind].validate_json(self._vault.open(_PLACE, event_id, sealed))
            return body

        return Recorded(
            position=Position(row.epoch, row.xid, row.sequence),
            event_id=event_id,
            type=row.type,
            subject_id=row.subject_id,
            application_id=row.application_id,
            account_id=row.account_id,
            revision=row.revision,
            create_time=row.create_time,
            size=len(sealed),
            open_body=open_body,
        )


def may_have_more(rows: Sequence[Recorded], limit: int) -> bool:
    """Whether `read_after` may have left rows out, by its limit or by their bytes."""
    return len(rows) >= limit or sum(row.size for row in rows) > PAGE_BYTES


def _wanted(types: Sequence[str]) -> Any:
    # Not LIKE, which on SQLite takes letters of either case.
    column = col(EventRow.type)
    return or_(
        *[
            func.substr(column, 1, len(each) - 1) == each[:-1] if each.endswith("*") else column == each
            for each in types
        ]
    )
