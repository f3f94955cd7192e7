"""Checks first codes, each of which proves that whoever scanned is whoever sits at the site."""

from datetime import datetime

from authy_grpc.domain.device import DeviceState
from authy_grpc.domain.enrollment import Enrollment, EnrollmentState
from authy_grpc.domain.errors import CodeRejected, Refusal, WrongState
from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.keys import totp_secret
from authy_grpc.domain.limits import SITE_NO_CODE, Guesses, PushGuard, after_wrong, check_guesses
from authy_grpc.domain.rate import Rate
from authy_grpc.domain.totp import Seed, Verdict, evaluate
from authy_grpc.domain.typed import is_code, normalize
from authy_grpc.service import completion
from authy_grpc.store import account as accounts
from authy_grpc.store import device as devices
from authy_grpc.store import enrollment as enrollments
from authy_grpc.store import link as links
from authy_grpc.store.account import AccountBusy
from authy_grpc.store.application import profile
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import SEED

_NO_STEP = -1


class Confirmation:
    """Checks first codes.

    Args:
        vault: opens what codes are made from.
        rate: counts what is no code.
    """

    def __init__(
        self,
        *,
        vault: Vault,
        rate: Rate | None = None,
    ) -> None:
        self._rate = rate or Rate()
        self._vault = vault

    def before(self, row: enrollments.Kept, now: datetime, typed: str) -> Enrollment | None:
        """The answer to a call that comes again; None where the enrollment awaits a code.

        Args:
            row: the enrollment, locked or not: what it has become once it stays.
            now: the time.
            typed: the code, as typed.

        Raises:
            WrongState: it awaits none, and was not completed by this call.
        """
        present = enrollments.present(self._vault, row, now)
        if present.state is EnrollmentState.AWAITING_CODE:
            return None
        if present.state is EnrollmentState.COMPLETED and row.confirm_hash in self._hashes(row, typed):
            return present
        raise WrongState(present.state.value)

    def confirm(
        self, tx: Tx, row: enrollments.Kept, link: links.Kept | None, typed: str
    ) -> Enrollment | Refusal | AccountBusy:
        """Complete an enrollment by its first code.

        Its account is locked for a code that is right alone: by others no site holds up what is done for a
        person, nor sees whether something is.

        Args:
            tx: of the work.
            row: the enrollment, locked.
            link: what it makes or renews, locked.
            typed: the code, as typed.

        Returns:
            The enrollment, or a refusal that has left its trace; AccountBusy where the code is right while
            somebody holds the account: nothing is decided, and the account is to be locked first.

        Raises:
            WrongState, CodeRejected, UserLocked, RateLimited: nothing was written.
        """
        now = tx.now()
        before = self.before(row, now, typed)
        if before is not None:
            return before
        if link is None:
            raise WrongState(row.state)
        guesses = Guesses(link.failures, link.locked_until)
        check_guesses(guesses, now)
        application = profile(tx, row.application_id)
        if not is_code(typed, application.code_digits):
            self._rate.spend(row.application_id, now, SITE_NO_CODE)
            raise CodeRejected
        seeds, counts = self._seeds(tx, row, link)
        match = evaluate(
            seeds,
            normalize(typed),
            now,
            digits=application.code_digits,
            period=application.code_period_seconds,
        )
        if counts and match.verdict is Verdict.REPLAYED:
            raise CodeRejected
        if not counts or match.verdict is Verdict.WRONG or match.step is None:
            self._count(tx, link, after_wrong(guesses, now))
            return CodeRejected()
        if not _take(tx, row):
            return AccountBusy()
        return self._accept(tx, row, link, typed, match.step, application.name)

    def _accept(
        self, tx: Tx, row: enrollments.Kept, link: links.Kept, typed: str, step: int, site_name: str
    ) -> Enrollment | Refusal:
        user = completion.user_of(tx, row)
        if user is not None and not row.replace_existing:
            enrollments.move(tx, row, EnrollmentState.CANCELED)
            return WrongState(EnrollmentState.CANCELED.value)
        row.confirm_hash = self._hashes(row, typed)[0]
        if link.push_frozen_until is not None and link.push_frozen_until > tx.now():
            told = links.event(tx.vault, link, UserEventType.UNLOCKED)
            tx.record(told)
        links.ROWS.change(
            tx,
            link,
            failures=Guesses().failures,
            locked_until=Guesses().locked_until,
            push_misses=PushGuard().misses,
            push_frozen_until=PushGuard().frozen_until,
        )
        return completion.complete(tx, row, link, user, site_name=site_name, step=step)

    def _count(self, tx: Tx, link: links.Kept, guesses: Guesses) -> None:
        """A link that waits is no user of the site yet: only of one that is renewed does the feed tell."""
        locks = guesses.locked_until is not None
        links.ROWS.change(tx, link, failures=guesses.failures, locked_until=guesses.locked_until)
        if link.state == "AWAITING":
            return
        reason = Verdict.WRONG.name.lower()
        told = [links.event(tx.vault, link, UserEventType.CODE_REJECTED, reason=reason)]
        if locks:
            told.append(links.event(tx.vault, link, UserEventType.LOCKED))
        tx.record(*told)

    def _seeds(self, tx: Tx, row: enrollments.Kept, link: links.Kept) -> tuple[list[Seed], bool]:
        """What makes the code, the seed in the QR code or the device that accepted, and whether it counts.

        One that does not, since device or owner are gone, is evaluated all the same: it takes as long.
        """
        if link.sealed_seed is not None:
            seed = tx.vault.open(SEED, link.site_id, link.sealed_seed)
            return [Seed(link.site_id, seed, link.seed_last_step)], True
        device = devices.ROWS.find(tx, row.device_id)
        if device is None:
            return [], False
        former = links.active_key(tx, link.site_id, device.device_id)
        secret = totp_secret(
            tx.vault.open(devices.DEVICE_SECRET, device.device_id, device.sealed_secret),
            site_id=link.site_id,
            device_id=device.device_id,
            agreement_key=device.agreement_key,
            server_agreement_key=device.server_agreement_key,
        )
        counts = devices.state(device, tx.now()) is DeviceState.ACTIVE and link.state != "ENDED"
        return [Seed(device.device_id, secret, former.last_step if former else _NO_STEP)], counts

    def _hashes(self, row: enrollments.Kept, typed: str) -> tuple[bytes, ...]:
        return self._vault.digests("request", f"confirm\n{row.enrollment_id}\n{normalize(typed)}".encode())


def _take(tx: Tx, row: enrollments.Kept) -> bool:
    """Lock the account behind an enrollment; False where it is held, or its device was put out meanwhile."""
    if row.account_id is None:
        return True
    if not accounts.take(tx, row.account_id):
        return False
    device = devices.lock(tx, row.device_id or "")
    return device is not None and devices.state(device, tx.now()) is DeviceState.ACTIVE
