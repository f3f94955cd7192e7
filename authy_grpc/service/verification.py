"""Use cases of codes that users type into a site: check them, send one, make backup codes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from authy_grpc.domain import codes
from authy_grpc.domain.code_text import code_text
from authy_grpc.domain.errors import FactorUnavailable, Refusal
from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.limits import SEND_RULES, retry_delay
from authy_grpc.domain.user import CARRIED, Factor
from authy_grpc.domain.verification import SENT_CODE_LIFE, Checked, SentCode
from authy_grpc.service.caller import Site
from authy_grpc.service.code_check import Attempt, CodeChecks
from authy_grpc.store import backup_code, budget, sent_code
from authy_grpc.store import link as links
from authy_grpc.store import text as texts
from authy_grpc.store.account import AccountBusy
from authy_grpc.store.application import profile
from authy_grpc.store.database import Database
from authy_grpc.store.once import Request, once
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Sending:
    """What became of a wish to send a code.

    Attributes:
        sent: whether it goes out; not where the user has an authenticator to make one.
        expire_time: until when the code is good; None where it was not sent.
        retry_delay: how long to wait before another; None where it was not sent.
    """

    sent: bool
    expire_time: datetime | None = None
    retry_delay: timedelta | None = None


_SENDING = TypeAdapter(Sending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A code that a site wants sent.

    Attributes:
        factor: SMS or VOICE.
        action: what it is for.
        locale: a language tag; empty for the usual language.
        force: whether to send it though the user has an authenticator.
    """

    authy_id: str
    factor: Factor
    action: str
    locale: str
    force: bool


class Verifications:
    """What a site does with codes.

    Args:
        database: keeps them.
        vault: seals them.
        carried: factors that the service has a carrier for.
    """

    def __init__(self, *, database: Database, vault: Vault, carried: Collection[Factor] = CARRIED) -> None:
        self._database = database
        self._vault = vault
        self._carried = carried
        self._checks = CodeChecks(vault=vault)
        # One bound method each, by which calls that wait are brought together.
        self._check, self._check_waiting = self._checks.check, self._checks.check_waiting

    async def verify_code(
        self, caller: Site, request: Request, authy_id: str, code: str, action: str
    ) -> Checked:
        """Check a code, together with all others that wait.

        Args:
            caller: the site.
            request: the call, which may come again.
            authy_id: whose code.
            code: as typed.
            action: what a sent code must have been sent for.

        Raises:
            NotFound: the site has no such user.
            UserLocked: wrong codes have locked the user.
            RequestIdReused: the id was used for another request.
        """
        attempt = Attempt(caller.application_id, authy_id, code, action, request)
        try:
            return await self._database.write_batched(self._check, attempt, by=caller.application_id)
        except AccountBusy:
            return await self._database.write_batched(
                self._check_waiting, attempt, accounts=True, by=caller.application_id
            )

    async def send_code(self, caller: Site, request: Request, wish: Wish) -> Sending:
        """Have a code sent to a user's phone: the same again while it is good.

        What the owner has switched off, and the site is yet to be told of, is answered as if it were on:
        the message is queued all the same, and does not go out.

        Args:
            caller: the site.
            request: the call, which may come again.
            wish: what is to be sent.

        Raises:
            NotFound: the site has no such user.
            FactorUnavailable: no phone or no carrier to send by, or such codes are switched off.
            RateLimited: this site asked too often.
            RequestIdReused: the id was used for another request.
        """

        def work(tx: Tx) -> Sending | Refusal:
            return once(
                tx,
                caller.application_id,
                request,
                _SENDING,
                lambda: self._send(tx, caller.application_id, wish),
            )

        return await self._database.write(work, by=caller.application_id)

    async def create_backup_codes(self, caller: Site, authy_id: str) -> list[str]:
        """Make ten backup codes and void the earlier ones. This is the one time that they are told.

        Raises:
            NotFound: the site has no such user.
        """

        def work(tx: Tx) -> list[str]:
            link = links.find(tx, caller.application_id, authy_id, lock=True)
            new = codes.backup_codes(tx.random)
            backup_code.replace(tx, link.site_id, new)
            return new

        return await self._database.write(work, by=caller.application_id)

    def _send(self, tx: Tx, application_id: str, wish: Wish) -> Sending:
        link = links.find(tx, application_id, wish.authy_id, lock=True)
        # Not before it is locked, which may take a while.
        now = tx.now()
        application = profile(tx, application_id)
        allowed = wish.factor in self._carried and link.phone_codes and application.phone_codes
        if not (allowed and links.has_phone(link)):
            raise FactorUnavailable
        told = links.told_keys(tx, link.site_id)
        if not wish.force and any(key.revoke_time is None for key in told):
            return Sending(sent=False)
        name = f"link:{link.site_id}"
        times = budget.allow(tx, name, SEND_RULES)
        budget.keep(tx, name, times, SEND_RULES)
        sent = self._code(tx, link.site_id, wish)
        sent_code.keep(tx, link.site_id, wish.action, sent)
        body = code_text(
            application.name, sent.code, wish.action, wish.factor, wish.locale, sent.expire_time - now
        )
        texts.add_for_link(tx, link.site_id, body, wish.factor, sent.expire_time)
        told_sent = links.event(tx.vault, link, UserEventType.CODE_SENT, factor=wish.factor)
        tx.record(told_sent)
        return Sending(True, sent.expire_time, retry_delay(times, now, SEND_RULES))

    def _code(self, tx: Tx, site_id: str, wish: Wish) -> SentCode:
        """The code that is good already, however long still, or a new one."""
        now = tx.now()
        before = sent_code.find(tx, site_id, wish.action)
        if before is not None and before.is_good(now):
            before.factor = wish.factor
            return before
        return SentCode(code=codes.sent_code(tx.random), factor=wish.factor, expire_time=now + SENT_CODE_LIFE)
