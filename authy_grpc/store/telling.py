"""Plans of what sites are told later than it took effect, as they are kept and found."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, bindparam, select

from authy_grpc.store import link as links
from authy_grpc.store.columns import Moment
from authy_grpc.store.rows import Rows
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import TellingRow
from authy_grpc.store.tx import Tx

_STEP = 100


@dataclass(slots=True)
class Kept:
    """A plan as it is kept: `TellingRow`."""

    telling_id: str
    site_id: str
    kind: str
    kid: str | None
    due_time: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told now, and at which link of whose."""

    telling_id: str
    site_id: str
    account_id: str | None


ROWS = Rows(Kept, TellingRow)
_LINK, _PLAN = links.ROWS.c, ROWS.c
_FOUND = (
    select(_PLAN.telling_id, _LINK.site_id, _LINK.account_id)
    .where(_LINK.site_id == _PLAN.site_id, _PLAN.due_time <= bindparam("now", type_=Moment))
    .order_by(_LINK.account_id, _PLAN.due_time, _PLAN.telling_id)
)
_SOME = Statement(Due, _FOUND.limit(bindparam("limit", type_=Integer)))
_OF_ACCOUNT = Statement(Due, _FOUND.where(_LINK.account_id == bindparam("account_id")))


def due(tx: Tx) -> list[Due]:
    """Some of what is due: of each account all, so that who is told of what can be seen together."""
    now = tx.now()
    some = _SOME.all(tx, now=now, limit=_STEP)
    # The last account may have more. Of links without one each stands for itself.
    if len(some) < _STEP or (last := some[-1].account_id) is None:
        return some
    return [each for each in some if each.account_id != last] + _OF_ACCOUNT.all(tx, now=now, account_id=last)


def locked(tx: Tx, telling_id: str) -> tuple[Kept, links.Kept] | None:
    """A plan and its link, both locked; None where it has been told, or its link is gone."""
    row = ROWS.find(tx, telling_id)
    if row is None:
        return None
    link = links.ROWS.find(tx, row.site_id, lock=True)
    # Another server may have told it meanwhile.
    row = ROWS.find(tx, telling_id, lock=True)
    return None if row is None or link is None else (row, link)
