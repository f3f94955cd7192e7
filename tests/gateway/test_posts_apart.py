"""Receivers that stall, hang up or are gone keep no other receiver waiting."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from authy_grpc.outbound.web import Addresses, Web
from authy_grpc.store import lease as leases
from authy_grpc.v1.webhook_pb2 import CreateWebhookRequest
from gateway.webhooks import Deliverer
from tests.gateway.receiving import HANGS_UP, STALLS, Receiver, receiver
from tests.gateway.test_webhooks import fed, happen, hooked
from tests.harness import Service, Site
from tests.rushing import PATIENCE

# More than are in flight for one webhook at a time.
EVENTS, MOST_FOR_ONE = 15, 10
SITES, STALLED = 5, 3


@dataclass
class Neighbours:
    """Sites with a dead receiver each beside healthy ones, and all that has happened there.

    Attributes:
        stack: closes the receivers.
        stalled: receivers that never answer.
        healthy: receivers, each with the site that it is of.
        moved: something came.
        deliverer: the gateway's, once it has begun.
        most: posts that were under way at a time.
    """

    service: Service
    stack: AsyncExitStack
    stalled: list[Receiver] = field(default_factory=list)
    healthy: list[tuple[Site, Receiver]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    deliverer: Deliverer | None = None
    most: int = 0

    @classmethod
    @asynccontextmanager
    async def of(cls, service: Service, healthy: int) -> AsyncIterator["Neighbours"]:
        """So many healthy ones beside five dead ones, with posts due to all of them."""
        async with AsyncExitStack() as stack:
            made = cls(service, stack)
            for number in range(SITES):
                site = await service.site(f"Site{number}")
                # The dead one first: it has the first turn.
                if number < STALLED:
                    made.stalled.append(await made._receiver(site, STALLS))
                elif number == STALLED:
                    await made._receiver(site, HANGS_UP)
                else:
                    url = f"http://127.0.0.1:{stack.enter_context(nobody())}/hook"
                    await site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=url))
                for _ in range(healthy // SITES):
                    await made.join(site)
                await happen(site, EVENTS)
            yield made

    async def join(self, site: Site) -> None:
        """One more healthy one of a site."""
        self.healthy.append((site, await self._receiver(site, 204)))

    @asynccontextmanager
    async def delivering(self, in_flight: int) -> AsyncIterator[Deliverer]:
        """A gateway that works on so many posts at a time."""
        # No post ends because its time is over.
        web = Web(Addresses(dev=True), self.service.clock, limit=timedelta(seconds=10 * PATIENCE))
        service = self.service
        key = service.secrets.gateway_key
        self.deliverer = Deliverer(service.channel(), key, web, service.core.log, in_flight=in_flight)
        self.deliverer.start()
        try:
            yield self.deliverer
        finally:
            await self.deliverer.stop(now=True)

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(PATIENCE):
            while not ready():
                self.moved.clear()
                await self.moved.wait()

    def served(self) -> bool:
        """Whether the healthy ones have all that happened."""
        return all(len(each.came) == EVENTS for _, each in self.healthy)

    def under_way(self) -> list[int]:
        """How many posts each receiver that stalls has, and lets wait."""
        return [len(each.came) for each in self.stalled]

    async def _receiver(self, site: Site, status: int) -> Receiver:
        there = await self.stack.enter_async_context(receiver(self.service.clock))
        there.mood = lambda _: self._came(status)
        await hooked(site, there)
        return there

    def _came(self, status: int) -> int:
        assert self.deliverer is not None
        self.most = max(self.most, self.deliverer.in_flight)
        self.moved.set()
        return status


@contextmanager
def nobody() -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield int(place.getsockname()[1])


async def test_healthy_receivers_wait_for_no_dead_one(
    service: Service, figure: Callable[[int, int], int]
) -> None:
    begin, dead = service.clock(), MOST_FOR_ONE * STALLED
    async with Neighbours.of(service, figure(10, 50)) as there:
        # Room for those that stall, and for one healthy receiver more.
        async with there.delivering(dead + MOST_FOR_ONE) as deliverer:
            await there.until(lambda: there.served() and sum(there.under_way()) >= dead)
            # Without a turn of the clock no post that failed is tried again, and no lease ends.
            assert service.clock() == begin
            assert deliverer.in_flight >= dead
            assert there.under_way() == [MOST_FOR_ONE] * STALLED
            assert there.most <= dead + MOST_FOR_ONE
            assert not any(each.taken for each in there.stalled)
        for site, each in there.healthy:
            assert sorted(post.event_id for post in each.taken) == sorted(await fed(site))


async def test_a_gateway_without_room_for_both_is_noticed(service: Service) -> None:
    room = 5
    async with Neighbours.of(service, 0) as there, there.delivering(room) as deliverer:
        await there.until(lambda: sum(there.under_way()) == room)
        site = await service.site()
        await there.join(site)
        await happen(site, EVENTS)
        # The healthy one's posts are due, and wait for those that never end.
        assert await service.core.database.read(lambda session: leases.any_due(session, service.clock()))
        assert deliverer.in_flight == there.most == room
        assert not there.served()
        assert not there.healthy[0][1].came
