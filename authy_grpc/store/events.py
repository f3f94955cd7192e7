"""The feed: events are rows written in the transaction of the change, and read in one order.

On PostgreSQL commit order is not sequence order: rows are ordered by (epoch, xid, sequence) and
read only below the oldest open transaction, or an event that commits late would be skipped for
ever. SQLite has one writer, so its order is the sequence's, which is never used again.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Integer, Select, String, bindparam, func, or_, select, text, tuple_
from sqlmodel import col

from authy_grpc.domain.approval import Approval
from authy_grpc.domain.enrollment import Enrollment
from authy_grpc.domain.event import UserEvent, WebhookEvent
from authy_grpc.domain.ids import new_id
from authy_grpc.store import meta, outbox, tally
from authy_grpc.store.bulk import Bulk, Inserted, table
from authy_grpc.store.columns import to_millis
from authy_grpc.store.position import EARLIEST as EARLIEST
from authy_grpc.store.position import Position as Position
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import EventRow
from authy_grpc.store.vault import Vault

if TYPE_CHECKING:
    from authy_grpc.store.tx import Tx

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
_EVENT_ID = _COLUMNS.index("event_id")
_INSERT = Inserted(_TABLE, *_COLUMNS, xid=("0", "pg_current_xact_id()::text::bigint"))
# To make a statement takes longer than to run it.
_REMEMBERED = 100
_ORDER = (col(EventRow.epoch), col(EventRow.xid), col(EventRow.sequence))
_AFTER: Any = tuple_(*[bindparam(name, type_=BigInteger) for name in Position._fields])
_Row: Any = namedtuple("_Row", [column.name for column in _TABLE.c])  # type: ignore[misc]
_BY_ID = Bulk(event_id=String).statement(
    lambda given: select(_TABLE).join(given, given.c.event_id == _TABLE.c.event_id)
)
_NEWEST_XID = statement(
    select(_TABLE.c.xid)
    .where(_TABLE.c.epoch == bindparam("own_epoch"))
    .order_by(_TABLE.c.xid.desc())
    .limit(1)
)
_XID = "SELECT pg_current_xact_id()::text::bigint"
# The oldest transaction that is still open.
_HORIZON = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_ANY_UNSETTLED = statement(
    select(_TABLE.c.sequence)
    .where(tuple_(_TABLE.c.epoch, _TABLE.c.xid, _TABLE.c.sequence) > _AFTER)
    .where(text(f"(event.epoch, event.xid) >= (:own_epoch, {_HORIZON})"))
    .limit(1)
)
_NOW_ON_POSTGRES = f"SELECT {_HORIZON}"
_NOW_ON_SQLITE = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'"


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


class Recording:
    """Events of a transaction and their posts, which are written together before it is committed."""

    def __init__(self) -> None:
        self._rows: list[Sequence[Any]] = []
        self._posts: list[outbox.Post] = []

    def __len__(self) -> int:
        return len(self._rows)

    def cut(self, length: int) -> None:
        """Drop the newest, as a work that is refused has written nothing."""
        dropped = {row[_EVENT_ID] for row in self._rows[length:]}
        self._posts = [post for post in self._posts if post[0] not in dropped]
        del self._rows[length:]

    def add(self, tx: "Tx", event: NewEvent) -> str:
        """Take an event, as of now; answers its id."""
        event_id = new_id("evt", tx.now(), tx.random)
        self._rows.append(_row(tx, event_id, event))
        if event.application_id is not None:
            self._posts.append(
                (
                    event_id,
                    event.type,
                    event.subject_id,
                    event.application_id,
                    event.webhook_id,
                    to_millis(tx.now()),
                )
            )
        tally.count_event(tx, event.type, event.body)
        # Credentials that changed are forgotten here before the caller is answered.
        changed: set[str] = tx.info.setdefault("woke", set())
        if event.account_id == CREDENTIALS:
            changed.add(event.subject_id)
        return event_id

    def write(self, tx: "Tx") -> None:
        """Write what was taken since the last time."""
        rows, posts, self._rows, self._posts = self._rows, self._posts, [], []
        _INSERT.run(tx, rows)
        outbox.add(tx, posts)


def _row(tx: "Tx", event_id: str, event: NewEvent) -> Sequence[Any]:
    body = b"" if event.body is None else _BODIES[event.type.split(".")[0]].dump_json(event.body)
    return (
        tx.tools.epoch,
        event_id,
        event.application_id,
        event.account_id,
        event.subject_id,
        event.type,
        event.revision,
        tx.vault.seal(_PLACE, event_id, body) if body else b"",
        to_millis(tx.now()),
    )


def find(tx: "Tx", event_ids: Sequence[str]) -> dict[str, Recorded]:
    """Events by their ids; those that are kept no longer are left out."""
    rows: list[Any] = [_Row(*each) for each in _BY_ID.all(tx, [(each,) for each in event_ids])]
    return {row.event_id: _recorded(tx.vault, row) for row in rows}


def read_after(
    tx: "Tx",
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
    return _ask(tx, position, application_id, types, limit)()


def read_new(tx: "Tx", position: Position, limit: int) -> tuple[list[Recorded], bool]:
    """All rows after a place, as `read_after` does, and whether others wait for an older transaction."""
    rows = _ask(tx, position, None, (), limit)
    if not tx.postgres:
        return rows(), False
    unsettled = _ask_unsettled(tx, position)
    return rows(), bool(unsettled())


def _ask(
    tx: "Tx", position: Position, application_id: str | None, types: Sequence[str], limit: int
) -> Callable[[], list[Recorded]]:
    own = {"own_epoch": tx.tools.epoch} if tx.postgres else {}
    of_one = {} if application_id is None else {"application_id": application_id}
    found = _select(tx.postgres, application_id is not None, tuple(types))
    rows = found.ask(tx, limit=limit, **position._asdict(), **own, **of_one)
    return lambda: [_recorded(tx.vault, row) for row in rows()]


def _ask_unsettled(tx: "Tx", position: Position) -> Callable[[], Sequence[Any]]:
    return _ANY_UNSETTLED.ask(tx, own_epoch=tx.tools.epoch, **position._asdict())


@lru_cache(_REMEMBERED)
def _select(postgres: bool, of_one: bool, types: tuple[str, ...]) -> Statement[Any]:
    """The statement of `read_after`: of one application or all, of some types or all."""
    size = func.length(col(EventRow.sealed_body)).label("size")
    wanted = _settled(postgres, select(*_ORDER, size)).where(tuple_(*_ORDER) > _AFTER)
    if of_one:
        wanted = wanted.where(col(EventRow.application_id) == bindparam("application_id"))
    if types:
        wanted = wanted.where(_wanted(types))
    some = wanted.order_by(*_ORDER).limit(bindparam("limit", type_=Integer)).subquery("some")
    before = func.sum(some.c.size).over(order_by=(some.c.epoch, some.c.xid, some.c.sequence)) - some.c.size
    fits = select(some.c.sequence, before.label("before")).subquery("fits")
    return Statement(
        _Row,
        select(_TABLE)
        .join(fits, fits.c.sequence == _TABLE.c.sequence)
        .where(fits.c.before <= PAGE_BYTES)
        .order_by(_TABLE.c.epoch, _TABLE.c.xid, _TABLE.c.sequence),
    )


def newest(tx: "Tx") -> Position:
    """The position after which all that happens from now on stands, and nothing that can be read yet."""
    if tx.postgres:
        return Position(tx.tools.epoch, tx.execute_raw(_NOW_ON_POSTGRES, None)[0][0], -1)
    return Position(tx.tools.epoch, 0, tx.execute_raw(_NOW_ON_SQLITE, ())[0][0])


def unsettled(tx: "Tx", position: Position) -> bool:
    """Whether committed events after `position` wait for an older transaction to end."""
    return tx.postgres and bool(_ask_unsettled(tx, position)())


def begin_epoch(tx: "Tx") -> None:
    """At start: a restored dump counts transactions anew, so its events get a higher epoch."""
    kept = meta.ROWS.find(tx, _EPOCH, lock=True)
    tx.tools.epoch = int(kept.value) if kept else 0
    if not tx.postgres:
        return
    found = _NEWEST_XID.first(tx, own_epoch=tx.tools.epoch)
    ((current,),) = tx.execute_raw(_XID, None)
    if found is None or found[0] <= current:
        return
    tx.tools.epoch += 1
    meta.ROWS.put(tx, meta.Kept(_EPOCH, str(tx.tools.epoch).encode()))


def _settled(postgres: bool, statement: Select[Any]) -> Select[Any]:
    if not postgres:
        return statement
    return statement.where(text(f"(event.epoch < :own_epoch OR event.xid < {_HORIZON})"))


def _recorded(vault: Vault, row: Any) -> Recorded:
    event_id, kind, sealed = row.event_id, row.type.split(".")[0], row.sealed_body

    def open_body() -> Body:
        if not sealed:
            return None
        body: Body = _BODIES[kind].validate_json(vault.open(_PLACE, event_id, sealed))
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
