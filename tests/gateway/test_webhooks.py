"""Posts arrive: in order for each subject, at least once, whatever the receiver does meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import cycle
from typing import Any

import grpc.aio
import pytest
from sqlmodel import Session, col, select

from authy_grpc.outbound.web import Addresses, Web
from authy_grpc.store import lease as leases
from authy_grpc.store.tables import DeliveryRow
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest
from authy_grpc.v1.event_pb2 import ListEventsRequest
from authy_grpc.v1.webhook_pb2 import CreateWebhookRequest, ListWebhooksRequest, WebhookState
from gateway.webhooks import Deliverer
from tests.gateway.receiving import HANGS_UP, STALLS, Receiver, receiver
from tests.harness import Service, Site

Figure = Callable[[int, int], int]
PATIENCE = 20


@asynccontextmanager
async def delivering(
    service: Service, channel: Any = None, *, seconds: float = 15
) -> AsyncIterator[Deliverer]:
    """A gateway's deliverer, over a socket where no other channel is given."""
    web = Web(Addresses(dev=True), service.clock, limit=timedelta(seconds=seconds))
    key = service.secrets.gateway_key
    made = Deliverer(channel or service.channel(), key, web, service.core.log)
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
                    CreateEnrollmentRequest(custom_user_id=f"{name}-{each}")
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


async def settled(service: Service, *deliverers: Deliverer) -> None:
    """Wait until nothing is due, leased or under way by the turned clock."""

    def busy(session: Session) -> bool:
        leased = select(DeliveryRow.sequence).where(col(DeliveryRow.lease_until) > service.clock())
        return leases.any_due(session, service.clock()) or session.exec(leased.limit(1)).first() is not None

    async with asyncio.timeout(PATIENCE):
        # The read first: it lets the rest have its turn.
        while await service.core.database.read(busy) or any(each.in_flight for each in deliverers):
            pass


async def waiting(service: Service) -> int:
    """How many posts are neither delivered nor given up."""

    def work(session: Session) -> int:
        return len(session.exec(select(DeliveryRow.sequence).where(DeliveryRow.state == "PENDING")).all())

    return await service.core.database.read(work)


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


async def test_an_hour_without_the_receiver_is_made_good(service: Service, figure: Figure) -> None:
    site, count = await service.site(), figure(60, 5_000)
    async with receiver(service.clock) as there, delivering(service) as deliverer:
        await hooked(site, there)
        there.mood = lambda _: HANGS_UP
        for part in range(60):
            await happen(site, count // 60 or 1, f"part{part}")
            service.clock.turn(minutes=1)
            await service.due()
            await settled(service, deliverer)
        events = await fed(site)
        assert not there.taken and await waiting(service) == len(events) >= count * 0.9
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


async def test_a_receiver_that_fails_resets_and_stalls_gets_all_of_it(
    service: Service, figure: Figure
) -> None:
    site, phone = await service.site(), await service.phone()
    moods = cycle([204, 500, 204, 302, 204, HANGS_UP, 204, 204, STALLS])
    async with receiver(service.clock) as there, delivering(service, seconds=0.3) as deliverer:
        await hooked(site, there)
        for each in range(figure(3, 60)):
            await service.enroll(site, phone, f"user-{each}")
        there.mood = lambda _: next(moods)
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
        # With a control: some came more than once, under the same id.
        assert sum(there.came.values()) > len(events) == len(there.came)


async def test_what_a_gateway_left_another_one_posts(service: Service) -> None:
    site = await service.site()
    async with receiver(service.clock) as there:
        await hooked(site, there)
        there.mood = lambda _: STALLS
        async with delivering(service) as first:
            await happen(site, 1)
            async with asyncio.timeout(PATIENCE):
                while not there.came:
                    await service.core.database.read(lambda session: None)
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
        await happen(site, 3)
        async with asyncio.timeout(PATIENCE):
            while not there.came:
                await service.core.database.read(lambda session: None)
            await deliverer.stop()
        assert not deliverer.in_flight


async def test_two_gateways_share_the_posts(service: Service) -> None:
    site = await service.site()
    async with receiver(service.clock) as there, delivering(service) as one, delivering(service) as two:
        await hooked(site, there)
        await happen(site, 40)
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
    deliverer = Deliverer(service.channel(), service.secrets.gateway_key, web, service.core.log)
    deliverer.start()
    await happen(site, 1)
    async with asyncio.timeout(PATIENCE):
        while True:
            errors = await service.core.database.read(
                lambda session: session.exec(select(DeliveryRow.error)).first()
            )
            if errors:
                break
    await deliverer.stop()
    assert errors == "forbidden_address"


async def test_a_core_that_is_away_is_asked_again(service: Service) -> None:
    site, pauses = await service.site(), []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async with receiver(service.clock) as there, grpc.aio.insecure_channel("127.0.0.1:1") as nowhere:
        web = Web(Addresses(dev=True), service.clock)
        away = Deliverer(nowhere, service.secrets.gateway_key, web, service.core.log, pause=pause)
        away.start()
        async with asyncio.timeout(PATIENCE):
            while len(pauses) < 4:
                await service.core.database.read(lambda session: None)
        await away.stop()
        assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
        async with delivering(service) as deliverer:
            await hooked(site, there)
            await happen(site, 1)
            await settled(service, deliverer)
            assert len(there.taken) == 1
