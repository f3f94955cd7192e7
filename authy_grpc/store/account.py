"""Owns how accounts are kept, and how a change of one reaches its devices: revisions, activity, a wake-up."""

import json

from sqlalchemy import bindparam, delete, insert, update
from sqlmodel import col, select

from authy_grpc.domain.account import Account
from authy_grpc.domain.device import NewDevicePolicy
from authy_grpc.domain.errors import BadCredential
from authy_grpc.domain.ids import new_id
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import has_digest
from authy_grpc.store.events import NewEvent
from authy_grpc.store.statements import Statement, statement
from authy_grpc.store.tables import AccountRow, ActivityRow, LinkRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

ACTIVITY = "activity.body"
ACCOUNT_CHANGED = "account.changed"
_NUMBER = "account.number"


_ACCOUNT, _ACTIVITY = table(AccountRow), table(ActivityRow)
_HOLD = Statement(
    bool,
    select(_ACCOUNT.c.sealed_number.is_not(None))
    .where(_ACCOUNT.c.account_id == bindparam("account_id"))
    .with_for_update(),
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


class AccountBusy(Exception):
    """Somebody else holds the account: to be tried again with it locked before all else."""


def find(tx: Tx, account_id: str, *, lock: bool = False) -> AccountRow:
    """The account of a device that calls.

    Args:
        tx: of the work.
        account_id: whose device calls.
        lock: whether the work will change the account, its devices or its links.

    Raises:
        BadCredential: it was erased since the device's token was looked at.
    """
    row = tx.get(AccountRow, account_id, with_for_update=True if lock else None)
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


def take(tx: Tx, account_id: str) -> bool:
    """Lock an account when its links are locked already; False where somebody else holds it.

    That one is not waited for: who holds an account may wait for one of its links.
    """
    return _TAKE.first(tx, account_id=account_id) is not None


def find_by_number(tx: Tx, number: str, *, lock: bool = False) -> AccountRow | None:
    """The account of a number, or None. It tries the digests of every key.

    Args:
        tx: of the work.
        number: E.164.
        lock: whether the work will change it.
    """
    columns = col(AccountRow.number_digest), col(AccountRow.number_digest_odd)
    statement = select(AccountRow).where(has_digest(columns, tx.vault.pair("number", number.encode())))
    return tx.exec(statement.with_for_update() if lock else statement).first()


def set_number(row: AccountRow, vault: Vault, number: str) -> None:
    """Give an account its number, with a digest by each key."""
    row.sealed_number = vault.seal(_NUMBER, row.account_id, number.encode())
    row.number_digest, row.number_digest_odd = vault.pair("number", number.encode())


def number(vault: Vault, row: AccountRow) -> str:
    """The number of an account, E.164; empty where it was erased."""
    sealed = row.sealed_number
    return vault.open(_NUMBER, row.account_id, sealed).decode() if sealed else ""


def to_account(vault: Vault, row: AccountRow) -> Account:
    """An account, from its row."""
    return Account(
        phone_number=number(vault, row),
        new_device_policy=NewDevicePolicy(row.new_device_policy),
        phone_codes=row.phone_codes,
        create_time=row.create_time,
    )


def links(tx: Tx, account_id: str, *, lock: bool = True) -> list[LinkRow]:
    """The links of an account that have not ended, in a fixed order, locked where they will be changed."""
    statement = (
        select(LinkRow)
        .where(LinkRow.account_id == account_id, LinkRow.state != "ENDED")
        .order_by(col(LinkRow.site_id))
    )
    return list(tx.exec(statement.with_for_update() if lock else statement))


def has_links(tx: Tx, account_id: str) -> bool:
    """Whether an account has links that have not ended."""
    statement = select(LinkRow.site_id).where(LinkRow.account_id == account_id, LinkRow.state != "ENDED")
    return tx.exec(statement.limit(1)).first() is not None


def erase(tx: Tx, row: AccountRow) -> None:
    """Remove all that an account keeps of its owner.

    The row itself stays while links wait to be told of their end.
    """
    row.sealed_number = row.number_digest = row.number_digest_odd = row.recovery_hash = None
    row.phone_codes = False
    tx.add(row)
    forget_activity(tx, row.account_id)


def forget_activity(tx: Tx, account_id: str) -> None:
    """Remove what an account's devices are shown."""
    own = col(ActivityRow.account_id) == account_id
    tx.connection().execute(delete(ActivityRow).where(own))


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
