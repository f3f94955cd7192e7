"""What an authenticator does with the links of its account."""

from authy_grpc.domain.device import Proof
from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.errors import BadSignature, NotFound, Refusal, WrongState
from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.site import NewKey, Site
from authy_grpc.service import proofs, unlink
from authy_grpc.service.caller import Device
from authy_grpc.store import account as accounts
from authy_grpc.store import application as applications
from authy_grpc.store import budget, spent_key
from authy_grpc.store import device as devices
from authy_grpc.store import link as links
from authy_grpc.store import site as store
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx

_UPDATE = "authy_grpc.v1.AuthenticatorService/UpdateSite"
_REMOVE = "authy_grpc.v1.AuthenticatorService/RemoveSite"


class Sites:
    """What a device does with links.

    Args:
        database: keeps the links.
    """

    def __init__(
        self,
        *,
        database: Database,
    ) -> None:
        self._database = database

    async def list_sites(self, caller: Device) -> list[Site]:
        """The links of the caller's account, oldest first."""
        return await self._database.read(
            lambda tx: store.listed(tx, caller.account_id, caller.device_id),
            by=caller.account_id,
            pages=True,
        )

    async def get_logo(self, caller: Device, logo_id: str) -> bytes:
        """A site's logo, PNG.

        Raises:
            NotFound: there is none.
        """
        return await self._database.read(lambda tx: store.logo(tx, logo_id), by=caller.account_id)

    async def add_key(self, caller: Device, site_id: str, key: NewKey) -> Site:
        """Give a link a key of this device too.

        Raises:
            NotFound: the account has no such link.
            WrongState: the device has another key there, or the link waits for its first code.
            BadSignature: the key is not proven, or was seen before.
        """

        def work(tx: Tx) -> Site:
            accounts.lock(tx, caller.account_id)
            tx.now()
            device = devices.acting(tx, caller.device_id)
            thumbprint = key.check(device.device_id, device.signing_key, site_id)
            link = store.find(tx, caller.account_id, site_id, lock=True)
            if link.state == "AWAITING":
                raise WrongState(EnrollmentState.AWAITING_CODE.value)
            present = links.active_key(tx, site_id, caller.device_id)
            if present is None:
                if spent_key.seen(tx, thumbprint):
                    raise BadSignature
                self._add_key(tx, link, device, key, thumbprint)
            elif present.point != key.point:
                raise WrongState(present.state)
            application = applications.profile(tx, link.application_id)
            return store.site(tx.vault, link, application, has_key=True)

        return await self._database.write(work, accounts=True, by=caller.account_id)

    async def update(self, caller: Device, site_id: str, label: str, proof: Proof) -> Site:
        """Give a link a name of its owner's own; an empty one for none.

        Raises:
            BadCredential, ClockSkew: as `Proofs.use`.
            DeviceHeld: the caller was let in by time, not long ago.
            NotFound: the account has no such link.
            RateLimited: the account's devices change too much.
        """

        def work(tx: Tx) -> Site | Refusal:
            accounts.lock(tx, caller.account_id)
            tx.now()
            link = self._proved(tx, caller, _UPDATE, proof, site_id, label)
            if isinstance(link, Refusal):
                return link
            if store.label(tx.vault, link) != label:
                if refused := budget.change(tx, "labels", caller.account_id):
                    return refused
                store.set_label(tx, link, label)
                accounts.changed(tx, caller.account_id, sites=True)
            return store.one(tx, link, caller.device_id)

        return await self._database.write(work, accounts=True, by=caller.account_id)

    async def remove(self, caller: Device, site_id: str, proof: Proof) -> None:
        """End a link; one that waits for its first code is rejected.

        Raises:
            BadCredential, ClockSkew: as `Proofs.use`.
            DeviceHeld: the caller was let in by time, not long ago.
            NotFound: the account has no such link.
        """

        def work(tx: Tx) -> Refusal | None:
            accounts.lock(tx, caller.account_id)
            tx.now()
            link = self._proved(tx, caller, _REMOVE, proof, site_id)
            if isinstance(link, Refusal):
                return link
            unlink.end(tx, link)
            return None

        await self._database.write(work, accounts=True, by=caller.account_id)

    def _proved(
        self,
        tx: Tx,
        caller: Device,
        act: str,
        proof: Proof,
        site_id: str,
        *more: str,
    ) -> links.Kept | Refusal:
        """The link that a device's proof names, locked; or why it may not be acted on."""
        held = proofs.act(tx, caller.device_id, act, proof, site_id, *more)
        if held is not None:
            return held
        try:
            return store.find(tx, caller.account_id, site_id, lock=True)
        except NotFound as refusal:
            return refusal

    def _add_key(
        self,
        tx: Tx,
        link: links.Kept,
        device: devices.Kept,
        key: NewKey,
        thumbprint: str,
    ) -> None:
        spent_key.spend(tx, thumbprint)
        row = links.KeptKey(
            kid=thumbprint,
            site_id=link.site_id,
            device_id=device.device_id,
            point=key.point,
            state="ACTIVE",
            create_time=tx.now(),
        )
        links.KEYS.add(tx, row)
        told = links.event(tx.vault, link, UserEventType.DEVICE_ADDED, key=links.site_key(row))
        tx.record(told)
        accounts.changed(
            tx,
            device.account_id,
            sites=True,
            activity="site.key_added",
            site_name=applications.profile(tx, link.application_id).name,
            device_name=devices.name(tx.vault, device),
        )
