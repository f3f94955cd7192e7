"""The way of posts from a core that may be killed to a receiver, and what may go wrong on it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import grpc.aio
from sqlmodel import Session, col, select

from authy_grpc.cli.demo.listening import listening
from authy_grpc.client import Post
from authy_grpc.store.engine import connect
from authy_grpc.store.tables import DeliveryRow
from authy_grpc.v1.enrollment_pb2 import CancelEnrollmentRequest, CreateEnrollmentRequest
from authy_grpc.v1.webhook_pb2 import (
    CreateWebhookRequest,
    Delivery,
    DeliveryState,
    ListDeliveriesRequest,
)
from gateway.webhooks import Deliverer
from tests.gateway.halting import halting
from tests.gateway.receiving import Receiver, subject
from tests.gateway.test_webhooks import fed
from tests.harness import Service, Site
from tests.mortal import Mortal
from tests.rushing import PATIENCE
from tests.strangers import Stranger

SUBJECTS = 3
LEASE = 60
# Quick to see that a core is back, whatever another one has seen.
CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass
class Told:
    """What has got how far in one gateway, which may be halted.

    Attributes:
        names: by point: ids of events, and of posts where they are reported.
        halts: whether one waits at a point.
        goes_on: ends the waiting.
        asks_again: the gateway does, if the core was away.
    """

    names: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    halts: Callable[[str, str], bool] = lambda point, name: False
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    asks_again: asyncio.Event = field(default_factory=asyncio.Event)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def reach(self, point: str, name: str) -> None:
        self.names[point].append(name)
        self._moved.set()
        if self.halts(point, name):
            await self.goes_on.wait()

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(PATIENCE):
            while not ready():
                self._moved.clear()
                await self._moved.wait()


@dataclass
class Road:
    """The way from a core, in a process of its own, to a receiver.

    Attributes:
        came: all that the receiver has read, in order.
        told: what the receiver and, where one lives here, the first gateway have got to.
    """

    service: Service
    site: Site
    receiver: Receiver
    mortal: Mortal
    webhook_id: str = ""
    came: list[Post] = field(default_factory=list)
    told: Told = field(default_factory=Told)
    rounds: int = 0
    _serving: set[asyncio.Task[Any]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def of(cls, service: Service, folder: Path) -> AsyncIterator["Road"]:
        """A road from a service, which is stopped for it, and whose first life has begun."""
        site, there = await service.site(), Receiver(service.clock)
        async with Mortal.of(service, folder / "log") as mortal:
            road = cls(service, site, there, mortal)
            there.mood = road._read
            stranger = Stranger(road._answer)
            async with listening(partial(road._connected, stranger)) as there.port:
                await mortal.start()
                made = await site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=there.url))
                there.secrets.append(made.secret)
                road.webhook_id = made.webhook.webhook_id
                yield road

    async def happen(self, count: int, name: str) -> None:
        """Have things happen to some subjects, twice to each."""
        enrollments = self.site.client.enrollments
        for number in range(count):
            request = CreateEnrollmentRequest(custom_user_id=f"{self.rounds} {name} {number}")
            made = await enrollments.CreateEnrollment(request)
            own = made.enrollment.enrollment_id
            await enrollments.CancelEnrollment(CancelEnrollmentRequest(enrollment_id=own))

    async def begin(self, point: str) -> None:
        """Have posts wait, and the next ones halt at a point."""
        self.rounds += 1
        await self.happen(SUBJECTS, "first")
        self.told = Told()
        self.told.halts = lambda there, _: there == point

    def let_go(self) -> None:
        """What halts goes on, whoever is dead."""
        self.told.halts = lambda there, _: False
        self.told.goes_on.set()

    async def served(self) -> None:
        """Wait until the receiver is done with those who have hung up."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def turn(self, seconds: int) -> None:
        """Turn the core's clock."""
        self.service.clock.turn(seconds=seconds)
        await self.mortal.tell_time()

    @asynccontextmanager
    async def gateway(self, told: Told) -> AsyncIterator[Deliverer]:
        """A gateway that lives here."""
        async with grpc.aio.insecure_channel(self.service.target, CHANNEL) as channel:

            async def pause(seconds: float) -> None:
                await told.asks_again.wait()
                await channel.channel_ready()

            service = self.service
            key = service.secrets.gateway_key
            made = halting(channel, key, service.clock, told.reach, pause=pause)
            made.start()
            try:
                yield made
            finally:
                await made.stop(now=True)

    async def rows(self) -> list[DeliveryRow]:
        """All posts as the database has them."""
        return await asyncio.to_thread(rows, self.service.url)

    async def delivered(self) -> None:
        """Wait until all that has happened is delivered."""
        async with asyncio.timeout(PATIENCE):
            while any(row.state != "DELIVERED" for row in await self.rows()):
                pass

    async def take_over(self, report_late: Callable[[Sequence[DeliveryRow]], Awaitable[None]]) -> list[str]:
        """Let another gateway come, the lease end, and the first report then; answers what it had leased."""
        second, ends = Told(), self.service.clock.now.timestamp() + LEASE
        second.asks_again.set()
        await self.turn(LEASE - 1)
        async with self.gateway(second):
            await self.happen(1, "second")
            newest = (await fed(self.site))[-2:]
            # It has looked, at this time, for all that is due.
            await second.until(lambda: newest[0] in second.names["leased"])
            leased = [row for row in await self.rows() if row.lease_until is not None]
            late = [row for row in leased if row.lease_until and row.lease_until.timestamp() <= ends]
            names = [row.event_id for row in late]
            assert not set(names) & set(second.names["leased"])
            second.halts = lambda point, name: point == "leased" and name in names
            await self.turn(1)
            await second.until(lambda: set(names) <= set(second.names["leased"]))
            await report_late(late)
            for row in await self.rows():
                if row.event_id in names:
                    before = next(each for each in late if each.event_id == row.event_id)
                    assert (row.state, row.failures, row.attempts) == ("PENDING", 0, before.attempts + 1)
                    assert row.lease_until is not None and row.lease_until.timestamp() == ends + LEASE
            second.goes_on.set()
            await self.delivered()
        return names

    async def findings(self) -> list[str]:
        """What was lost, or came in another order than it happened."""
        log = self.site.client.webhooks.ListDeliveries
        request = ListDeliveriesRequest(webhook_id=self.webhook_id, page_size=1000)
        return findings(await fed(self.site), self.came, (await log(request)).deliveries)

    async def _connected(
        self, stranger: Stranger, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        await self.told.reach("connected", "")
        await stranger.serve(reader, writer)

    async def _answer(self, stranger: Stranger, writer: asyncio.StreamWriter) -> None:
        # Others read meanwhile.
        request = stranger.requests[-1]
        await self.told.reach("sent", "")
        stranger.requests.append(request)
        await self.receiver.answer(stranger, writer)

    def _read(self, post: Post) -> int:
        self.came.append(post)
        return 204


def rows(url: str) -> list[DeliveryRow]:
    """All posts that a database has, in order."""
    engine = connect(url, writes=False, connections=1)
    try:
        with Session(engine) as session:
            found = list(session.exec(select(DeliveryRow).order_by(col(DeliveryRow.sequence))))
            session.expunge_all()
            return found
    finally:
        engine.dispose()


def findings(feed: Sequence[str], came: Iterable[Post], log: Iterable[Delivery]) -> list[str]:
    """What is wrong with what came of a feed, and with what the log says of it."""
    place = {event: number for number, event in enumerate(feed)}
    about: dict[str, list[str]] = defaultdict(list)
    for post in came:
        about[subject(post.event)].append(post.event_id)
    arrived = {event for each in about.values() for event in each}
    found = [f"{event} is lost" for event in feed if event not in arrived]
    found += [f"{event} never happened" for event in arrived if event not in place]
    for name, each in about.items():
        # One that comes twice in a row is the same post.
        order = [place.get(event, -1) for event, _ in groupby(each)]
        found += [] if order == sorted(set(order)) else [f"{name} is out of order"]
    states = Counter(each.event_id for each in log if each.state == DeliveryState.DELIVERY_STATE_DELIVERED)
    return found + [f"{event} is delivered {states[event]} times" for event in feed if states[event] != 1]
