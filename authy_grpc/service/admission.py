"""Lets devices in and puts them out, whoever asked for it, and tells who has to learn of it."""

from functools import partial

from authy_grpc.domain.device import BLOCKED, LIMITED, DeviceState, release_time
from authy_grpc.domain.errors import BadCredential
from authy_grpc.service.telling import Telling, TellingKind
from authy_grpc.store import account as accounts
from authy_grpc.store import account as store
from authy_grpc.store import credential
from authy_grpc.store import device as devices
from authy_grpc.store import link as links
from authy_grpc.store import session as sessions
from authy_grpc.store.database import Database
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

    def let_in(self, tx: Tx, row: devices.Kept, activity: str) -> None:
        """Let in a device that waits.

        Args:
            tx: of the change, in which the account is locked.
            row: the device.
            activity: how it came to that, such as `device.approved`.
        """
        devices.ROWS.change(tx, row, state=DeviceState.ACTIVE.value, release_time=None)
        tx.record(credential.changed(row.device_id))
        self.tell(tx, row, activity)

    def put_out(self, tx: Tx, row: devices.Kept) -> None:
        """End a device at once, with its sessions and streams; sites are told later.

        Args:
            tx: of the change, in which the account is locked.
            row: the device.
        """
        # Not even by a fault elsewhere is one of its codes right again.
        secret = devices.seal_secret(tx.vault, row.device_id, tx.random(_SECRET_BYTES))
        devices.ROWS.change(
            tx,
            row,
            state=DeviceState.REVOKED.value,
            revoke_time=tx.now(),
            release_time=None,
            sealed_secret=secret,
        )
        sessions.end_all(tx, row.device_id)
        tx.record(credential.ended(row.device_id))
        for key in links.keys_of_device(tx, row.device_id):
            self._telling.plan(tx, key.site_id, TellingKind.DEVICE_REMOVED, key.kid)

    def block_release(self, tx: Tx, account: store.Kept) -> None:
        """After a device was refused: for 30 days none of the account is let in by time."""
        now = tx.now()
        until = now + BLOCKED
        store.ROWS.change(tx, account, release_blocked_until=until)
        for row in devices.of_account(tx, account.account_id):
            if devices.state(row, now) is DeviceState.HELD:
                later = release_time(row.create_time, row.shown_time, until)
                devices.ROWS.change(tx, row, release_time=later)

    def tell(self, tx: Tx, row: devices.Kept, activity: str) -> None:
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
            devices.ROWS.change(tx, row, limited_until=(row.release_time or now) + LIMITED)
            self.let_in(tx, row, "device.released")
        return len(due)
