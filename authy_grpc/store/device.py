"""Owns how devices are kept, and what their account sees of them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from authy_grpc.domain.device import LIMITED, LISTED, Device, DevicePlatform, DeviceState, state_at
from authy_grpc.domain.errors import BadCredential, NotFound
from authy_grpc.domain.keys import device_check
from authy_grpc.store.bulk import table
from authy_grpc.store.link import DEVICE_SECRET
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import AccountRow, DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_NAME = "device.name"
_STEP = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What a device's inbox is told besides questions: its own state, and its account's revisions."""

    state: DeviceState
    release_time: datetime | None
    sites_revision: int
    devices_revision: int
    activity_revision: int


_ACCOUNT, _DEVICE = table(AccountRow), table(DeviceRow)
_SEEN = Statement(
    lambda state, *rest: Seen(DeviceState(state), *rest),
    select_columns(
        _DEVICE.c.state,
        _DEVICE.c.release_time,
        _ACCOUNT.c.sites_revision,
        _ACCOUNT.c.devices_revision,
        _ACCOUNT.c.activity_revision,
    )
    .join(_ACCOUNT, _ACCOUNT.c.account_id == _DEVICE.c.account_id)
    .where(
        _DEVICE.c.device_id == bindparam("device_id"),
        _DEVICE.c.state != DeviceState.REVOKED.value,
        _ACCOUNT.c.account_id == bindparam("account_id"),
        _ACCOUNT.c.sealed_number.is_not(None),
    ),
)


def seen(tx: Tx, account_id: str, device_id: str) -> Seen:
    """What the device that calls is told of itself and its account, besides questions.

    Raises:
        BadCredential: it was put out, or its account erased, since its token was looked at.
    """
    found = _SEEN.first(tx, account_id=account_id, device_id=device_id)
    if found is None:
        raise BadCredential
    return found


def lock(tx: Tx, device_id: str) -> DeviceRow | None:
    """A device as it is now, locked; None where there is none."""
    return tx.get(DeviceRow, device_id, with_for_update=True, populate_existing=True)


def acting(tx: Tx, device_id: str) -> DeviceRow:
    """The device that calls.

    Raises:
        BadCredential: it was put out since its token was looked at.
    """
    row = tx.get(DeviceRow, device_id)
    if row is None or row.state == DeviceState.REVOKED:
        raise BadCredential
    return row


def find(tx: Tx, account_id: str, device_id: str) -> DeviceRow:
    """A device of an account, locked.

    Raises:
        NotFound: there is none, or it is another account's.
    """
    row = lock(tx, device_id)
    if row is None or row.account_id != account_id:
        raise NotFound
    return row


def of_account(tx: Tx, account_id: str) -> list[DeviceRow]:
    """The devices of an account that are not revoked, oldest first."""
    statement = select(DeviceRow).where(DeviceRow.account_id == account_id, DeviceRow.state != "REVOKED")
    return list(tx.exec(statement.order_by(col(DeviceRow.create_time), col(DeviceRow.device_id))))


def all_of(tx: Tx, account_id: str) -> list[DeviceRow]:
    """All devices of an account that are kept."""
    return list(tx.exec(select(DeviceRow).where(DeviceRow.account_id == account_id)))


def listed(tx: Tx, account_id: str) -> list[DeviceRow]:
    """The devices of an account, oldest first, with those revoked not long ago."""
    not_long_ago = col(DeviceRow.revoke_time) > tx.now() - LISTED
    statement = select(DeviceRow).where(
        DeviceRow.account_id == account_id, (col(DeviceRow.state) != "REVOKED") | not_long_ago
    )
    return list(tx.exec(statement.order_by(col(DeviceRow.create_time), col(DeviceRow.device_id))))


def due(tx: Tx) -> list[str]:
    """The accounts of devices that have waited long enough, some of them."""
    statement = (
        select(DeviceRow.account_id)
        .where(DeviceRow.state == "HELD", col(DeviceRow.release_time) <= tx.now())
        .distinct()
        .limit(_STEP)
    )
    return list(tx.exec(statement))


def told_keys(tx: Tx, device_id: str) -> list[SiteKeyRow]:
    """The keys of a device that sites know and take for good."""
    statement = (
        select(SiteKeyRow)
        .join(LinkRow, col(LinkRow.site_id) == col(SiteKeyRow.site_id))
        .where(SiteKeyRow.device_id == device_id, SiteKeyRow.state == "ACTIVE", LinkRow.state == "ACTIVE")
        .order_by(col(SiteKeyRow.kid))
    )
    return list(tx.exec(statement))


def state(row: DeviceRow, now: datetime) -> DeviceState:
    """The state of a device: one that has waited long enough is let in, whether or not that is written."""
    return state_at(DeviceState(row.state), row.release_time, now)


def limited_until(row: DeviceRow, now: datetime) -> datetime | None:
    """Until when a device that was let in by time may not do all; None for one that was not."""
    by_time = row.state == DeviceState.HELD and state(row, now) is DeviceState.ACTIVE
    return (row.release_time or now) + LIMITED if by_time else row.limited_until


def is_limited(row: DeviceRow, now: datetime) -> bool:
    """Whether a device may not yet act against others of its account, nor change or erase it."""
    until = limited_until(row, now)
    return until is not None and now < until


def set_name(row: DeviceRow, vault: Vault, name: str) -> None:
    """Give a device a name."""
    row.sealed_name = vault.seal(_NAME, row.device_id, name.encode())


def name(vault: Vault, row: DeviceRow) -> str:
    """The name of a device."""
    return open_name(vault, row.device_id, row.sealed_name)


def open_name(vault: Vault, device_id: str, sealed_name: bytes) -> str:
    """The name of a device, of which no more was read."""
    return vault.open(_NAME, device_id, sealed_name).decode()


def set_secret(row: DeviceRow, vault: Vault, secret: bytes) -> None:
    """Give a device what its codes are made from, 32 bytes."""
    row.sealed_secret = vault.seal(DEVICE_SECRET, row.device_id, secret)


def check(row: DeviceRow) -> str:
    """The digits by which an owner recognises a device that waits."""
    return device_check(row.device_id, row.signing_key, row.agreement_key, row.server_agreement_key)


def to_device(vault: Vault, row: DeviceRow, now: datetime, *, current: bool = False) -> Device:
    """A device, from its row.

    Args:
        vault: opens its name.
        row: the device.
        now: the time.
        current: whether it is the one that asks.
    """
    present = state(row, now)
    held = present is DeviceState.HELD
    return Device(
        device_id=row.device_id,
        name=name(vault, row),
        platform=DevicePlatform(row.platform),
        state=present,
        create_time=row.create_time,
        last_seen_time=row.last_seen_time,
        release_time=row.release_time if held else None,
        current=current,
        check=check(row) if held and current else "",
        limited_until=limited_until(row, now),
    )
