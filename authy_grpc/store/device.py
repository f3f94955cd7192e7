"""Devices as they are kept, and what their account sees of them."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, or_, select

from authy_grpc.domain.device import LIMITED, LISTED, Device, DevicePlatform, DeviceState, state_at
from authy_grpc.domain.errors import BadCredential, NotFound
from authy_grpc.domain.keys import device_check
from authy_grpc.store.bulk import table
from authy_grpc.store.columns import Moment
from authy_grpc.store.rows import Rows
from authy_grpc.store.statements import Statement
from authy_grpc.store.tables import AccountRow, DeviceRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

DEVICE_SECRET = "device.secret"
_NAME = "device.name"
_STEP = 100


@dataclass(slots=True)
class Kept:
    """A device as it is kept: `DeviceRow`."""

    device_id: str
    account_id: str
    sealed_name: bytes = field(repr=False)
    platform: str
    state: str
    signing_key: bytes
    agreement_key: bytes
    server_agreement_key: bytes
    sealed_secret: bytes = field(repr=False)
    create_time: datetime
    last_proof_millis: int = 0
    last_seen_time: datetime | None = None
    shown_time: datetime | None = None
    release_time: datetime | None = None
    limited_until: datetime | None = None
    revoke_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a device's inbox is told besides questions: its own state, and its account's revisions."""

    state: DeviceState
    release_time: datetime | None
    sites_revision: int
    devices_revision: int
    activity_revision: int


ROWS = Rows(Kept, DeviceRow)
_ACCOUNT, _DEVICE = table(AccountRow), table(DeviceRow)
_OWN = _DEVICE.c.account_id == bindparam("account_id")
_STANDS = _DEVICE.c.state != DeviceState.REVOKED.value
_OLDEST_FIRST = (_DEVICE.c.create_time, _DEVICE.c.device_id)
_OF_ACCOUNT = ROWS.where(_OWN, _STANDS, order=_OLDEST_FIRST)
_ALL_OF = ROWS.where(_OWN)
_LISTED = ROWS.where(
    _OWN, or_(_STANDS, _DEVICE.c.revoke_time > bindparam("since", type_=Moment)), order=_OLDEST_FIRST
)
_DUE = Statement(
    str,
    select(_DEVICE.c.account_id)
    .where(
        _DEVICE.c.state == DeviceState.HELD.value, _DEVICE.c.release_time <= bindparam("now", type_=Moment)
    )
    .distinct()
    .limit(_STEP),
)
_SEEN = Statement(
    lambda state, *rest: Seen(DeviceState(state), *rest),
    select(
        _DEVICE.c.state,
        _DEVICE.c.release_time,
        _ACCOUNT.c.sites_revision,
        _ACCOUNT.c.devices_revision,
        _ACCOUNT.c.activity_revision,
    )
    .join(_ACCOUNT, _ACCOUNT.c.account_id == _DEVICE.c.account_id)
    .where(
        _DEVICE.c.device_id == bindparam("device_id"),
        _STANDS,
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


def lock(tx: Tx, device_id: str) -> Kept | None:
    """A device as it is now, locked; None where there is none."""
    return ROWS.find(tx, device_id, lock=True)


def acting(tx: Tx, device_id: str) -> Kept:
    """The device that calls.

    Raises:
        BadCredential: it was put out since its token was looked at.
    """
    row = ROWS.find(tx, device_id)
    if row is None or row.state == DeviceState.REVOKED:
        raise BadCredential
    return row


def find(tx: Tx, account_id: str, device_id: str) -> Kept:
    """A device of an account, locked.

    Raises:
        NotFound: there is none, or it is another account's.
    """
    row = lock(tx, device_id)
    if row is None or row.account_id != account_id:
        raise NotFound
    return row


def of_account(tx: Tx, account_id: str) -> list[Kept]:
    """The devices of an account that are not revoked, oldest first."""
    return _OF_ACCOUNT.all(tx, account_id=account_id)


def all_of(tx: Tx, account_id: str) -> list[Kept]:
    """All devices of an account that are kept."""
    return _ALL_OF.all(tx, account_id=account_id)


def listed(tx: Tx, account_id: str) -> list[Kept]:
    """The devices of an account, oldest first, with those revoked not long ago."""
    return _LISTED.all(tx, account_id=account_id, since=tx.now() - LISTED)


def due(tx: Tx) -> list[str]:
    """The accounts of devices that have waited long enough, some of them."""
    return _DUE.all(tx, now=tx.now())


def state(row: Kept, now: datetime) -> DeviceState:
    """The state of a device: one that has waited long enough is let in, whether or not that is written."""
    return state_at(DeviceState(row.state), row.release_time, now)


def limited_until(row: Kept, now: datetime) -> datetime | None:
    """Until when a device that was let in by time may not do all; None for one that was not."""
    by_time = row.state == DeviceState.HELD and state(row, now) is DeviceState.ACTIVE
    return (row.release_time or now) + LIMITED if by_time else row.limited_until


def is_limited(row: Kept, now: datetime) -> bool:
    """Whether a device may not yet act against others of its account, nor change or erase it."""
    until = limited_until(row, now)
    return until is not None and now < until


def seal_name(vault: Vault, device_id: str, name: str) -> bytes:
    """The name of a device, as it is kept."""
    return vault.seal(_NAME, device_id, name.encode())


def name(vault: Vault, row: Kept) -> str:
    """The name of a device."""
    return open_name(vault, row.device_id, row.sealed_name)


def open_name(vault: Vault, device_id: str, sealed_name: bytes) -> str:
    """The name of a device, of which no more was read."""
    return vault.open(_NAME, device_id, sealed_name).decode()


def seal_secret(vault: Vault, device_id: str, secret: bytes) -> bytes:
    """What a device's codes are made from, 32 bytes, as it is kept."""
    return vault.seal(DEVICE_SECRET, device_id, secret)


def check(row: Kept) -> str:
    """The digits by which an owner recognises a device that waits."""
    return device_check(row.device_id, row.signing_key, row.agreement_key, row.server_agreement_key)


def to_device(vault: Vault, row: Kept, now: datetime, *, current: bool = False) -> Device:
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
