"""Receivers that stall, hang up or are gone keep no other receiver waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from authy_grpc.outbound.web import Addresses, Answer, Web
from authy_grpc.store import lease as leases
from authy_grpc.v1.webhook_pb2 import CreateWebhookRequest
from tests.gateway.receiving import HANGS_UP, STALLS, Receiver, receiver
from tests.gateway.test_webhooks import LONG_PATIENCE, delivering, fed, happen, hooked
from tests.harness import Service, Site
from tests.strangers import nobody

# More than are in flight for one webhook at a time.
EVENTS, MOST_FOR_ONE = 15, 10
SITES, STALLED = 5, 3

pytestmark = pytest.mark.slow


class Counting(Web):
    """Counts the posts that are under way: those whose outcome the core may know are none.

    Attributes:
        now: how many there are.
        most: how many there were at a time.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        # No post ends because its time is over.
        super().__init__(Addresses(dev=True), clock, limit=timedelta(seconds=LONG_PATIENCE))
        self.now = self.most = 0

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, **options: Any) -> Answer:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().post(url, headers, body)
        finally:
            self.now -= 1


@dataclass
class Neighbours:
    """Sites with a dead receiver each beside healthy ones, and all that has happened there.

    Attributes:
        stack: closes the receivers.
        stalled: receivers that never answer.
        healthy: receivers, each with the site that it is of.
        moved: something came.
    """

    service: Service
    stack: AsyncExitStack
    stalled: list[Receiver] = field(default_factory=list)
    healthy: list[tuple[Site, Receiver]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def of(cls, service: Service, healthy: int) -> AsyncIterator["Neighbours"]:
        """So many healthy ones beside five dead ones, with posts due to all of them."""
        async with AsyncExitStack() as stack:
            made = cls(service, stack)
            sites = [await service.site(f"Site{number}") for number in range(SITES)]
            for number, site in enumerate(sites):
                if number < STALLED:
                    made.stalled.append(await made._receiver(site, STALLS))
                elif number == STALLED:
                    await made._receiver(site, HANGS_UP)
                else:
                    url = f"http://127.0.0.1:{stack.enter_context(nobody())}/hook"
                    await site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=url))
            # The dead ones have the first turn.
            service.clock.turn(seconds=1)
            for number in range(healthy):
                await made.join(sites[number % SITES])
            for site in sites:
                await happen(site, EVENTS)
            yield made

    async def join(self, site: Site) -> None:
        """One more healthy one of a site."""
        self.healthy.append((site, await self._receiver(site, 204)))

    @asynccontextmanager
    async def delivering(self, in_flight: int) -> AsyncIterator[Counting]:
        """A gateway that works on so many posts at a time."""
        web = Counting(self.service.clock)
        async with delivering(self.service, web=web, in_flight=in_flight) as deliverer:
            try:
                yield web
            finally:
                await deliverer.stop(now=True)

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(LONG_PATIENCE):
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
        self.moved.set()
        return status


async def test_healthy_receivers_wait_for_no_dead_one(
    service: Service, figure: Callable[[int, int], int]
) -> None:
    dead = MOST_FOR_ONE * STALLED
    async with Neighbours.of(service, figure(10, 50)) as there:
        # Room for those that stall, and for one healthy receiver more.
        async with there.delivering(dead + MOST_FOR_ONE) as web:
            # The clock is not turned: no post that failed is tried again, and no lease ends.
            await there.until(lambda: there.served() and sum(there.under_way()) >= dead)
            assert there.under_way() == [MOST_FOR_ONE] * STALLED
            # They are under way to this moment.
            assert dead <= web.now <= web.most <= dead + MOST_FOR_ONE
        for site, each in there.healthy:
            assert sorted(post.event_id for post in each.taken) == sorted(await fed(site))


async def test_a_gateway_without_room_for_both_is_noticed(service: Service) -> None:
    room = 5
    async with Neighbours.of(service, 0) as there, there.delivering(room) as web:
        await there.until(lambda: sum(there.under_way()) == room)
        site = await service.site()
        await there.join(site)
        await happen(site, EVENTS)
        # The healthy one's posts are due, and wait for those that never end.
        assert await service.core.database.read(lambda tx: leases.any_due(tx))
        assert web.now == web.most == room
        assert not there.served()
        assert not there.healthy[0][1].came
