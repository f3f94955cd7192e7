"""Use cases of relying sites and their API keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from authy_grpc.domain.application import DEFAULT_SCOPES, ApiKey, Application, Scope
from authy_grpc.domain.enrollment import EnrollmentState
from authy_grpc.domain.errors import BadField
from authy_grpc.domain.ids import hash_secret, new_id, new_secret
from authy_grpc.service import unlink
from authy_grpc.service.caller import Operator, Site
from authy_grpc.store import application as store
from authy_grpc.store import credential, page
from authy_grpc.store import link as links
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_OPERATOR = "operator"
_LIST = "ListApplications"


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made: the one time that its secret is told."""

    api_key: ApiKey
    secret: str = field(repr=False)


class Applications:
    """What the operator does with relying sites.

    Args:
        database: keeps them.
        vault: seals page tokens.
    """

    def __init__(self, *, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def create(self, caller: Operator, draft: Application) -> Application:
        """Add a relying site.

        Args:
            caller: the operator.
            draft: all but its id and time.
        """

        def work(tx: Tx) -> Application:
            now = tx.now()
            made = replace(draft, application_id=new_id("app", now, tx.random), create_time=now)
            store.add(tx, made, _logo_id(tx, made.logo))
            return made

        return await self._database.write(work, by=_OPERATOR)

    async def get(self, caller: Operator, application_id: str) -> Application:
        """One relying site."""
        return await self._database.read(lambda tx: store.find(tx, application_id), by=_OPERATOR)

    async def current(self, caller: Site) -> Application:
        """The relying site that asks."""
        return await self._database.read(
            lambda tx: store.find(tx, caller.application_id), by=caller.application_id
        )

    async def list_page(
        self, caller: Operator, page_size: int, page_token: str
    ) -> tuple[list[Application], str]:
        """A page of relying sites, and the token of the next; empty on the last."""
        after = page.open_token(self._vault, _OPERATOR, _LIST, page_token)
        size = page.size(page_size)
        found = await self._database.read(
            lambda tx: store.listed(tx, after, size + 1), by=_OPERATOR, pages=True
        )
        if len(found) <= size:
            return found, ""
        last = found[size - 1].application_id
        return found[:size], page.seal_token(self._vault, _OPERATOR, _LIST, last)

    async def update(self, caller: Operator, application_id: str, changes: Mapping[str, Any]) -> Application:
        """Change fields of a relying site.

        Args:
            caller: the operator.
            application_id: of the site.
            changes: new values by field: name, origin, logo, match_digits, phone_codes, require_code.
        """

        def work(tx: Tx) -> Application:
            before = store.find(tx, application_id, lock=True)
            changed = replace(before, **changes)
            store.save(tx, changed)
            if changed.logo != before.logo:
                store.set_logo(tx, application_id, changed.logo, _logo_id(tx, changed.logo))
            return changed

        return await self._database.write(work, by=_OPERATOR)

    async def delete(self, caller: Operator, application_id: str) -> None:
        """End a relying site: its keys stop at once, its users and their links go."""

        def work(tx: Tx) -> None:
            store.lock(tx, application_id)
            ended = [credential.ended(key.api_key_id) for key in store.keys(tx, application_id)]
            own = links.of_application(tx, application_id)
            tx.now()
            for link in own:
                unlink.end(tx, link, record=False, waiting=EnrollmentState.CANCELED)
            # What its links' ends have recorded goes with all else of its feed.
            tx.write_recorded()
            store.erase(tx, application_id)
            tx.record(*ended)
            self._database.deleted()

        await self._database.write(work, by=_OPERATOR)

    async def create_key(
        self,
        caller: Operator,
        application_id: str,
        name: str,
        scopes: Sequence[Scope],
        expire_time: datetime | None,
    ) -> NewApiKey:
        """Make a key.

        Args:
            caller: the operator.
            application_id: whose key.
            name: what the operator calls it.
            scopes: all but MANAGE where empty.
            expire_time: when it ends by itself; None for never.
        """

        def work(tx: Tx) -> NewApiKey:
            now = tx.now()
            store.profile(tx, application_id)
            if expire_time is not None and expire_time <= now:
                raise BadField.one("expire_time", "lies in the past")
            secret = new_secret("ak", tx.random)
            made = ApiKey(
                api_key_id=new_id("key", now, tx.random),
                application_id=application_id,
                name=name,
                scopes=tuple(scopes or DEFAULT_SCOPES),
                create_time=now,
                expire_time=expire_time,
            )
            store.add_key(tx, made, hash_secret(secret))
            return NewApiKey(made, secret)

        return await self._database.write(work, by=_OPERATOR)

    async def list_keys(self, caller: Operator, application_id: str) -> list[ApiKey]:
        """The keys of a relying site that are not revoked."""

        def work(tx: Tx) -> list[ApiKey]:
            store.profile(tx, application_id)
            return store.keys(tx, application_id)

        return await self._database.read(work, by=_OPERATOR, pages=True)

    async def revoke_key(self, caller: Operator, api_key_id: str) -> None:
        """End a key at once, its open streams too."""

        def work(tx: Tx) -> None:
            store.revoke_key(tx, api_key_id)
            tx.record(credential.ended(api_key_id))

        await self._database.write(work, by=_OPERATOR)


def _logo_id(tx: Tx, logo: bytes) -> str:
    """A new picture gets a new id, so that authenticators may keep one for ever."""
    return new_id("logo", tx.now(), tx.random) if logo else ""
