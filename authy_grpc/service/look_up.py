"""Looks credentials up in the database, all that wait in one read (batching), so that guesses cost little."""

import asyncio
from contextvars import Context
from itertools import islice

from authy_grpc.domain.application import Scope
from authy_grpc.service.caller import Device, Operator, Site
from authy_grpc.store import credential, operator_key
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tx

Known = Site | Device | Operator
# The first two letters of a token say which table it is of.
KINDS = ("ak", "dt", "op")
_MOST = 200
# After a read that did not find all: who guesses waits for a fuller one, and the honest no longer than this.
_PAUSE = 0.005

_Asked = tuple[str, bytes]


class LookUps:
    """Finds who holds a credential. While one read is under way, all who come wait for the next.

    Args:
        database: keeps the hashes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[_Asked, asyncio.Future[Known | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def find(self, kind: str, secret_hash: bytes) -> Known | None:
        """Who holds a credential as of now, expired or not; None for one that is unknown or revoked.

        Raises:
            BackendUnavailable: the database is out of reach.
        """
        asked = (kind, secret_hash)
        future = self._waiting.get(asked)
        if future is None:
            future = self._waiting[asked] = asyncio.get_running_loop().create_future()
        if self._task is None:
            # It is nobody's own: it knows of no call.
            self._task = asyncio.get_running_loop().create_task(self._read_all(), context=Context())
        return await asyncio.shield(future)

    async def _read_all(self) -> None:
        try:
            while self._waiting:
                asked = {key: self._waiting.pop(key) for key in [*islice(self._waiting, _MOST)]}
                if not await self._read(asked):
                    await asyncio.sleep(_PAUSE)
        finally:
            self._task = None
            for future in self._waiting.values():
                future.cancel()
            self._waiting.clear()

    async def _read(self, asked: dict[_Asked, asyncio.Future[Known | None]]) -> bool:
        """Answer some; returns whether all were found."""
        try:
            found = await self._database.read(lambda tx: _look_up(tx, list(asked)))
        except asyncio.CancelledError:
            for future in asked.values():
                future.cancel()
            raise
        except Exception as error:
            for future in asked.values():
                future.set_exception(error)
                future.exception()  # Whoever asked may have gone.
            return True
        for (_, secret_hash), future in asked.items():
            future.set_result(found.get(secret_hash))
        return len(found) == len(asked)


def _look_up(tx: Tx, asked: list[_Asked]) -> dict[bytes, Known]:
    of: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    for kind, secret_hash in asked:
        of[kind].append(secret_hash)
    found: dict[bytes, Known] = {}
    for key in credential.api_keys(tx, of["ak"]):
        found[key.secret_hash] = Site(
            application_id=key.application_id,
            api_key_id=key.api_key_id,
            scopes=frozenset(Scope(each) for each in key.scopes.split()),
            expire_time=key.expire_time,
        )
    for session in credential.device_sessions(tx, of["dt"]):
        found[session.token_hash] = Device(
            account_id=session.account_id,
            device_id=session.device_id,
            session_id=session.session_id,
            held=session.state == "HELD",
            expire_time=session.expire_time,
        )
    for secret_hash, operator in operator_key.by_hash(tx, of["op"]).items():
        found[secret_hash] = Operator(*operator)
    return found
