"""Posts arrive: in order for each subject, at least once, whatever the receiver does meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, cycle, repeat
from typing import Any

import grpc.aio
import pytest
from sqlmodel import and_, col, func, or_, select

from authy_grpc.client import Post
from authy_grpc.outbound.web import Addresses, Web
from authy_grpc.store.tables import DeliveryRow, WebhookRow
from authy_grpc.store.tx import Tx
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest
from authy_grpc.v1.event_pb2 import ListEventsRequest
from authy_grpc.v1.webhook_pb2 import CreateWebhookRequest, ListWebhooksRequest, WebhookState
from gateway.webhooks import IN_FLIGHT, Deliverer
from tests import rows
from tests.gateway.receiving import HANGS_UP, STALLS, Receiver, receiver
from tests.harness import Service, Site
from tests.rushing import PATIENCE
from tests.strangers import nobody

Figure = Callable[[int, int], int]
# Seconds: thousands of posts, one after another.
LONG_PATIENCE = 10 * PATIENCE


@asynccontextmanager
async def delivering(
    service: Service,
    channel: Any = None,
    *,
    web: Web | None = None,
    seconds: float = LONG_PATIENCE,
    in_flight: int = IN_FLIGHT,
) -> AsyncIterator[Deliverer]:
    """A gateway's deliverer, over a socket where no other channel is given.

    No post ends because its time is over, unless it has less.
    """
    web = web or Web(Addresses(dev=True), service.clock, limit=timedelta(seconds=seconds))
    key = service.secrets.gateway_key
    made = Deliverer(channel or service.channel(), key, web, service.core.log, in_flight=in_flight)
    made.start()
    try:
        yield made
    finally:
        await made.stop()


async def hooked(site: Site, there: Receiver, *types: str) -> str:
    """Make a webhook to a receiver."""
    made = await site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=there.url, types=types))
    there.secrets.append(made.secret)
    return made.webhook.webhook_id


async def happen(site: Site, count: int, name: str = "user") -> None:
    """Have enrollments begun, a few at a time."""
    for begin in range(0, count, 50):
        await asyncio.gather(
            *[
                site.client.enrollments.CreateEnrollment(
                    CreateEnrollmentRequest(custom_user_id=f"{name}-{each}"), timeout=PATIENCE
                )
                for each in range(begin, min(count, begin + 50))
            ]
        )


async def fed(site: Site) -> list[str]:
    """The ids of all events in a site's feed."""
    ids: list[str] = []
    cursor = "earliest"
    while True:
        page = await site.client.events.ListEvents(ListEventsRequest(cursor=cursor, page_size=1000))
        ids += [event.event_id for event in page.events]
        if not page.has_more:
            return ids
        cursor = page.cursor


def busy(tx: Tx, now: datetime) -> bool:
    """Whether a post is leased, or is the first that is left of its subject, and may go out."""
    pending = col(DeliveryRow.state) == "PENDING"
    first = select(func.min(DeliveryRow.sequence)).where(pending)
    probe = col(WebhookRow.next_probe_time)
    due = (
        select(DeliveryRow.sequence)
        .join(WebhookRow, col(WebhookRow.webhook_id) == DeliveryRow.webhook_id)
        .where(
            col(DeliveryRow.sequence).in_(first.group_by(DeliveryRow.webhook_id, DeliveryRow.subject_id)),
            WebhookRow.state == "ENABLED",
            or_(and_(probe.is_(None), DeliveryRow.due_time <= now), probe <= now),
        )
    )
    leased = select(DeliveryRow.sequence).where(col(DeliveryRow.lease_until) > now)
    return any(rows.found(tx, each.limit(1)) for each in (leased, due))


async def settled(service: Service, *deliverers: Deliverer) -> None:
    """Wait until nothing is due, leased or under way by the turned clock."""
    async with asyncio.timeout(LONG_PATIENCE):
        # The read first: it lets the rest have its turn.
        while await service.core.database.read(partial(busy, now=service.clock())) or any(
            each.in_flight for each in deliverers
        ):
            pass


