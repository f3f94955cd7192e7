"""Use cases of an account's devices: list, rename, acknowledge, approve and revoke them."""

import hmac

from authy_grpc.domain.device import (
    BLOCKED,
    CHECK_DIGITS,
    CHECK_GUESSES,
    UNSEEN_WAIT,
    Device,
    DeviceState,
    Proof,
    check_active,
    move,
    release_time,
)
from authy_grpc.domain.errors import CodeRejected, DeviceHeld, NotFound, Quota, Refusal
from authy_grpc.domain.limits import DEVICE_NO_CODE, Rule
from authy_grpc.domain.rate import Rate
from authy_grpc.domain.typed import is_code, normalize
from authy_grpc.service import proofs
from authy_grpc.service.admission import Admission
from authy_grpc.service.caller import Device as Caller
from authy_grpc.store import account as store
from authy_grpc.store import budget
from authy_grpc.store import device as devices
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx

_RENAME = "authy_grpc.v1.AccountService/UpdateDevice"
_ACKNOWLEDGE = "authy_grpc.v1.AccountService/AcknowledgeDevice"
_APPROVE = "authy_grpc.v1.AccountService/ApproveDevice"
_REVOKE = "authy_grpc.v1.AccountService/RevokeDevice"
# For as long as a device may wait.
_CHECKS = (Rule(CHECK_GUESSES, BLOCKED + UNSEEN_WAIT),)


