"""Seals all that is kept anew by the primary key, in small steps, beside running servers."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from authy_grpc.store import keyset
from authy_grpc.store import reencrypt as store
from authy_grpc.store.database import Database
from authy_grpc.store.vault import Vault

# Between steps others get their turn at the database.
_BREATH_SECONDS = 0.01
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Reencrypted:
    """What came of it.

    Attributes:
        rows: how many were made anew, by table.
        complete: whether nothing was left in the end. Else a server goes on writing by old keys.
    """

    rows: dict[str, int]
    complete: bool


class Reencryption:
    """Makes rows anew. It may be interrupted: the next run passes over what is done.

    Args:
        database: of the rows.
        vault: with old keys and new.
        progress: called after each step with the table's name, and how many rows were seen and made anew.
    """

    def __init__(
        self, *, database: Database, vault: Vault, progress: Callable[[str, int, int], None]
    ) -> None:
        self._database = database
        self._vault = vault
        self._progress = progress

    async def run(self) -> Reencrypted:
        """Walk all tables, until a walk finds nothing to do.

        Raises:
            KeysetError: the keyset is not the database's own, or a row does not open.
        """
        await self._database.write(lambda tx: keyset.check(tx, self._vault))
        await self._database.write(lambda tx: keyset.seal_anew(tx, self._vault))
        rows = Counter[str]({table.name: 0 for table in store.TABLES})
        for _ in range(_ROUNDS):
            before = rows.total()
            for table in store.TABLES:
                rows[table.name] += await self._walk(table)
            if rows.total() == before:
                return Reencrypted(dict(rows), complete=True)
        return Reencrypted(dict(rows), complete=False)

    async def _walk(self, table: store.Table) -> int:
        after: store.Key = ()
        seen = made = 0
        while True:
            look = partial(store.look, vault=self._vault, table=table, after=after)
            page = await self._database.read(look)
            if page.stale:
                made += await self._make_anew(table, page.stale)
            seen += page.seen
            self._progress(table.name, seen, made)
            if page.seen < store.STEP:
                return made
            after = page.last
            await asyncio.sleep(_BREATH_SECONDS)

    async def _make_anew(self, table: store.Table, keys: list[store.Key]) -> int:
        make_anew = partial(store.make_anew, vault=self._vault, table=table)
        done = await self._database.write(partial(make_anew, keys=keys, wait=False))
        for key in keys:
            if key not in done:
                done |= await self._database.write(partial(make_anew, keys=[key], wait=True))
        return len(done)