async def until(service: Service, ready: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not ready():
            # It lets the rest have its turn.
            await service.core.database.read(lambda tx: None)


async def states(service: Service) -> Counter[str]:
    """How many posts are in each state."""
    found = select(DeliveryRow.state)
    return await service.core.database.read(lambda tx: Counter(rows.found(tx, found)))


async def waiting(service: Service) -> int:
    """How many posts are neither delivered nor given up."""
    return (await states(service))["PENDING"]


@pytest.mark.parametrize("way", ["a socket", "no socket"])
async def test_what_happens_is_posted(service: Service, way: str) -> None:
    site, phone = await service.site(), await service.phone()
    channel = service.core.server.local() if way == "no socket" else None
    async with receiver(service.clock) as there, delivering(service, channel) as deliverer:
        await hooked(site, there)
        await service.enroll(site, phone)
        await settled(service, deliverer)
        assert [post.event_id for post in there.taken] == await fed(site)
        assert [post.type for post in there.taken] == [
            "enrollment.pending",
            "enrollment.scanned",
            "enrollment.completed",
        ]
        assert set(there.came.values()) == {1}


@pytest.mark.slow
async def test_an_hour_without_the_receiver_is_made_good(service: Service, figure: Figure) -> None:
    site, count = await service.site(), figure(60, 5_000)
    async with receiver(service.clock) as there, delivering(service) as deliverer:
        await hooked(site, there)
        there.mood = lambda _: HANGS_UP
        for part in range(60):
            await happen(site, count // 60, f"part{part}")
            service.clock.turn(minutes=1)
            await service.due()
            await settled(service, deliverer)
        events = await fed(site)
        # Of the 60 parts 51 have expired, too: they had ten minutes.
        assert not there.taken and await waiting(service) == len(events) == (60 + 51) * (count // 60)
        there.mood = lambda _: 204
        for _ in range(10):
            service.clock.turn(minutes=1)
            await service.due()
            await settled(service, deliverer)
            if not await waiting(service):
                break
        assert await waiting(service) == 0
        # Enrollments have expired since.
        events = await fed(site)
        assert sorted(post.event_id for post in there.taken) == sorted(events)
        order = {event: place for place, event in enumerate(events)}
        for ids in there.by_subject.values():
            assert ids == sorted(ids, key=order.__getitem__)


@pytest.mark.slow
async def test_a_receiver_that_fails_resets_and_stalls_gets_all_of_it(
    service: Service, figure: Figure
) -> None:
    site, phone = await service.site(), await service.phone()
    # Four in nine fail, each once: how often one fails is not left to the order in which they come.
    moods = cycle([204, 500, 204, 302, 204, HANGS_UP, 204, 204, STALLS])
    own: dict[str, Iterator[int]] = {}

    def mood(post: Post) -> int:
        if post.event_id not in own:
            own[post.event_id] = chain([next(moods)], repeat(204))
        return next(own[post.event_id])

    # What stalls has 2 s, which are many for what does not.
    async with receiver(service.clock) as there, delivering(service, seconds=2) as deliverer:
        there.mood = mood
        await hooked(site, there)
        for each in range(figure(3, 60)):
            await service.enroll(site, phone, f"user-{each}")
        events = await fed(site)
        for _ in range(24 * 60):
            await settled(service, deliverer)
            if not await waiting(service):
                break
            service.clock.turn(minutes=1)
            await service.due()
        assert not await waiting(service)
        order = {event: place for place, event in enumerate(events)}
        assert sorted(post.event_id for post in there.taken) == sorted(events)
        for ids in there.by_subject.values():
            assert ids == sorted(ids, key=order.__getitem__)
        # With a control: those that failed came more than once, under the same id.
        assert sum(there.came.values()) >= len(events) + 4 * (len(events) // 9)
        assert len(there.came) == len(events)


async def test_what_a_gateway_left_another_one_posts(service: Service) -> None:
    site = await service.site()
    async with receiver(service.clock) as there:
        await hooked(site, there)
        there.mood = lambda _: STALLS
        async with delivering(service) as first:
            await happen(site, 1)
            await until(service, lambda: bool(there.came))
            await first.stop(now=True)
        there.mood = lambda _: 204
        async with delivering(service) as second:
            assert await waiting(service) == 1
            service.clock.turn(seconds=61)
            await service.due()
            await settled(service, second)
        assert [there.came[post.event_id] for post in there.taken] == [2]


async def test_a_stop_lets_posts_end(service: Service) -> None:
    site = await service.site()
    async with receiver(service.clock) as there, delivering(service) as deliverer:
        await hooked(site, there)
        with there.pausing():
            await happen(site, 3)
            await until(service, lambda: len(there.came) == 3)
            stopping = asyncio.ensure_future(deliverer.stop())
            # Meanwhile it would have broken them off, or posted this.
            await happen(site, 1, "too late")
            assert not stopping.done() and deliverer.in_flight == 3
        async with asyncio.timeout(PATIENCE):
            await stopping
        assert not deliverer.in_flight
        assert sorted(post.event_id for post in there.taken) == sorted((await fed(site))[:3])
        assert await states(service) == {"DELIVERED": 3, "PENDING": 1}


async def test_two_gateways_share_the_posts(service: Service) -> None:
    site, room = await service.site(), 5
    async with (
        receiver(service.clock) as there,
        delivering(service, in_flight=room) as one,
        delivering(service, in_flight=room) as two,
    ):
        await hooked(site, there)
        with there.pausing():
            await happen(site, 40)
            # What one has no room for, the other one has.
            await until(service, lambda: len(there.came) == 2 * room)
            assert one.in_flight == two.in_flight == room
        await settled(service, one, two)
        assert len(there.taken) == 40 == len(await fed(site))
        assert set(there.came.values()) == {1}


async def test_a_receiver_that_is_gone_turns_its_webhook_off(service: Service) -> None:
    site = await service.site()
    async with receiver(service.clock) as there, delivering(service):
        await hooked(site, there)
        there.mood = lambda _: 410
        await happen(site, 1)
        async with asyncio.timeout(PATIENCE):
            while (await site.client.webhooks.ListWebhooks(ListWebhooksRequest())).webhooks[0].state != (
                WebhookState.WEBHOOK_STATE_DISABLED
            ):
                pass
        [webhook] = (await site.client.webhooks.ListWebhooks(ListWebhooksRequest())).webhooks
        assert webhook.disabled_reason == "gone"


async def test_a_private_address_is_not_called(service: Service) -> None:
    """Names are public to the service, and led elsewhere when the post is made."""
    site = await service.site()
    made = CreateWebhookRequest(url="https://hook.example/x")
    await site.client.webhooks.CreateWebhook(made)

    async def private(host: str) -> list[Any]:
        from ipaddress import ip_address

        return [ip_address("127.0.0.1")]

    web = Web(Addresses(resolve=private), service.clock)
    async with delivering(service, web=web) as deliverer:
        await happen(site, 1)
        await settled(service, deliverer)
    error = select(DeliveryRow.error)
    found = await service.core.database.read(lambda tx: rows.found(tx, error))
    assert found == ["forbidden_address"]


async def test_a_core_that_is_away_is_asked_again(service: Service) -> None:
    site, pauses = await service.site(), []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    with nobody() as port:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as nowhere:
            web = Web(Addresses(dev=True), service.clock)
            away = Deliverer(nowhere, service.secrets.gateway_key, web, service.core.log, pause=pause)
            away.start()
            try:
                await until(service, lambda: len(pauses) >= 4)
            finally:
                await away.stop()
    async with receiver(service.clock) as there:
        assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
        async with delivering(service) as deliverer:
            await hooked(site, there)
            await happen(site, 1)
            await settled(service, deliverer)
            assert len(there.taken) == 1
