"""What a person's devices do with the account itself."""

from authy_grpc.domain.account import Account
from authy_grpc.domain.device import DeviceState, NewDevicePolicy, Proof
from authy_grpc.domain.errors import Refusal
from authy_grpc.service import proofs
from authy_grpc.service.admission import Admission
from authy_grpc.service.caller import Device
from authy_grpc.service.telling import Telling, TellingKind
from authy_grpc.store import account as accounts
from authy_grpc.store import account as store
from authy_grpc.store import budget
from authy_grpc.store import device as devices
from authy_grpc.store import link as links
from authy_grpc.store import phone_verification as verifications
from authy_grpc.store import text as texts
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx

_UPDATE = "authy_grpc.v1.AccountService/UpdateAccount"
_DELETE = "authy_grpc.v1.AccountService/DeleteAccount"
# As the contract numbers them: a proof names the number.
POLICY_NUMBERS = {NewDevicePolicy.ALLOW: 1, NewDevicePolicy.HOLD: 2, NewDevicePolicy.DENY: 3}


class OwnAccount:
    """Shows, changes and erases the account of the device that asks.

    Args:
        database: keeps it.
        admission: puts devices out.
        telling: tells sites what became of the account.
    """

    def __init__(
        self,
        *,
        database: Database,
        admission: Admission,
        telling: Telling,
    ) -> None:
        self._database = database
        self._admission = admission
        self._telling = telling

    async def get(self, caller: Device) -> Account:
        """The account of the device that asks."""

        def work(tx: Tx) -> Account:
            devices.acting(tx, caller.device_id)
            return store.to_account(tx.vault, store.find(tx, caller.account_id))

        return await self._database.read(work, by=caller.account_id)

    async def update(
        self,
        caller: Device,
        proof: Proof,
        *,
        new_device_policy: NewDevicePolicy | None = None,
        phone_codes: bool | None = None,
    ) -> Account:
        """Change the account.

        Args:
            caller: one of its devices.
            proof: names the policy's number and phone_codes as 0 or 1, "-" for one that is None.
            new_device_policy: None leaves it; DENY refuses the devices that wait.
            phone_codes: None leaves it. Off is at once, sites are told of it later; on is, at each
                site, when that is told.

        Raises:
            BadCredential, ClockSkew: as `Proofs.use`.
            DeviceHeld: the caller was let in by time, not long ago.
        """
        names = (
            str(POLICY_NUMBERS[new_device_policy]) if new_device_policy else "-",
            "-" if phone_codes is None else str(int(phone_codes)),
        )

        def work(tx: Tx) -> Account | Refusal:
            row = store.find(tx, caller.account_id, lock=True)
            tx.now()
            held = proofs.act(tx, caller.device_id, _UPDATE, proof, *names)
            if held is not None:
                return held
            same_policy = new_device_policy in (None, NewDevicePolicy(row.new_device_policy))
            if same_policy and phone_codes in (None, row.phone_codes):
                return store.to_account(tx.vault, row)
            if refused := budget.change(tx, "settings", caller.account_id):
                return refused
            if new_device_policy is not None and not same_policy:
                self._set_policy(tx, row, new_device_policy)
            if phone_codes is not None and phone_codes != row.phone_codes:
                store.ROWS.change(tx, row, phone_codes=phone_codes)
                self._plan(tx, row, TellingKind.FACTORS_CHANGED)
            accounts.changed(tx, row.account_id, activity="account.updated")
            return store.to_account(tx.vault, row)

        return await self._database.write(work, accounts=True, by=caller.account_id)

    async def delete(self, caller: Device, proof: Proof) -> None:
        """Erase the account.

        Args:
            caller: one of its devices.
            proof: names nothing more.

        Raises:
            BadCredential, ClockSkew: as `Proofs.use`.
            DeviceHeld: the caller was let in by time, not long ago.
        """

        def work(tx: Tx) -> Refusal | None:
            row = store.find(tx, caller.account_id, lock=True)
            tx.now()
            held = proofs.act(tx, caller.device_id, _DELETE, proof)
            if held is not None:
                return held
            self.erase(tx, row)
            return None

        await self._database.write(work, accounts=True, by=caller.account_id)
        await self._database.truncate_log()

    def erase(self, tx: Tx, row: store.Kept) -> None:
        """Erase an account: at once for its owner and whoever has its number next, later for its sites.

        A link that waits for its first code goes with its enrollment, whose time runs out: nobody has
        the device that could complete it.

        Args:
            tx: of the change.
            row: the account, locked.
        """
        for link in links.of_account(tx, row.account_id):
            ends = link.state == "ACTIVE"
            links.ROWS.change(tx, link, sealed_label=None, state="ENDED" if ends else link.state)
            if ends:
                self._telling.plan(tx, link.site_id, TellingKind.USER_DELETED)
        own = devices.all_of(tx, row.account_id)
        for device in own:
            if device.state != DeviceState.REVOKED:
                self._admission.put_out(tx, device)
            devices.ROWS.change(tx, device, sealed_name=devices.seal_name(tx.vault, device.device_id, ""))
        number = store.number(tx.vault, row)
        verifications.erase(tx, number, [device.device_id for device in own])
        texts.erase(tx, number)
        store.erase(tx, row)
        self._database.deleted()

    def _set_policy(self, tx: Tx, row: store.Kept, policy: NewDevicePolicy) -> None:
        now = tx.now()
        store.ROWS.change(tx, row, new_device_policy=policy.value)
        if policy is not NewDevicePolicy.DENY:
            return
        waiting = [
            device
            for device in devices.of_account(tx, row.account_id)
            if devices.state(device, now) is DeviceState.HELD
        ]
        if not waiting:
            return
        self._admission.block_release(tx, row)
        for device in waiting:
            self._admission.put_out(tx, device)
            self._admission.tell(tx, device, "device.refused")

    def _plan(self, tx: Tx, row: store.Kept, kind: TellingKind) -> None:
        for link in links.of_account(tx, row.account_id):
            if link.state == "ACTIVE":
                self._telling.plan(tx, link.site_id, kind)
