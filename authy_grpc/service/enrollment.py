"""Use cases of enrollments, as sites see them."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from pydantic import TypeAdapter

from authy_grpc.domain.enrollment import INITIAL, TERMINAL, Enrollment, EnrollmentMethod, EnrollmentState
from authy_grpc.domain.errors import BadField, Refusal, UserExists
from authy_grpc.domain.ids import enrollment_token, hash_secret, new_id
from authy_grpc.domain.qr_text import otpauth_uri, token_uri
from authy_grpc.service import completion
from authy_grpc.service.caller import Site
from authy_grpc.service.confirmation import Confirmation
from authy_grpc.service.heartbeat import HEARTBEAT, Heartbeat
from authy_grpc.service.qr import QrCode, QrCodes, QrFormat
from authy_grpc.service.signals import Signals
from authy_grpc.store import application as applications
from authy_grpc.store import enrollment as enrollments
from authy_grpc.store import enrollment as store
from authy_grpc.store import link as links
from authy_grpc.store.account import AccountBusy
from authy_grpc.store.columns import whole_millis
from authy_grpc.store.database import Database
from authy_grpc.store.once import Request, once
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import SEED

_TTL = timedelta(minutes=10)
_SEED_BYTES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An enrollment that a site asks for.

    Attributes:
        ttl: how long the QR code works; 10 min where None.
        require_code: whether a first code is asked for; the application's own where None.
        replace_existing: whether the user that custom_user_id has is replaced, once completed.
        account_label: of GENERIC_TOTP: what the app writes beside the code.
        format: how the QR code is drawn; None for not at all.
        module_size: pixels a module; 0 for 8.
    """

    custom_user_id: str = field(repr=False)
    method: EnrollmentMethod = EnrollmentMethod.AUTHENTICATOR
    ttl: timedelta | None = None
    require_code: bool | None = None
    replace_existing: bool = False
    account_label: str = field(default="", repr=False)
    format: QrFormat | None = None
    module_size: int = 0


@dataclass(frozen=True, slots=True)
class _Created:
    """What is kept of an answer: the image is drawn anew."""

    enrollment: Enrollment
    uri: str = field(repr=False)


_CREATED = TypeAdapter(_Created)


