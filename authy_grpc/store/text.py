"""Owns the messages that wait for a carrier: how they are kept, taken under a lease, and put off."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import exists
from sqlmodel import col, select

from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.phone import PhoneChannel
from authy_grpc.domain.user import Factor
from authy_grpc.store import account as accounts
from authy_grpc.store import link as links
from authy_grpc.store.events import NewEvent
from authy_grpc.store.tables import AccountRow, LinkRow, TellingRow, TextRow
from authy_grpc.store.tx import Tx

_MESSAGE = "text.message"
_STEP = 100


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


def add(
    tx: Tx,
    row: TextRow,
    *,
    body: str,
    channel: PhoneChannel,
    number: str = "",
) -> None:
    """Keep a message.

    Args:
        tx: of the work.
        row: all but what it says.
        body: what it says.
        channel: how it goes.
        number: E.164; empty for a link's, whose number is the account's when it goes out.
    """
    message = json.dumps({"number": number, "body": body, "channel": channel.value})
    row.sealed_message = tx.vault.seal(_MESSAGE, row.text_id, message.encode())
    tx.add(row)
    # Some have no event, by whose commit those who send are woken.
    tx.info.setdefault("woke", set())


def take(tx: Tx, lease: timedelta) -> list[DueText]:
    """Take what is due, without what another server has taken: it falls due again when the lease ends."""
    now = tx.now()
    statement = (
        select(TextRow)
        .where(TextRow.due_time <= now)
        .order_by(col(TextRow.due_time))
        .limit(_STEP)
        .with_for_update(skip_locked=True)
    )
    taken = []
    for row in tx.exec(statement):
        row.due_time = now + lease
        row.attempts += 1
        tx.add(row)
        message = json.loads(tx.vault.open(_MESSAGE, row.text_id, row.sealed_message))
        number = message["number"] if row.site_id is None else _number(tx, row.site_id)
        taken.append(
            DueText(
                text_id=row.text_id,
                number=number,
                body=message["body"],
                channel=PhoneChannel(message["channel"]),
                attempts=row.attempts,
                expire_time=row.expire_time,
            )
        )
    return taken


def find(tx: Tx, text_id: str) -> TextRow | None:
    """A message that waits, locked; None where it was dealt with."""
    return tx.get(TextRow, text_id, with_for_update=True)


def erase(tx: Tx, number: str) -> None:
    """Remove the messages to a number that still wait.

    Those of links have none, and look it up when they go. Nothing tells which of the others are a number's
    but what is sealed; they wait for minutes at most.
    """
    for row in tx.exec(select(TextRow).where(col(TextRow.site_id).is_(None)).with_for_update()):
        if json.loads(tx.vault.open(_MESSAGE, row.text_id, row.sealed_message))["number"] == number:
            tx.delete(row)


def outcome(tx: Tx, row: TextRow, reason: str) -> NewEvent | None:
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


def _number(tx: Tx, site_id: str) -> str:
    """The number behind a link, if codes may go there now.

    Codes that the owner switched off stop at once, and go on at each site when it is told.
    """
    untold = exists().where(
        col(TellingRow.site_id) == site_id, col(TellingRow.kind) == UserEventType.FACTORS_CHANGED.value
    )
    statement = (
        select(LinkRow.account_id)
        .join(AccountRow, col(LinkRow.account_id) == col(AccountRow.account_id))
        .where(LinkRow.site_id == site_id, col(AccountRow.phone_codes), ~untold)
    )
    account = accounts.ROWS.find(tx, tx.exec(statement).first())
    return accounts.number(tx.vault, account) if account else ""
