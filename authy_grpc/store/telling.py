"""Owns how plans of what sites are told are found."""

from dataclasses import dataclass

from sqlmodel import col, select

from authy_grpc.store.tables import LinkRow, TellingRow
from authy_grpc.store.tx import Tx

_STEP = 100


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told now, and at which link of whose."""

    telling_id: str
    site_id: str
    account_id: str | None


def due(tx: Tx) -> list[Due]:
    """Some of what is due: of each account all, so that who is told of what can be seen together."""
    now = tx.now()
    statement = (
        select(TellingRow.telling_id, LinkRow.site_id, LinkRow.account_id)
        .join(LinkRow, col(LinkRow.site_id) == col(TellingRow.site_id))
        .where(TellingRow.due_time <= now)
        .order_by(col(LinkRow.account_id), col(TellingRow.due_time), col(TellingRow.telling_id))
    )
    some = [Due(*each) for each in tx.exec(statement.limit(_STEP))]
    if len(some) < _STEP:
        return some
    # The last account may have more.
    last = some[-1].account_id
    rest = tx.exec(statement.where(LinkRow.account_id == last))
    return [each for each in some if each.account_id != last] + [Due(*each) for each in rest]


def locked(tx: Tx, telling_id: str) -> tuple[TellingRow, LinkRow] | None:
    """A plan and its link, both locked; None where it has been told, or its link is gone."""
    row = tx.get(TellingRow, telling_id)
    if row is None:
        return None
    link = tx.get(LinkRow, row.site_id, with_for_update=True)
    # Another server may have told it meanwhile.
    row = tx.get(TellingRow, telling_id, with_for_update=True, populate_existing=True)
    return None if row is None or link is None else (row, link)
