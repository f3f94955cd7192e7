"""Accounts as they are kept, and how a change of one reaches its devices: revisions, activity, a wake-up."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

from sqlalchemy import bindparam, delete, insert, or_, select, update

from authy_grpc.domain.account import Account
from authy_grpc.domain.device import NewDevicePolicy
from authy_grpc.domain.errors import BadCredential
from authy_grpc.domain.ids import new_id
from authy_grpc.store.bulk import table
from authy_grpc.store.events import NewEvent
from authy_grpc.store.rows import Rows
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import AccountRow, ActivityRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

ACTIVITY = "activity.body"
ACCOUNT_CHANGED = "account.changed"
_NUMBER = "account.number"


@dataclass(slots=True)
class Kept:
    """An account as it is kept: `AccountRow`."""

    account_id: str
    new_device_policy: str
    create_time: datetime
    sealed_number: bytes | None = field(default=None, repr=False)
    number_digest: bytes | None = field(default=None, repr=False)
    number_digest_odd: bytes | None = field(default=None, repr=False)
    phone_codes: bool = True
    recovery_hash: bytes | None = field(default=None, repr=False)
    release_blocked_until: datetime | None = None
    sites_revision: int = 1
    devices_revision: int = 1
    activity_revision: int = 1


class Number(TypedDict):
    """The columns that keep a number."""

    sealed_number: bytes
    number_digest: bytes | None
    number_digest_odd: bytes | None


ROWS = Rows(Kept, AccountRow)
_ACCOUNT, _ACTIVITY = table(AccountRow), table(ActivityRow)
_HAS_NUMBER = or_(
    ROWS.c.number_digest == bindparam("digest"), ROWS.c.number_digest_odd == bindparam("digest_odd")
)
_OF_NUMBER, _LOCK_OF_NUMBER = ROWS.where(_HAS_NUMBER), ROWS.where(_HAS_NUMBER, lock=True)
_HOLD = Statement(
    bool,
    select(_ACCOUNT.c.sealed_number.is_not(None))
    .where(_ACCOUNT.c.account_id == bindparam("account_id"))
    .with_for_update(),
)
_LOCK_FOR_LINK = Statement(
    str,
    select(_ACCOUNT.c.account_id)
    .where(_ACCOUNT.c.account_id == bindparam("account_id"))
    .with_for_update(key_share=True),
)
_TAKE = Statement(
    str,
    select(_ACCOUNT.c.account_id)
    .where(_ACCOUNT.c.account_id == bindparam("account_id"))
    .with_for_update(key_share=True, skip_locked=True),
)
_RAISE = statement(
    update(_ACCOUNT)
    .where(_ACCOUNT.c.account_id == bindparam("of_account"))
    .values(
        {
            name: _ACCOUNT.c[name] + bindparam(name)
            for name in ("sites_revision", "devices_revision", "activity_revision")
        }
    )
)
_KEEP = statement(insert(_ACTIVITY))
_FORGET = statement(delete(_ACTIVITY).where(_ACTIVITY.c.account_id == bindparam("account_id")))


class AccountBusy(Exception):
    """Somebody else holds the account: to be tried again with it locked before all else."""


def find(tx: Tx, account_id: str, *, lock: bool = False) -> Kept:
    """The account of a device that calls.

    Args:
        tx: of the work.
        account_id: whose device calls.
        lock: whether the work will change the account, its devices or its links.

    Raises:
        BadCredential: it was erased since the device's token was looked at.
    """
    row = ROWS.find(tx, account_id, lock=lock)
    if row is None or row.sealed_number is None:
        raise BadCredential
    return row


def lock(tx: Tx, account_id: str) -> None:
    """Lock the account of a device that calls, before its links.

    Raises:
        BadCredential: it was erased since the device's token was looked at.
    """
    if not hold(tx, account_id):
        raise BadCredential


def hold(tx: Tx, account_id: str) -> bool:
    """Lock an account; False where it was erased."""
    return bool(_HOLD.first(tx, account_id=account_id))


def lock_for_link(tx: Tx, account_id: str) -> None:
    """Lock the account behind a link, before the link, erased or not."""
    _LOCK_FOR_LINK.first(tx, account_id=account_id)


def take(tx: Tx, account_id: str) -> bool:
    """Lock an account when its links are locked already; False where somebody else holds it.

    That one is not waited for: who holds an account may wait for one of its links.
    """
    return _TAKE.first(tx, account_id=account_id) is not None


def find_by_number(tx: Tx, number: str, *, lock: bool = False) -> Kept | None:
    """The account of a number, or None. It tries the digests of every key.

    Args:
        tx: of the work.
        number: E.164.
        lock: whether the work will change it.
    """
    even, odd = tx.vault.pair("number", number.encode())
    return (_LOCK_OF_NUMBER if lock else _OF_NUMBER).first(tx, digest=even, digest_odd=odd)


def number_columns(vault: Vault, account_id: str, number: str) -> Number:
    """The number of an account, as its columns keep it: sealed, and a digest by each key."""
    even, odd = vault.pair("number", number.encode())
    sealed = vault.seal(_NUMBER, account_id, number.encode())
    return {"sealed_number": sealed, "number_digest": even, "number_digest_odd": odd}


def number(vault: Vault, row: Kept) -> str:
    """The number of an account, E.164; empty where it was erased."""
    sealed = row.sealed_number
    return vault.open(_NUMBER, row.account_id, sealed).decode() if sealed else ""


def to_account(vault: Vault, row: Kept) -> Account:
    """An account, from its row."""
    return Account(
        phone_number=number(vault, row),
        new_device_policy=NewDevicePolicy(row.new_device_policy),
        phone_codes=row.phone_codes,
        create_time=row.create_time,
    )


def erase(tx: Tx, row: Kept) -> None:
    """Remove all that an account keeps of its owner.

    The row itself stays while links wait to be told of their end.
    """
    ROWS.change(
        tx,
        row,
        sealed_number=None,
        number_digest=None,
        number_digest_odd=None,
        recovery_hash=None,
        phone_codes=False,
    )
    forget_activity(tx, row.account_id)


def forget_activity(tx: Tx, account_id: str) -> None:
    """Remove what an account's devices are shown."""
    _FORGET.run(tx, account_id=account_id)


def changed(
    tx: Tx,
    account_id: str,
    *,
    sites: bool = False,
    devices: bool = False,
    activity: str = "",
    site_name: str = "",
    device_name: str = "",
) -> None:
    """Raise the revisions of what changed, keep an activity, and wake the account's inboxes.

    Args:
        tx: of the change.
        account_id: whose devices are told.
        sites: whether ListSites answers something else now.
        devices: whether ListDevices answers something else now.
        activity: what ListActivity shows, such as `device.added`; empty for nothing.
        site_name: of the activity.
        device_name: of the activity.
    """
    now = tx.now()
    raised = {
        "of_account": account_id,
        "sites_revision": int(sites),
        "devices_revision": int(devices),
        "activity_revision": 1,
    }
    _RAISE.run(tx, **raised)
    if activity:
        activity_id = new_id("act", now, tx.random)
        body = json.dumps({"site": site_name, "device": device_name}).encode()
        kept = {
            "activity_id": activity_id,
            "account_id": account_id,
            "type": activity,
            "sealed_body": tx.vault.seal(ACTIVITY, activity_id, body),
            "create_time": now,
        }
        _KEEP.run(tx, **kept)
    tx.record(NewEvent(type=ACCOUNT_CHANGED, subject_id=account_id, account_id=account_id))
