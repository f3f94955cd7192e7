"""What an authenticator does with a QR code: read its token, link its account by it, refuse."""

from authy_grpc.domain.enrollment import Enrollment, EnrollmentState
from authy_grpc.domain.errors import BadSignature, NotFound, Refusal, WrongState
from authy_grpc.domain.qr_text import read_token
from authy_grpc.domain.site import NewKey, Offer, Site
from authy_grpc.service import completion
from authy_grpc.service.caller import Device
from authy_grpc.store import account as accounts
from authy_grpc.store import application as applications
from authy_grpc.store import device as devices
from authy_grpc.store import enrollment as enrollments
from authy_grpc.store import link as links
from authy_grpc.store import site as sites
from authy_grpc.store import spent_key
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx

_S = EnrollmentState


class Scans:
    """What a device does with a scanned QR code.

    Args:
        database: keeps the enrollments.
        public_url: the origin of QR links, without a slash at its end.
    """

    def __init__(
        self,
        *,
        database: Database,
        public_url: str,
    ) -> None:
        self._database = database
        self._public_url = public_url

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
            present = self._scannable(tx, row, caller)
            application = applications.profile(tx, row.application_id)
            if present.state is _S.PENDING:
                row.account_id = caller.account_id
                enrollments.move(tx, row, _S.SCANNED)
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
            accounts.lock(tx, caller.account_id)
            device = devices.acting(tx, caller.device_id)
            thumbprint = key.check(device.device_id, device.signing_key, token)
            row = enrollments.find_by_token(tx, token)
            if self._accepted(tx, row, caller, key):
                link = sites.find(tx, caller.account_id, row.site_id or "")
                return sites.one(tx, link, caller.device_id)
            present = self._scannable(tx, row, caller)
            if spent_key.seen(tx, thumbprint):
                raise BadSignature
            user = completion.user_of(tx, row)
            if user is not None and not row.replace_existing:
                enrollments.move(tx, row, _S.CANCELED)
                return NotFound()
            spent_key.spend(tx, thumbprint)
            row.account_id, row.device_id, row.point = caller.account_id, caller.device_id, key.point
            if present.state is _S.PENDING:
                enrollments.move(tx, row, _S.SCANNED)
            application = applications.profile(tx, row.application_id)
            link = self._link(tx, row, user, application.name)
            return sites.site(tx.vault, link, application, has_key=True)

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
            accounts.lock(tx, caller.account_id)
            devices.acting(tx, caller.device_id)
            row = enrollments.find_by_token(tx, token)
            now = tx.now()
            present = enrollments.present(tx.vault, row, now)
            mine = row.account_id == caller.account_id
            if mine and present.state is _S.COMPLETED:
                raise WrongState(present.state.value)
            if mine and present.state is _S.REJECTED:
                return
            if not (mine and present.state is _S.AWAITING_CODE):
                self._scannable(tx, row, caller)
            row.account_id = caller.account_id
            scan = [_S.SCANNED] if present.state is _S.PENDING else []
            enrollments.move(tx, row, *scan, _S.REJECTED)
            site_name = applications.profile(tx, row.application_id).name
            accounts.changed(tx, caller.account_id, activity="site.refused", site_name=site_name)

        await self._database.write(work, accounts=True, by=caller.account_id)

    def _scannable(self, tx: Tx, row: enrollments.Kept, caller: Device) -> Enrollment:
        """An enrollment that this account may open or accept."""
        present = enrollments.present(tx.vault, row, tx.now())
        mine = present.state is _S.SCANNED and row.account_id == caller.account_id
        if present.state is not _S.PENDING and not mine:
            raise NotFound
        return present

    def _accepted(self, tx: Tx, row: enrollments.Kept, caller: Device, key: NewKey) -> bool:
        """Whether this very call was made before."""
        same = (row.account_id, row.device_id, row.point) == (caller.account_id, caller.device_id, key.point)
        return same and enrollments.present(tx.vault, row, tx.now()).state in (_S.AWAITING_CODE, _S.COMPLETED)

    def _link(self, tx: Tx, row: enrollments.Kept, user: links.Kept | None, site_name: str) -> links.Kept:
        """The link of an enrollment that was accepted: complete, or waiting for its first code."""
        link = completion.link_for(tx, row, user)
        if row.require_code:
            enrollments.move(tx, row, _S.AWAITING_CODE)
            accounts.changed(tx, row.account_id or "", sites=True)
        else:
            completion.complete(tx, row, link, user, site_name=site_name)
        return link
