"""Use cases of gateways: they lease posts that are due, and report what became of them."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.domain.webhook import post_headers
from authy_grpc.service import outcome
from authy_grpc.service.caller import Gateway
from authy_grpc.service.outcome import Report
from authy_grpc.store import events, waiting
from authy_grpc.store import lease as leases
from authy_grpc.store import webhook as webhooks
from authy_grpc.store.database import Database
from authy_grpc.store.events import Recorded
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_LEASE = timedelta(seconds=60)
# Events that ask for no post wake too: so often at most is it looked for one.
_PAUSE_SECONDS = 0.02
# So often it is looked for posts that wait for nobody.
_FORGOTTEN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What a gateway is to post.

    Attributes:
        headers: signed.
        attempt: the number of the lease.
        allow: what is open to the application's webhooks beside the public internet.
    """

    delivery_id: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    lease_expire_time: datetime
    attempt: int
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Leased:
    """A post that was leased, with what it takes to sign it."""

    delivery_id: str
    attempt: int
    url: str = field(repr=False)
    secrets: list[str] = field(repr=False)
    event: Recorded = field(repr=False)


class _Stream:
    """What one gateway works on, as far as this server knows: by post, the lease's number and its end."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, datetime]] = {}
        self.ready = asyncio.Event()

    def count(self, now: datetime) -> int:
        """How many there are still."""
        self.held = {name: each for name, each in self.held.items() if each[1] > now}
        return len(self.held)

    def hold(self, posts: Iterable[Post]) -> None:
        """It works on these from now on."""
        self.held.update({each.delivery_id: (each.attempt, each.lease_expire_time) for each in posts})

    def keep(self, left: Mapping[str, int]) -> None:
        """It works on these alone, by post and the lease's number."""
        self.held = {name: each for name, each in self.held.items() if left.get(name) == each[0]}

    def forget(self, delivery_id: str, attempt: int) -> None:
        """It has been reported."""
        if delivery_id in self.held and self.held[delivery_id][0] == attempt:
            del self.held[delivery_id]


class Deliveries:
    """Hands posts to gateways.

    Args:
        database: keeps them.
        vault: opens addresses and secrets.
        write_body: makes the text of a post.
        clock: the time.
        opened_to: what the operator has opened for an application's webhooks.
        lease: how long a gateway has for a post.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        write_body: Callable[[Recorded], str],
        clock: Callable[[], datetime],
        opened_to: Callable[[str], Sequence[str]] = lambda _: (),
        lease: timedelta = _LEASE,
    ) -> None:
        self._database = database
        self._vault = vault
        self._write_body = write_body
        self._clock = clock
        self._opened_to = opened_to
        self._lease = lease
        self._streams: set[_Stream] = set()
        self._place = waiting.START
        self._next_search = 0.0

    def wake(self) -> None:
        """Say that there may be something to post. A lost wake-up costs a second, never a post."""
        for stream in self._streams:
            stream.ready.set()

    async def look(self) -> int:
        """Have gateways look for what has fallen due by time, or was left by another server.

        Returns:
            How many posts waited for nobody, and are due now.
        """
        self.wake()
        loop, found = asyncio.get_running_loop(), list[int]()
        if loop.time() < self._next_search:
            return 0
        # Where the store is out of reach the next look is as good.
        with contextlib.suppress(BackendUnavailable):
            place = self._place
            found, self._place = await self._database.read(lambda tx: waiting.forgotten(tx, place))
            if self._place == waiting.START:
                self._next_search = loop.time() + _FORGOTTEN_SECONDS
            if found:
                await self._database.write(lambda tx: waiting.let_all_go(tx, found))
                self.wake()
        return len(found)

    async def lease(self, caller: Gateway, max_in_flight: int) -> AsyncGenerator[Post, None]:
        """Hand out posts as they fall due, signed as they are handed out.

        Of one webhook ten are in flight at a time, over all gateways, and webhooks take turns. A post waits
        for the one before about the same subject.

        Args:
            caller: a gateway.
            max_in_flight: how many it works on at a time.
        """
        stream, signed, loop = _Stream(), deque[Post](), asyncio.get_running_loop()
        self._streams.add(stream)
        try:
            while True:
                stream.ready.clear()
                looked = loop.time()
                free = await self._free(stream, max_in_flight)
                signed.extend(await self._take_to_hand_out(free) if free > 0 else [])
                stream.hold(signed)
                if not signed:
                    await stream.ready.wait()
                    await asyncio.sleep(looked + _PAUSE_SECONDS - loop.time())
                while signed:
                    yield signed.popleft()
        finally:
            self._streams.discard(stream)
            if signed:
                await self._give_back(signed)

    async def report(self, caller: Gateway, report: Report) -> None:
        """Take down what became of a post. Of a lease that is not the last one it counts for nothing.

        Args:
            caller: a gateway.
            report: what it says.
        """
        await self._database.write_batched(outcome.take_down, report)
        for stream in self._streams:
            stream.forget(report.delivery_id, report.attempt)
        # What waited for it may be due now.
        self.wake()

    async def take(self, limit: int) -> list[Post]:
        """Lease what is due now, at most so many, and sign it."""
        if not await self._database.read(lambda tx: leases.any_due(tx)):
            return []
        until, leased = await self._database.write(lambda tx: self._lease_due(tx, limit))
        return [self._post(each, until) for each in leased]

    async def _take_to_hand_out(self, limit: int) -> list[Post]:
        """As `take`; where the stream ends while they are being leased they are given back."""
        taking = asyncio.ensure_future(self.take(limit))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            (taken,) = await asyncio.gather(taking, return_exceptions=True)
            if isinstance(taken, list) and taken:
                await self._give_back(taken)
            raise

    async def _free(self, stream: _Stream, max_in_flight: int) -> int:
        """How many more a gateway may work on."""
        if stream.count(self._clock()) >= max_in_flight:
            # Some may have been reported to another server.
            names = list(stream.held)
            left = await self._database.read(lambda tx: leases.held(tx, names))
            stream.keep(left)
        return max_in_flight - len(stream.held)

    def _lease_due(self, tx: Tx, limit: int) -> tuple[datetime, list[_Leased]]:
        now = tx.now()
        until = now + self._lease
        found = leases.lease(tx, until, limit)
        known = events.find(tx, [due.event_id for _, due in found])
        leases.drop(tx, [each for each in found if each[1].event_id not in known])
        keys = {row.webhook_id: self._keys(row, now) for row, _ in found}
        return until, [
            _Leased(due.delivery_id, due.attempts + 1, *keys[row.webhook_id], known[due.event_id])
            for row, due in found
            if due.event_id in known
        ]

    def _keys(self, row: webhooks.Kept, now: datetime) -> tuple[str, list[str]]:
        return webhooks.url(self._vault, row), webhooks.secrets(self._vault, row, now)

    def _post(self, leased: _Leased, until: datetime) -> Post:
        body = self._write_body(leased.event)
        return Post(
            delivery_id=leased.delivery_id,
            url=leased.url,
            headers=post_headers(leased.secrets, leased.event.event_id, until - self._lease, body),
            body=body.encode(),
            lease_expire_time=until,
            attempt=leased.attempt,
            allow=tuple(self._opened_to(leased.event.application_id or "")),
        )

    async def _give_back(self, posts: Sequence[Post]) -> None:
        """What did not get to the gateway need not wait for the end of its lease."""
        own = [(each.delivery_id, each.attempt) for each in posts]
        with contextlib.suppress(BackendUnavailable):
            await self._database.write(lambda tx: leases.release(tx, own))
