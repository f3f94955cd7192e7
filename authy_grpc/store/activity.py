"""Reads the activity of accounts, which `store/account.py` writes."""

import json
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Integer, bindparam, select

from authy_grpc.store.account import ACTIVITY
from authy_grpc.store.bulk import table
from authy_grpc.store.statements import statement
from authy_grpc.store.tables import ActivityRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that has happened on an account.

    Attributes:
        type: such as `code.accepted`.
        site_name: empty where it is about no site.
        device_name: empty where it is about no device.
    """

    activity_id: str
    type: str
    site_name: str = field(repr=False)
    device_name: str = field(repr=False)
    time: datetime


_ACTIVITY = table(ActivityRow)
_PAGE = (
    select(_ACTIVITY.c.activity_id, _ACTIVITY.c.type, _ACTIVITY.c.sealed_body, _ACTIVITY.c.create_time)
    .where(_ACTIVITY.c.account_id == bindparam("account_id"))
    .order_by(_ACTIVITY.c.activity_id.desc())
    .limit(bindparam("limit", type_=Integer))
)
_NEWEST = statement(_PAGE)
_OLDER = statement(_PAGE.where(_ACTIVITY.c.activity_id < bindparam("before")))


def listed(tx: Tx, account_id: str, before: str, limit: int) -> list[Activity]:
    """What has happened on an account, newest first. The ids rise with time.

    Args:
        tx: of a read.
        account_id: whose.
        before: the id to go on from; empty for the newest.
        limit: at most so many.
    """
    if before:
        rows = _OLDER.all(tx, account_id=account_id, before=before, limit=limit)
    else:
        rows = _NEWEST.all(tx, account_id=account_id, limit=limit)
    return [_activity(tx.vault, *row) for row in rows]


def _activity(vault: Vault, activity_id: str, type: str, sealed: bytes, time: datetime) -> Activity:
    body = json.loads(vault.open(ACTIVITY, activity_id, sealed))
    return Activity(activity_id, type, body["site"], body["device"], time)
