"""Keeps the messages that wait for a carrier: they are taken under a lease, and put off."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import String, bindparam, exists, select, update

from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.phone import PhoneChannel
from authy_grpc.domain.user import Factor
from authy_grpc.store import account as accounts
from authy_grpc.store import link as links
from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.columns import Moment
from authy_grpc.store.events import NewEvent
from authy_grpc.store.rows import Rows
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import AccountRow, LinkRow, TellingRow, TextRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_MESSAGE = "text.message"
_STEP = 100


@dataclass(slots=True)
class Kept:
    """A message as it is kept: `TextRow`."""

    text_id: str
    sealed_message: bytes = field(repr=False)
    site_id: str | None
    factor: str
    due_time: datetime
    expire_time: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DueText:
    """A message that is to be sent now.

    Attributes:
        number: E.164; empty where it must not go out.
        attempts: this one included.
    """

    text_id: str
    number: str = field(repr=False)
    body: str = field(repr=False)
    channel: PhoneChannel
    attempts: int
    expire_time: datetime


ROWS = Rows(Kept, TextRow)
_ACCOUNT, _LINK, _PLAN, _TEXT = table(AccountRow), table(LinkRow), table(TellingRow), table(TextRow)
_TAKE = Statement(
    Kept,
    ROWS.select.where(ROWS.c.due_time <= bindparam("now", type_=Moment))
    .order_by(ROWS.c.due_time)
    .limit(_STEP)
    .with_for_update(skip_locked=True),
)
_LEASE = Bulk(text_id=String).statement(
    lambda taken: (
        update(_TEXT)
        .where(_TEXT.c.text_id == taken.c.text_id)
        .values(attempts=_TEXT.c.attempts + 1, due_time=bindparam("until", type_=Moment))
    )
)
_TO_NUMBERS = ROWS.where(ROWS.c.site_id.is_(None), lock=True)
# Codes that the owner switched off stop at once, and go on at each site when it is told.
_UNTOLD = exists().where(
    _PLAN.c.site_id == _LINK.c.site_id, _PLAN.c.kind == UserEventType.FACTORS_CHANGED.value
)
_OWNERS = Bulk(site_id=String).statement(
    lambda given: (
        select(_LINK.c.site_id, *accounts.ROWS.select.selected_columns)
        .join(given, given.c.site_id == _LINK.c.site_id)
        .join(_ACCOUNT, _ACCOUNT.c.account_id == _LINK.c.account_id)
        .where(_ACCOUNT.c.phone_codes, ~_UNTOLD)
    )
)


def add(tx: Tx, number: str, body: str, channel: PhoneChannel, expire_time: datetime) -> None:
    """Have a message sent to whoever holds a number.

    Args:
        tx: of the cause.
        number: E.164.
        body: what it says.
        channel: how it goes.
        expire_time: from when on it is of no use.
    """
    _add(tx, number, body, channel, expire_time)


def add_for_link(tx: Tx, site_id: str, body: str, factor: Factor, expire_time: datetime) -> None:
    """Have a message sent to the owner of a link, whose site is told what became of it.

    Whether it may go, and where to, is looked up when it goes: queueing is the same work whether or
    not the owner has switched such codes off, and takes as long.

    Args:
        tx: of the cause.
        site_id: the link.
        body: what it says.
        factor: SMS or VOICE.
        expire_time: from when on it is of no use.
    """
    _add(tx, "", body, PhoneChannel(factor.value), expire_time, site_id=site_id, factor=factor.value)


def _add(
    tx: Tx,
    number: str,
    body: str,
    channel: PhoneChannel,
    expire_time: datetime,
    *,
    site_id: str | None = None,
    factor: str = "",
) -> None:
    now = tx.now()
    text_id = new_id("txt", now, tx.random)
    message = json.dumps({"number": number, "body": body, "channel": channel.value})
    sealed = tx.vault.seal(_MESSAGE, text_id, message.encode())
    ROWS.add(tx, Kept(text_id, sealed, site_id, factor, due_time=now, expire_time=expire_time))
    # Some have no event, by whose commit those who send are woken.
    tx.info.setdefault("woke", set())


def take(tx: Tx, lease: timedelta) -> list[DueText]:
    """Take what is due, without what another server has taken: it falls due again when the lease ends."""
    now = tx.now()
    taken = _TAKE.all(tx, now=now)
    _LEASE.run(tx, [(row.text_id,) for row in taken], until=now + lease)
    numbers = _numbers(tx, {row.site_id for row in taken if row.site_id is not None})
    return [_due(tx.vault, row, numbers) for row in taken]


def _due(vault: Vault, row: Kept, numbers: dict[str, str]) -> DueText:
    message = json.loads(vault.open(_MESSAGE, row.text_id, row.sealed_message))
    return DueText(
        text_id=row.text_id,
        number=message["number"] if row.site_id is None else numbers.get(row.site_id, ""),
        body=message["body"],
        channel=PhoneChannel(message["channel"]),
        attempts=row.attempts + 1,
        expire_time=row.expire_time,
    )


def erase(tx: Tx, number: str) -> None:
    """Remove the messages to a number that still wait.

    Those of links have none, and look it up when they go. Nothing tells which of the others are a number's
    but what is sealed; they wait for minutes at most.
    """
    for row in _TO_NUMBERS.all(tx):
        if json.loads(tx.vault.open(_MESSAGE, row.text_id, row.sealed_message))["number"] == number:
            ROWS.remove(tx, row)


def outcome(tx: Tx, row: Kept, reason: str) -> NewEvent | None:
    """What the site is told of a link's message; None where there is no site to tell.

    Args:
        tx: of the work.
        row: the message.
        reason: why it did not go; empty where it did.
    """
    link = links.ROWS.find(tx, row.site_id)
    if link is None:
        return None
    kind = UserEventType.CODE_UNDELIVERED if reason else UserEventType.CODE_DELIVERED
    return links.event(tx.vault, link, kind, factor=Factor(row.factor), reason=reason)


def _numbers(tx: Tx, site_ids: Iterable[str]) -> dict[str, str]:
    """The numbers behind links to which codes may go now."""
    found = _OWNERS.all(tx, [(each,) for each in site_ids])
    return {site_id: accounts.number(tx.vault, accounts.Kept(*columns)) for site_id, *columns in found}
