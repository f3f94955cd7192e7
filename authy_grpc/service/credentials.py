"""Finds the caller of a credential, and tells when it ends.

Look-ups are kept for a second; what is revoked is forgotten at once.
"""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta

from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.domain.ids import hash_secret, is_secret
from authy_grpc.service.caller import Caller, Device, Gateway, Operator, Site
from authy_grpc.service.look_up import KINDS, Known, LookUps
from authy_grpc.service.signals import Signals, Subscription
from authy_grpc.store import credential, operator_key
from authy_grpc.store.database import Database
from authy_grpc.store.events import CREDENTIALS, Recorded
from authy_grpc.store.tx import Tx

_KEPT = timedelta(seconds=1)
_REMEMBERED = 50_000
_LAST_USE = timedelta(minutes=1)


class _Ending(Subscription):
    """Sets an event when a credential ends."""

    def __init__(self, signals: Signals, topics: list[str]) -> None:
        super().__init__(signals, topics)
        self.ended = asyncio.Event()

    def put(self, row: Recorded) -> None:
        if row.type == credential.ENDED:
            self.ended.set()


class _Changes(Subscription):
    """Forgets what is remembered of a credential that changed."""

    def __init__(self, signals: Signals, forget: Callable[[str], None]) -> None:
        super().__init__(signals, [CREDENTIALS])
        self._forget = forget

    def put(self, row: Recorded) -> None:
        self._forget(row.subject_id)


class Credentials:
    """Finds the caller of a bearer token.

    Args:
        database: keeps the hashes.
        signals: tells of what ends.
        clock: the time.
        operator_key: `op_…`.
        gateway_key: `gw_…`.
    """

    def __init__(
        self,
        database: Database,
        signals: Signals,
        clock: Callable[[], datetime],
        *,
        operator_key: str,
        gateway_key: str,
    ) -> None:
        self._database = database
        self._look_ups = LookUps(database)
        self._signals = signals
        self._clock = clock
        self._fixed: list[tuple[bytes, Caller]] = [
            (hash_secret(operator_key), Operator()),
            (hash_secret(gateway_key), Gateway()),
        ]
        self._found: dict[bytes, tuple[Known, datetime]] = {}
        # The hashes in `_found` by what may end them.
        self._hashes: dict[str, set[bytes]] = {}
        self._forgotten = 0
        self._used: dict[str, datetime] = {}
        self._writes: set[asyncio.Task[None]] = set()
        signals.add(_Changes(signals, self._forget))
        # What this server changes itself is forgotten before the caller is answered.
        database.on_credentials = self._forget_all

    async def find(self, token: str) -> Caller | None:
        """The caller of a token, or None for one that is unknown, revoked or expired."""
        if not token:
            return None
        secret_hash = hash_secret(token)
        for known, fixed in self._fixed:
            if hmac.compare_digest(known, secret_hash):
                return fixed
        now = self._clock()
        found = self._found.get(secret_hash)
        if found is not None and abs(now - found[1]) < _KEPT:
            caller: Known | None = found[0]
        # What cannot be one costs no look-up.
        elif any(is_secret(prefix, token) for prefix in KINDS):
            caller = await self._look_up(token, secret_hash, now)
        else:
            return None
        if caller is None or (caller.expire_time is not None and caller.expire_time <= now):
            return None
        self._note_use(caller, now)
        return caller

    @contextlib.asynccontextmanager
    async def ended(self, caller: Caller) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the caller's credential is revoked, while the context lasts.

        Raises:
            BackendUnavailable: whether it stands still cannot be asked.
        """
        with _Ending(self._signals, _topics(caller)) as ending:
            if _topics(caller) and isinstance(caller, Known) and not await self._stands(caller):
                ending.ended.set()
            yield ending.ended

    async def close(self) -> None:
        """Wait for what is still being written."""
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def _stands(self, caller: Known) -> bool:
        """Whether a credential has not ended since it was found."""
        # One that is remembered stands as far as events have been handed out.
        if self._hashes.get(_topics(caller)[-1]):
            return True
        return await self._database.read(_stands(caller))

    async def _look_up(self, token: str, secret_hash: bytes, now: datetime) -> Known | None:
        forgotten = self._forgotten
        self._drop(secret_hash)
        caller = await self._look_ups.find(token[:2], secret_hash)
        # What was read while a credential changed may be from before.
        if caller is not None and self._forgotten == forgotten:
            self._remember(secret_hash, caller, now)
        return caller

    def _remember(self, secret_hash: bytes, caller: Known, now: datetime) -> None:
        if len(self._found) >= _REMEMBERED:
            self._found.clear()
            self._hashes.clear()
        self._found[secret_hash] = (caller, now)
        for topic in _topics(caller):
            self._hashes.setdefault(topic, set()).add(secret_hash)

    def _forget_all(self, subject_ids: Iterable[str]) -> None:
        for subject_id in subject_ids:
            self._forget(subject_id)

    def _forget(self, subject_id: str) -> None:
        self._forgotten += 1
        for secret_hash in tuple(self._hashes.get(subject_id, ())):
            self._drop(secret_hash)

    def _drop(self, secret_hash: bytes) -> None:
        found = self._found.pop(secret_hash, None)
        for topic in _topics(found[0]) if found else ():
            hashes = self._hashes[topic]
            hashes.discard(secret_hash)
            if not hashes:
                del self._hashes[topic]

    def _note_use(self, caller: Known, now: datetime) -> None:
        """Once a minute is enough for `last_use_time` and `last_seen_time`."""
        name = _topics(caller)[0]
        before = self._used.get(name)
        if before is not None and abs(now - before) < _LAST_USE:
            return
        if len(self._used) >= _REMEMBERED:
            self._used.clear()
        self._used[name] = now
        task = asyncio.create_task(self._write_use(name, now))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write_use(self, name: str, now: datetime) -> None:
        # One that is not written is written a minute later.
        with contextlib.suppress(BackendUnavailable):
            await self._database.write(lambda tx: credential.note_use(tx, name, now))


def _stands(caller: Known) -> Callable[[Tx], bool]:
    if isinstance(caller, Site):
        return lambda tx: credential.key_stands(tx, caller.api_key_id)
    if isinstance(caller, Operator):
        return lambda tx: operator_key.stands(tx, caller.operator_key_id)
    return lambda tx: credential.session_stands(tx, caller.session_id)


def _topics(caller: Caller) -> list[str]:
    match caller:
        case Site():
            return [caller.api_key_id]
        case Device():
            return [caller.device_id, caller.session_id]
        case Operator() if caller.operator_key_id:
            return [caller.operator_key_id]
        case _:
            return []
