"""Owns how a device is let in and put out, whoever asked for it, and who learns of it."""

from functools import partial

from authy_grpc.domain.device import BLOCKED, LIMITED, DeviceState, release_time
from authy_grpc.domain.errors import BadCredential
from authy_grpc.service.telling import Telling, TellingKind
from authy_grpc.store import account as accounts
from authy_grpc.store import account as store
from authy_grpc.store import credential
from authy_grpc.store import device as devices
from authy_grpc.store import session as sessions
from authy_grpc.store.database import Database
from authy_grpc.store.tables import AccountRow, DeviceRow
from authy_grpc.store.tx import Tx

_SECRET_BYTES = 32


class Admission:
    """Lets devices in and puts them out.

    Args:
        database: keeps them.
        telling: tells sites of devices that are gone.
    """

    def __init__(self, *, database: Database, telling: Telling) -> None:
        self._database = database
        self._telling = telling

    async def release_due(self) -> int:
        """Let in the devices that have waited long enough; answers how many."""
        account_ids = await self._database.read(lambda tx: devices.due(tx))
        released = 0
        for account_id in account_ids:
            released += await self._database.write(
                partial(self._release, account_id=account_id), accounts=True
            )
        return released

    def let_in(self, tx: Tx, row: DeviceRow, activity: str) -> None:
        """Let in a device that waits.

        Args:
            tx: of the change, in which the account is locked.
            row: the device.
            activity: how it came to that, such as `device.approved`.
        """
        row.state, row.release_time = DeviceState.ACTIVE.value, None
        tx.add(row)
        tx.record(credential.changed(row.device_id))
        self.tell(tx, row, activity)

    def put_out(self, tx: Tx, row: DeviceRow) -> None:
        """End a device at once, with its sessions and streams; sites are told later.

        Args:
            tx: of the change, in which the account is locked.
            row: the device.
        """
        now = tx.now()
        row.state, row.revoke_time, row.release_time = DeviceState.REVOKED.value, now, None
        # Not even by a fault elsewhere is one of its codes right again.
        devices.set_secret(row, tx.vault, tx.random(_SECRET_BYTES))
        tx.add(row)
        tx.flush()
        sessions.end_all(tx, row.device_id)
        tx.record(credential.ended(row.device_id))
        for key in devices.told_keys(tx, row.device_id):
            self._telling.plan(tx, key.site_id, TellingKind.DEVICE_REMOVED, key.kid)

    def block_release(self, tx: Tx, account: AccountRow) -> None:
        """After a device was refused: for 30 days none of the account is let in by time."""
        now = tx.now()
        account.release_blocked_until = now + BLOCKED
        tx.add(account)
        for row in devices.of_account(tx, account.account_id):
            if devices.state(row, now) is DeviceState.HELD:
                row.release_time = release_time(
                    row.create_time, row.shown_time, account.release_blocked_until
                )
                tx.add(row)

    def tell(self, tx: Tx, row: DeviceRow, activity: str) -> None:
        """Tell the account's devices what happened to one."""
        name = devices.name(tx.vault, row)
        accounts.changed(tx, row.account_id, devices=True, activity=activity, device_name=name)

    def _release(self, tx: Tx, *, account_id: str) -> int:
        try:
            store.find(tx, account_id, lock=True)
        except BadCredential:
            return 0
        now = tx.now()
        due = [
            row
            for row in devices.of_account(tx, account_id)
            if row.state == DeviceState.HELD and devices.state(row, now) is DeviceState.ACTIVE
        ]
        for row in due:
            row.limited_until = (row.release_time or now) + LIMITED
            self.let_in(tx, row, "device.released")
        return len(due)
