"""Use cases of a site's users."""

from collections.abc import Collection
from dataclasses import replace

from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.event import UserEventType
from authy_grpc.domain.limits import Guesses, PushGuard
from authy_grpc.domain.user import CARRIED, Factor, User
from authy_grpc.service import unlink
from authy_grpc.service.caller import Site
from authy_grpc.store import link as links
from authy_grpc.store import page
from authy_grpc.store import user as store
from authy_grpc.store import user_view as view
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_LIST = "ListUsers"
_GUARDS = ("failures", "locked_until", "push_misses", "push_frozen_until")


class Users:
    """What a site does with its users.

    Args:
        database: keeps them.
        vault: opens what the site calls them.
        carried: factors that the service has a carrier for; no user has others of these.
    """

    def __init__(self, *, database: Database, vault: Vault, carried: Collection[Factor] = CARRIED) -> None:
        self._database = database
        self._vault = vault
        self._missing = CARRIED - set(carried)

    async def get(self, caller: Site, authy_id: str) -> User:
        """One user.

        Raises:
            NotFound: there is none, or it is another site's.
        """
        own = caller.application_id
        return self._offered(await self._database.read(lambda tx: view.find(tx, own, authy_id), by=own))

    async def look_up(self, caller: Site, custom_user_id: str) -> User:
        """One user, by the site's own reference.

        Raises:
            NotFound: there is none.
        """
        own = caller.application_id
        return self._offered(
            await self._database.read(lambda tx: view.look_up(tx, own, custom_user_id), by=own)
        )

    async def list_page(self, caller: Site, page_size: int, page_token: str) -> tuple[list[User], str]:
        """A page of users, oldest first, and the token of the next; empty on the last.

        Raises:
            BadField: the token is not one that this list answered.
        """
        own = caller.application_id
        after = page.open_token(self._vault, own, _LIST, page_token)
        size = page.size(page_size)
        found = await self._database.page(
            lambda tx: view.page(tx, own, after, size + 1),
            lambda rows: (rows[0].sort_key, self._offered(view.user(self._vault, rows))),
            by=own,
        )
        shown = [user for _, user in found[:size]]
        if len(found) <= size:
            return shown, ""
        return shown, page.seal_token(self._vault, own, _LIST, found[size - 1][0])

    async def delete(self, caller: Site, authy_id: str) -> None:
        """End a user: its codes and questions stop at once.

        Raises:
            NotFound: there is none, or it is another site's.
        """

        def work(tx: Tx) -> None:
            link = store.lock(tx, caller.application_id, authy_id)
            unlink.end(tx, link, waiting=EnrollmentState.CANCELED)

        await self._database.write(work, accounts=True, by=caller.application_id)

    async def unlock(self, caller: Site, authy_id: str, factors: Collection[Factor]) -> User:
        """Lift what wrong codes or refused questions brought about.

        Args:
            caller: the site.
            authy_id: of the user.
            factors: PUSH lifts a freeze, the others the lock of codes; all where empty.

        Raises:
            NotFound: there is none, or it is another site's.
        """

        def work(tx: Tx) -> User:
            link = links.find(tx, caller.application_id, authy_id, lock=True)
            before = (link.failures, link.locked_until, link.push_misses, link.push_frozen_until)
            if not factors or set(factors) - {Factor.PUSH}:
                links.forget_future_steps(tx, link)
                link.failures, link.locked_until = Guesses().failures, Guesses().locked_until
            if not factors or Factor.PUSH in factors:
                link.push_misses, link.push_frozen_until = PushGuard().misses, PushGuard().frozen_until
            after = (link.failures, link.locked_until, link.push_misses, link.push_frozen_until)
            if before != after:
                links.ROWS.change(tx, link, **dict(zip(_GUARDS, after, strict=True)))
                told = links.event(tx.vault, link, UserEventType.UNLOCKED)
                tx.record(told)
            return view.find(tx, caller.application_id, authy_id)

        return self._offered(await self._database.write(work, by=caller.application_id))

    def _offered(self, user: User) -> User:
        if not self._missing:
            return user
        return replace(user, factors=tuple(each for each in user.factors if each not in self._missing))
