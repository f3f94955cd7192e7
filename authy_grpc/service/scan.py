"""Owns the use cases of scanning: reading a QR code's token, linking an account by it, and refusing."""

from collections.abc import Callable
from datetime import datetime

from authy_grpc.domain.enrollment import Enrollment, EnrollmentState
from authy_grpc.domain.errors import BadSignature, NotFound, Refusal, WrongState
from authy_grpc.domain.qr_text import read_token
from authy_grpc.domain.site import NewKey, Offer, Site
from authy_grpc.service.caller import Device
from authy_grpc.service.completion import Completion
from authy_grpc.store import account as accounts
from authy_grpc.store import application as applications
from authy_grpc.store import device as devices
from authy_grpc.store import enrollment as enrollments
from authy_grpc.store import site as sites
from authy_grpc.store import spent_key
from authy_grpc.store.account import AccountNews
from authy_grpc.store.columns import whole_millis
from authy_grpc.store.database import Database
from authy_grpc.store.enrollment import EnrollmentChanges
from authy_grpc.store.tables import EnrollmentRow, LinkRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_S = EnrollmentState


class Scans:
    """What a device does with a scanned QR code.

    Args:
        database: keeps the enrollments.
        vault: opens labels.
        accounts: tells the account's devices.
        changes: moves enrollments.
        completion: makes links of them.
        public_url: the origin of QR links, without a slash at its end.
        clock: the time.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        accounts: AccountNews,
        changes: EnrollmentChanges,
        completion: Completion,
        public_url: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._vault = vault
        self._accounts = accounts
        self._changes = changes
        self._completion = completion
        self._public_url = public_url
        self._clock = clock

    async def open(self, caller: Device, scanned: str) -> Offer:
        """Read a scanned token; from then on it is kept for the caller's account.

        Args:
            caller: the device.
            scanned: the token, or all that was scanned.

        Raises:
            BadField: it is not of this service.
            NotFound: it is unknown, used or over, or kept for another account.
        """
        token = read_token(self._public_url, scanned)

        def work(tx: Tx) -> Offer:
            devices.acting(tx, caller.device_id)
            row = enrollments.find_by_token(tx, token)
            now = whole_millis(self._clock())
            present = self._scannable(row, caller, now)
            application = applications.find(tx, row.application_id)
            if present.state is _S.PENDING:
                row.account_id = caller.account_id
                self._changes.move(tx, now, row, _S.SCANNED)
            return Offer(
                site_name=application.name,
                logo_id=application.logo_id,
                origin=application.origin,
                create_time=row.create_time,
                expire_time=row.expire_time,
                requires_code=row.require_code,
            )

        return await self._database.write(work, by=caller.account_id)

    async def accept(self, caller: Device, scanned: str, key: NewKey) -> Site:
        """Link the caller's account to the site.

        Args:
            caller: the device.
            scanned: the token, or all that was scanned.
            key: of this device, for this link alone.

        Raises:
            BadField, NotFound: as `open`.
            BadSignature: the key is not proven, or was seen before.
        """
        token = read_token(self._public_url, scanned)

        def work(tx: Tx) -> Site | Refusal:
            accounts.find(tx, caller.account_id, lock=True)
            device = devices.acting(tx, caller.device_id)
            thumbprint = key.check(device.device_id, device.signing_key, token)
            row = enrollments.find_by_token(tx, token)
            now = whole_millis(self._clock())
            if self._accepted(row, caller, key, now):
                link = sites.find(tx, caller.account_id, row.site_id or "", now)
                return sites.one(tx, self._vault, link, caller.device_id, now)
            present = self._scannable(row, caller, now)
            if spent_key.seen(tx, thumbprint):
                raise BadSignature
            user = self._completion.user_of(tx, now, row)
            if user is not None and not row.replace_existing:
                self._changes.move(tx, now, row, _S.CANCELED)
                return NotFound()
            spent_key.spend(tx, thumbprint)
            row.account_id, row.device_id, row.point = caller.account_id, caller.device_id, key.point
            if present.state is _S.PENDING:
                self._changes.move(tx, now, row, _S.SCANNED)
            link = self._link(tx, now, row, user)
            application = applications.find(tx, row.application_id)
            return sites.site(self._vault, link, application, has_key=True)

        return await self._database.write(work, accounts=True, by=caller.account_id)

    async def reject(self, caller: Device, scanned: str) -> None:
        """Refuse an enrollment, before it is accepted or while its site awaits the first code.

        Args:
            caller: the device.
            scanned: the token, or all that was scanned.

        Raises:
            BadField, NotFound: as `open`.
            WrongState: this account has completed it.
        """
        token = read_token(self._public_url, scanned)

        def work(tx: Tx) -> None:
            accounts.find(tx, caller.account_id, lock=True)
            devices.acting(tx, caller.device_id)
            row = enrollments.find_by_token(tx, token)
            now = whole_millis(self._clock())
            present = self._changes.present(row, now)
            mine = row.account_id == caller.account_id
            if mine and present.state is _S.COMPLETED:
                raise WrongState(present.state.value)
            if mine and present.state is _S.REJECTED:
                return
            if not (mine and present.state is _S.AWAITING_CODE):
                self._scannable(row, caller, now)
            row.account_id = caller.account_id
            scan = [_S.SCANNED] if present.state is _S.PENDING else []
            self._changes.move(tx, now, row, *scan, _S.REJECTED)
            site_name = applications.find(tx, row.application_id).name
            self._accounts.changed(tx, now, caller.account_id, activity="site.refused", site_name=site_name)

        await self._database.write(work, accounts=True, by=caller.account_id)

    def _scannable(self, row: EnrollmentRow, caller: Device, now: datetime) -> Enrollment:
        """An enrollment that this account may open or accept."""
        present = self._changes.present(row, now)
        mine = present.state is _S.SCANNED and row.account_id == caller.account_id
        if present.state is not _S.PENDING and not mine:
            raise NotFound
        return present

    def _accepted(self, row: EnrollmentRow, caller: Device, key: NewKey, now: datetime) -> bool:
        """Whether this very call was made before."""
        same = (row.account_id, row.device_id, row.point) == (caller.account_id, caller.device_id, key.point)
        return same and self._changes.present(row, now).state in (_S.AWAITING_CODE, _S.COMPLETED)

    def _link(self, tx: Tx, now: datetime, row: EnrollmentRow, user: LinkRow | None) -> LinkRow:
        """The link of an enrollment that was accepted: complete, or waiting for its first code."""
        link = self._completion.link_for(tx, now, row, user)
        if row.require_code:
            self._changes.move(tx, now, row, _S.AWAITING_CODE)
            self._accounts.changed(tx, now, row.account_id or "", sites=True)
        else:
            self._completion.complete(tx, now, row, link, user)
        return link