class Devices:
    """What an account's devices do with each other.

    Args:
        database: keeps them.
        admission: lets devices in and puts them out.
        rate: counts what is no check.
    """

    def __init__(self, *, database: Database, admission: Admission, rate: Rate | None = None) -> None:
        self._rate = rate or Rate()
        self._database = database
        self._admission = admission

    async def list_all(self, caller: Caller) -> list[Device]:
        """The account's devices, oldest first; one that waits sees itself alone."""
        return await self._database.read(
            lambda tx: self._listed(tx, caller), by=caller.account_id, pages=True
        )

    async def rename(self, caller: Caller, device_id: str, name: str, proof: Proof) -> Device:
        """Rename a device of the account.

        Args:
            caller: a device of the account; of one that was let in by time not long ago, itself alone.
            device_id: of the device.
            name: its new one.
            proof: names device_id and name. Not looked at where the caller names itself.

        Raises:
            BadCredential, ClockSkew: as `Proofs.use`.
            DeviceHeld: the caller may name itself alone, and named another.
            NotFound: the account has no such device.
            RateLimited: the account's devices change too much.
        """

        def work(tx: Tx) -> Device | Refusal:
            store.find(tx, caller.account_id, lock=True)
            now = tx.now()
            own = device_id == caller.device_id
            if own:
                devices.acting(tx, caller.device_id)
            elif held := proofs.act(tx, caller.device_id, _RENAME, proof, device_id, name):
                return held
            try:
                row = devices.find(tx, caller.account_id, device_id)
            except NotFound as refusal:
                return refusal
            if devices.name(tx.vault, row) != name:
                # What a stolen token alone may spend keeps nobody from what takes a proof.
                kind = "own_names" if own else "names"
                if refused := budget.change(tx, kind, caller.account_id):
                    return refused
                sealed = devices.seal_name(tx.vault, row.device_id, name)
                devices.ROWS.change(tx, row, sealed_name=sealed)
                self._admission.tell(tx, row, "device.renamed")
            return devices.to_device(tx.vault, row, now, current=own)

        return await self._database.write(work, accounts=True, by=caller.account_id)

    async def acknowledge(self, caller: Caller, device_id: str, proof: Proof) -> Device:
        """Note that the owner was shown a device that waits: the first time shortens its wait.

        Args:
            caller: another device of the account.
            device_id: of the one that waits.
            proof: names device_id.

        Raises:
            BadCredential, ClockSkew: as `Proofs.use`.
            DeviceHeld: the caller was let in by time, not long ago.
            NotFound: the account has no such device.
            WrongState: it does not wait.
        """

        def work(tx: Tx) -> Device | Refusal:
            account = store.find(tx, caller.account_id, lock=True)
            now = tx.now()
            held = proofs.act(tx, caller.device_id, _ACKNOWLEDGE, proof, device_id)
            if held is not None:
                return held
            try:
                row = devices.find(tx, caller.account_id, device_id)
                move(devices.state(row, now), DeviceState.ACTIVE)
            except Refusal as refusal:
                return refusal
            if row.shown_time is None:
                sooner = release_time(row.create_time, now, account.release_blocked_until)
                devices.ROWS.change(tx, row, shown_time=now, release_time=sooner)
                self._admission.tell(tx, row, "device.acknowledged")
            return devices.to_device(tx.vault, row, now)

        return await self._database.write(work, accounts=True, by=caller.account_id)

    async def approve(self, caller: Caller, device_id: str, check: str, proof: Proof) -> Device:
        """Let in a device that waits. Wrong checks are counted: of one device five are looked at.

        Args:
            caller: another device of the account.
            device_id: of the one that waits.
            check: the digits that it shows, as typed. What cannot be them is no guess.
            proof: names device_id and check.

        Raises:
            NotFound: the account has no such device.
            WrongState: it does not wait.
            CodeRejected: the check is wrong, or there were too many.
            DeviceHeld: the caller was let in by time, not long ago.
            Quota: the account has as many ACTIVE devices as it may.
            RateLimited: the caller sent too much that can be no check.
        """

        def work(tx: Tx) -> Device | Refusal:
            store.find(tx, caller.account_id, lock=True)
            now = tx.now()
            held = proofs.act(tx, caller.device_id, _APPROVE, proof, device_id, check)
            if held is not None:
                return held
            try:
                row = devices.find(tx, caller.account_id, device_id)
                move(devices.state(row, now), DeviceState.ACTIVE)
                if not is_code(check, CHECK_DIGITS):
                    self._rate.spend(caller.device_id, now, DEVICE_NO_CODE)
                    return CodeRejected()
            except Refusal as refusal:
                return refusal
            if not self._checked(tx, row, check):
                return CodeRejected()
            states = [devices.state(each, now) for each in devices.of_account(tx, caller.account_id)]
            try:
                check_active(states.count(DeviceState.ACTIVE))
            except Quota as refusal:
                return refusal
            self._admission.let_in(tx, row, "device.approved")
            return devices.to_device(tx.vault, row, now)

        return await self._database.write(work, accounts=True, by=caller.account_id)

    async def revoke(self, caller: Caller, device_id: str, proof: Proof) -> None:
        """Put a device out. Of one that waits, by another: no device is let in by time for 30 days.

        Args:
            caller: a device of the account; one that waits, or was let in by time not long ago, may name
                itself alone.
            device_id: of the device.
            proof: names device_id.

        Raises:
            NotFound: the account has no such device.
            DeviceHeld: the caller may name itself alone, and named another.
        """

        def work(tx: Tx) -> Refusal | None:
            account = store.find(tx, caller.account_id, lock=True)
            now = tx.now()
            own = proofs.use(tx, caller.device_id, _REVOKE, proof, device_id)
            bound = devices.state(own, now) is DeviceState.HELD or devices.is_limited(own, now)
            if bound and device_id != caller.device_id:
                return DeviceHeld()
            try:
                row = devices.find(tx, caller.account_id, device_id)
            except Refusal as refusal:
                return refusal
            before = devices.state(row, now)
            if before is DeviceState.REVOKED:
                return None
            self._admission.put_out(tx, row)
            if before is DeviceState.HELD and device_id != caller.device_id:
                self._admission.block_release(tx, account)
                self._admission.tell(tx, row, "device.refused")
            else:
                self._admission.tell(tx, row, "device.removed")
            return None

        await self._database.write(work, accounts=True, by=caller.account_id)

    def _listed(self, tx: Tx, caller: Caller) -> list[Device]:
        now = tx.now()
        own = devices.acting(tx, caller.device_id)
        waits = devices.state(own, now) is DeviceState.HELD
        rows = [own] if waits else devices.listed(tx, caller.account_id)
        return [
            devices.to_device(tx.vault, row, now, current=row.device_id == caller.device_id) for row in rows
        ]

    def _checked(self, tx: Tx, row: devices.Kept, check: str) -> bool:
        """Whether a check is a waiting device's; a wrong one is counted."""
        name = f"check:{row.device_id}"
        wrong = budget.spent(tx, name)
        if len(wrong) >= CHECK_GUESSES:
            return False
        if hmac.compare_digest(devices.check(row).encode(), normalize(check).encode()):
            return True
        budget.keep(tx, name, (*wrong, tx.now()), _CHECKS)
        return False