class Enrollments:
    """What a site does with its enrollments.

    Args:
        database: keeps them.
        vault: seals what they are about.
        signals: wakes those who watch.
        confirmation: checks first codes.
        qr_codes: draws.
        public_url: the origin of QR links, without a slash at its end.
        random: source of random bytes.
        heartbeat: how long a watcher that asks for heartbeats hears nothing at most.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        signals: Signals,
        confirmation: Confirmation,
        qr_codes: QrCodes,
        public_url: str,
        random: Callable[[int], bytes],
        heartbeat: timedelta = HEARTBEAT,
    ) -> None:
        self._database = database
        self._vault = vault
        self._signals = signals
        self._confirmation = confirmation
        self._qr_codes = qr_codes
        self._public_url = public_url
        self._random = random
        self._heartbeat = Heartbeat(random, heartbeat)

    async def create(self, caller: Site, request: Request, draft: Draft) -> tuple[Enrollment, QrCode]:
        """Start an enrollment; an open one of the same custom_user_id becomes CANCELED.

        Args:
            caller: the site.
            request: by which the same call again is known.
            draft: what it asks for.

        Raises:
            BadField: a label that has no place.
            UserExists: `custom_user_id` has a user, and is not to be replaced.
            RateLimited: a hundred of the caller's QR codes wait to be drawn.
        """
        if draft.account_label and draft.method is not EnrollmentMethod.GENERIC_TOTP:
            raise BadField.one("account_label", "is for GENERIC_TOTP alone")

        def work(tx: Tx) -> _Created | Refusal:
            return once(
                tx,
                caller.application_id,
                request,
                _CREATED,
                lambda: self._create(tx, caller, draft),
            )

        created = await self._database.write(work, by=caller.application_id)
        drawn = await self._qr_codes.draw(
            created.uri, draft.format, draft.module_size, by=caller.application_id
        )
        return created.enrollment, drawn

    async def get(self, caller: Site, enrollment_id: str) -> Enrollment:
        """An enrollment as it stands.

        Raises:
            NotFound: there is none, or it is another site's.
        """

        def work(tx: Tx) -> Enrollment:
            row = store.find(tx, caller.application_id, enrollment_id)
            return enrollments.present(tx.vault, row, tx.now())

        return await self._database.read(work, by=caller.application_id)

    async def watch(
        self, caller: Site, enrollment_id: str, after_revision: int, *, heartbeat: bool = False
    ) -> AsyncIterator[Enrollment | None]:
        """An enrollment as it stands, then each newer revision; ends after a terminal state.

        Args:
            caller: the site.
            enrollment_id: what to watch.
            after_revision: revisions up to this one are left out.
            heartbeat: say None where there is nothing newer, at once and at least every 25 s.

        Raises:
            NotFound: there is none, or it is another site's.
        """
        with self._signals.subscribe(enrollment_id) as subscription:
            newest = await self.get(caller, enrollment_id)
            while True:
                if newest.revision > after_revision:
                    after_revision = newest.revision
                    yield newest
                elif heartbeat and newest.state not in TERMINAL:
                    yield None
                if newest.state in TERMINAL:
                    return
                rows = await subscription.wait(self._heartbeat.pause() if heartbeat else None)
                if subscription.behind:
                    subscription.catch_up()
                    newest = await self.get(caller, enrollment_id)
                elif rows and isinstance(body := rows[-1].body, Enrollment):
                    newest = body

    async def confirm(self, caller: Site, enrollment_id: str, code: str) -> Enrollment:
        """Complete an enrollment that awaits a code.

        Args:
            caller: the site.
            enrollment_id: which.
            code: as typed.

        Raises:
            NotFound: there is none, or it is another site's.
            WrongState: it awaits no code, and was not completed by this call.
            CodeRejected: the code is wrong, or was used.
            UserLocked: too many were wrong.
        """

        work = partial(self._confirm, caller=caller, enrollment_id=enrollment_id, code=code)
        try:
            return await self._database.write(work, by=caller.application_id)
        except AccountBusy:
            return await self._database.write(
                partial(work, waits=True), accounts=True, by=caller.application_id
            )

    async def cancel(self, caller: Site, enrollment_id: str) -> Enrollment:
        """End an enrollment that is open; one that is CANCELED stays as it is.

        Raises:
            NotFound: there is none, or it is another site's.
            WrongState: it has ended in another way.
        """

        def work(tx: Tx) -> Enrollment:
            row = store.find(tx, caller.application_id, enrollment_id, lock=True)
            now = tx.now()
            present = enrollments.present(tx.vault, row, now)
            if present.state is EnrollmentState.CANCELED:
                return present
            return enrollments.move(tx, row, EnrollmentState.CANCELED)

        return await self._database.write(work, by=caller.application_id)

    async def expire_due(self) -> int:
        """Write EXPIRED to those whose time is over, a hundred at most; answers how many."""

        def work(tx: Tx) -> int:
            tx.now()
            due = store.due(tx)
            for row in due:
                enrollments.end(tx, row, EnrollmentState.EXPIRED)
            return len(due)

        return await self._database.write(work)

    def _confirm(
        self, tx: Tx, *, caller: Site, enrollment_id: str, code: str, waits: bool = False
    ) -> Enrollment | Refusal | AccountBusy:
        seen = store.find(tx, caller.application_id, enrollment_id)
        # A call that comes to nothing locks nothing: a site makes it as often as it likes.
        before = self._confirmation.before(seen, tx.tools.clock(), code)
        if before is not None:
            return before
        row, link = store.lock_about(tx, seen, account=waits)
        # Not before they are locked, which may take a while.
        return self._confirmation.confirm(tx, row, link, code)

    def _create(self, tx: Tx, caller: Site, draft: Draft) -> _Created:
        application = applications.profile(tx, caller.application_id)
        # Locked first: one that is being completed has its user by then.
        open_ones = store.open_of(tx, caller.application_id, draft.custom_user_id)
        now = tx.now()
        if not draft.replace_existing and links.has_user(tx, caller.application_id, draft.custom_user_id):
            raise UserExists
        for row in open_ones:
            enrollments.end(tx, row, EnrollmentState.CANCELED)
        row = self._row(now, caller, draft, application)
        if draft.method is EnrollmentMethod.GENERIC_TOTP:
            uri = self._generic(tx, row, draft, application)
        else:
            token = enrollment_token(tx.random)
            row.token_hash = hash_secret(token)
            uri = token_uri(self._public_url, token)
        return _Created(enrollments.begin(tx, row), uri)

    def _row(
        self, now: datetime, caller: Site, draft: Draft, application: applications.Profile
    ) -> store.Kept:
        enrollment_id = new_id("enr", now, self._random)
        required = application.require_code if draft.require_code is None else draft.require_code
        custom_user_id = draft.custom_user_id.encode()
        subject = links.subject(caller.application_id, draft.custom_user_id)
        even, odd = self._vault.pair("custom_user_id", subject)
        return store.Kept(
            enrollment_id=enrollment_id,
            application_id=caller.application_id,
            sealed_custom_user_id=self._vault.seal(store.CUSTOM_USER_ID, enrollment_id, custom_user_id),
            custom_user_digest=even,
            custom_user_digest_odd=odd,
            method=draft.method,
            state=INITIAL[draft.method],
            require_code=required or draft.method is EnrollmentMethod.GENERIC_TOTP,
            replace_existing=draft.replace_existing,
            create_time=now,
            update_time=now,
            expire_time=whole_millis(now + (draft.ttl or _TTL)),
        )

    def _generic(self, tx: Tx, row: store.Kept, draft: Draft, application: applications.Profile) -> str:
        seed = tx.random(_SEED_BYTES)
        completion.link_for(tx, row, None, sealed_seed=lambda site_id: tx.vault.seal(SEED, site_id, seed))
        return otpauth_uri(
            seed,
            issuer=application.name,
            label=draft.account_label,
            digits=application.code_digits,
            period=application.code_period_seconds,
        )
