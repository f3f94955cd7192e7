"""Tells sites of things later than they took effect, so that what hits several links has no common time."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from math import log

from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.ids import new_id
from authy_grpc.service import unlink
from authy_grpc.store import account as accounts
from authy_grpc.store import link as links
from authy_grpc.store import telling as store
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx

_MEAN = timedelta(hours=24)
_LONGEST = timedelta(days=7)
_DRAWN_BYTES = 7


class TellingKind(StrEnum):
    """What a site will be told."""

    USER_DELETED = "user.deleted"
    DEVICE_REMOVED = "user.device_removed"
    FACTORS_CHANGED = "user.factors_changed"


class Telling:
    """Plans what sites are told, and tells it.

    Args:
        database: keeps the plans.
        random: source of random bytes.
    """

    def __init__(self, *, database: Database, random: Callable[[int], bytes]) -> None:
        self._database = database
        self._random = random

    def plan(self, tx: Tx, site_id: str, kind: TellingKind, kid: str | None = None) -> None:
        """Have a site told of something after a random delay: 24 h on average, 7 days at most.

        It is longer where the service stood still meanwhile, see `tell_due`.

        Args:
            tx: of the change.
            site_id: the link.
            kind: what it is told.
            kid: the key of a device that was removed.
        """
        now = tx.now()
        telling_id = new_id("tel", now, tx.random)
        due_time = now + self._delay()
        store.ROWS.add(tx, store.Kept(telling_id, site_id, kind, kid, due_time))

    async def tell_due(self) -> int:
        """Tell what is due, a hundred at most; answers how many.

        Each in a transaction of its own: one that cannot be told holds back no other. Where several sites
        of one account are due by now, as after a standstill, one is told, and the others get a new delay:
        told together, they could be matched by time.

        Raises:
            ExceptionGroup: some could not be told.
        """
        due = await self._database.read(lambda tx: store.due(tx))
        accounts: dict[str | None, list[store.Due]] = {}
        for each in due:
            accounts.setdefault(each.account_id, []).append(each)
        told = await asyncio.gather(*map(self._tell_one_site, accounts.values()), return_exceptions=True)
        if errors := [each for each in told if isinstance(each, Exception)]:
            raise ExceptionGroup("some could not be told", errors)
        return len(due)

    async def _tell_one_site(self, due: list[store.Due]) -> None:
        """Of what is due of one account: what the first site is to be told."""
        chosen = due[0].site_id
        later = [self._put_off(each.telling_id) for each in due if each.site_id != chosen]
        # At first: another server that looks in between would find one alone, and tell it.
        await asyncio.gather(*later)
        now = [self._tell(each.telling_id) for each in due if each.site_id == chosen]
        told = await asyncio.gather(*now, return_exceptions=True)
        if errors := [each for each in told if isinstance(each, Exception)]:
            raise ExceptionGroup("some could not be told", errors)

    async def _tell(self, telling_id: str) -> None:
        def work(tx: Tx) -> None:
            found = store.locked(tx, telling_id)
            now = tx.now()
            # Another server may have put it off meanwhile.
            if found is not None and found[0].due_time <= now:
                row, link = found
                store.ROWS.remove(tx, row)
                self._record(tx, row, link)

        await self._database.write(work)

    async def _put_off(self, telling_id: str) -> None:
        def work(tx: Tx) -> None:
            found = store.locked(tx, telling_id)
            now = tx.now()
            # Another server may have put it off meanwhile.
            if found is not None and found[0].due_time <= now:
                store.ROWS.change(tx, found[0], due_time=now + self._delay())

        await self._database.write(work)

    def _record(self, tx: Tx, row: store.Kept, link: links.Kept) -> None:
        match TellingKind(row.kind):
            case TellingKind.USER_DELETED:
                account_id = link.account_id
                unlink.end(tx, link)
                if account_id is not None:
                    # What codes and questions have left since the account was erased: it names nobody.
                    accounts.forget_activity(tx, account_id)
                self._database.deleted()
            case TellingKind.DEVICE_REMOVED:
                self._record_removed(tx, link, row.kid or "")
            case TellingKind.FACTORS_CHANGED:
                self._record_factors(tx, link)

    def _record_removed(self, tx: Tx, link: links.Kept, kid: str) -> None:
        key = links.KEYS.find(tx, kid)
        if key is None or key.state == "REVOKED":
            return
        links.KEYS.change(tx, key, state="REVOKED", revoke_time=tx.now())
        told = links.event(tx.vault, link, UserEventType.DEVICE_REMOVED, key=links.site_key(key))
        tx.record(told)

    def _record_factors(self, tx: Tx, link: links.Kept) -> None:
        """The truth of this moment: of two changes the later may be told first."""
        account = accounts.ROWS.find(tx, link.account_id)
        phone_codes = account is not None and account.phone_codes
        if link.phone_codes == phone_codes:
            return
        links.ROWS.change(tx, link, phone_codes=phone_codes)
        tx.record(links.event(tx.vault, link, UserEventType.FACTORS_CHANGED))

    def _delay(self) -> timedelta:
        """Exponential, so that the time that has passed says nothing of the time to come."""
        while True:
            drawn = (int.from_bytes(self._random(_DRAWN_BYTES)) + 1) / 256**_DRAWN_BYTES
            delay = -log(drawn) * _MEAN
            if delay <= _LONGEST:
                return delay
