"""Owns how the activity of accounts is read; `store/account.py` writes it."""

import json
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import col, select

from authy_grpc.store.account import ACTIVITY
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


def listed(tx: Tx, account_id: str, before: str, limit: int) -> list[Activity]:
    """What has happened on an account, newest first. The ids rise with time.

    Args:
        tx: of a read.
        account_id: whose.
        before: the id to go on from; empty for the newest.
        limit: at most so many.
    """
    statement = select(ActivityRow).where(ActivityRow.account_id == account_id)
    if before:
        statement = statement.where(ActivityRow.activity_id < before)
    rows = tx.exec(statement.order_by(col(ActivityRow.activity_id).desc()).limit(limit))
    return [_activity(tx.vault, row) for row in rows]


def _activity(vault: Vault, row: ActivityRow) -> Activity:
    body = json.loads(vault.open(ACTIVITY, row.activity_id, row.sealed_body))
    return Activity(row.activity_id, row.type, body["site"], body["device"], row.create_time)
