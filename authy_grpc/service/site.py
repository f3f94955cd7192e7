"""Owns what an authenticator does with the links of its account."""

from collections.abc import Callable
from datetime import datetime

from authy_grpc.domain.device import Proof
from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.errors import BadSignature, NotFound, Refusal, WrongState
from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.site import NewKey, Site
from authy_grpc.service.caller import Device
from authy_grpc.service.link import Links
from authy_grpc.service.proof import Proofs
from authy_grpc.store import account as accounts
from authy_grpc.store import application as applications
from authy_grpc.store import budget, spent_key
from authy_grpc.store import device as devices
from authy_grpc.store import link as links
from authy_grpc.store import site as store
from authy_grpc.store.account import AccountNews
from authy_grpc.store.columns import whole_millis
from authy_grpc.store.database import Database
from authy_grpc.store.events import Events
from authy_grpc.store.tables import DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_UPDATE = "authy_grpc.v1.AuthenticatorService/UpdateSite"
_REMOVE = "authy_grpc.v1.AuthenticatorService/RemoveSite"


class Sites:
    """What a device does with links.

    Args:
        database: keeps the links.
        vault: seals labels.
        events: where a site learns of keys.
        accounts: tells the account's devices.
        links: ends links.
        proofs: checks what is signed.
        clock: the time.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        events: Events,
        accounts: AccountNews,
        links: Links,
        proofs: Proofs,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._vault = vault
        self._events = events
        self._accounts = accounts
        self._links = links
        self._proofs = proofs
        self._clock = clock

    async def list_sites(self, caller: Device) -> list[Site]:
        """The links of the caller's account, oldest first."""
        return await self._database.read(
            lambda tx: store.listed(tx, self._vault, caller.account_id, caller.device_id, self._clock()),
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
            accounts.find(tx, caller.account_id, lock=True)
            now = whole_millis(self._clock())
            device = devices.acting(tx, caller.device_id)
            thumbprint = key.check(device.device_id, device.signing_key, site_id)
            link = store.find(tx, caller.account_id, site_id, now, lock=True)
            if link.state == "AWAITING":
                raise WrongState(EnrollmentState.AWAITING_CODE.value)
            present = store.active_key(tx, site_id, caller.device_id)
            if present is None:
                if spent_key.seen(tx, thumbprint):
                    raise BadSignature
                self._add_key(tx, now, link, device, key, thumbprint)
            elif present.point != key.point:
                raise WrongState(present.state)
            application = applications.find(tx, link.application_id)
            return store.site(self._vault, link, application, has_key=True)

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
            accounts.find(tx, caller.account_id, lock=True)
            now = whole_millis(self._clock())
            link = self._proved(tx, now, caller, _UPDATE, proof, site_id, label)
            if isinstance(link, Refusal):
                return link
            if store.label(self._vault, link) != label:
                if refused := budget.change(tx, "labels", caller.account_id, now):
                    return refused
                store.set_label(self._vault, link, label)
                tx.add(link)
                self._accounts.changed(tx, now, caller.account_id, sites=True)
            return store.one(tx, self._vault, link, caller.device_id, now)

        return await self._database.write(work, accounts=True, by=caller.account_id)

    async def remove(self, caller: Device, site_id: str, proof: Proof) -> None:
        """End a link; one that waits for its first code is rejected.

        Raises:
            BadCredential, ClockSkew: as `Proofs.use`.
            DeviceHeld: the caller was let in by time, not long ago.
            NotFound: the account has no such link.
        """

        def work(tx: Tx) -> Refusal | None:
            accounts.find(tx, caller.account_id, lock=True)
            now = whole_millis(self._clock())
            link = self._proved(tx, now, caller, _REMOVE, proof, site_id)
            if isinstance(link, Refusal):
                return link
            self._links.end(tx, now, link)
            return None

        await self._database.write(work, accounts=True, by=caller.account_id)

    def _proved(
        self,
        tx: Tx,
        now: datetime,
        caller: Device,
        act: str,
        proof: Proof,
        site_id: str,
        *more: str,
    ) -> LinkRow | Refusal:
        """The link that a device's proof names, locked; or why it may not be acted on."""
        held = self._proofs.act(tx, caller.device_id, act, proof, site_id, *more, now=now)
        if held is not None:
            return held
        try:
            return store.find(tx, caller.account_id, site_id, now, lock=True)
        except NotFound as refusal:
            return refusal

    def _add_key(
        self,
        tx: Tx,
        now: datetime,
        link: LinkRow,
        device: DeviceRow,
        key: NewKey,
        thumbprint: str,
    ) -> None:
        spent_key.spend(tx, thumbprint)
        row = SiteKeyRow(
            kid=thumbprint,
            site_id=link.site_id,
            device_id=device.device_id,
            point=key.point,
            state="ACTIVE",
            create_time=now,
        )
        tx.add(row)
        told = links.event(self._vault, link, UserEventType.DEVICE_ADDED, key=links.site_key(row))
        self._events.record(tx, now, told)
        self._accounts.changed(
            tx,
            now,
            device.account_id,
            sites=True,
            activity="site.key_added",
            site_name=applications.find(tx, link.application_id).name,
            device_name=devices.name(self._vault, device),
        )
