"""Gateways at two servers: each post is leased once, and in the order of its subject."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain

import pytest
from sqlmodel import col, select

from authy_grpc.service.delivery import Post
from authy_grpc.store.tables import DeliveryRow
from authy_grpc.store.vault import Vault
from tests import rows
from tests.clock import TurnedClock
from tests.leasing import GATEWAY, Office, another_server
from tests.rushing import PATIENCE

# So many are in flight for one webhook at a time, and more are due.
MOST = 10
SUBJECTS = 13


@pytest.fixture
async def offices(
    database_url: str, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[list[Office]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(another_server(database_url, vault, clock, random))
            for _ in range(2)
        ]


@dataclass
class Race:
    """What gateways have taken at servers.

    Attributes:
        most: by webhook: so many of its posts were leased at a time, as the database has it.
    """

    taken: list[Post] = field(default_factory=list)
    most: Counter[str] = field(default_factory=Counter)

    async def take(self, office: Office) -> list[Post]:
        """Take some of what is due."""
        posts = await office.deliveries.take(25)
        self.taken += posts
        for webhook_id, count in (await leased(office)).items():
            self.most[webhook_id] = max(self.most[webhook_id], count)
        return posts

    async def hold(self, offices: list[Office]) -> list[Post]:
        """Take all that is due, and report nothing."""
        found = await asyncio.gather(*map(self.take, offices))
        while posts := await self.take(offices[0]):
            found.append(posts)
        return [*chain.from_iterable(found)]

    async def work(self, office: Office) -> None:
        """Take and report, until nothing has come for a while."""
        idle = 0
        while idle < 3:
            posts = await self.take(office)
            idle = 0 if posts else idle + 1
            for post in posts:
                await office.report(post)


async def leased(office: Office) -> Counter[str]:
    """How many posts of each webhook are leased, as the database has it."""
    found = select(DeliveryRow.webhook_id).where(col(DeliveryRow.lease_until) > office.clock())
    return await office.database.read(lambda tx: Counter(rows.found(tx, found)))


async def test_two_servers_lease_each_post_once(
    offices: list[Office], figure: Callable[[int, int], int]
) -> None:
    one, rounds, race = offices[0], figure(6, 200), Race()
    sites = [await one.site(f"app_{number}") for number in range(2)]
    webhooks = [await one.hook(site) for site in sites for _ in range(2)]
    order: dict[tuple[str, str], list[str]] = {}
    for round_ in range(rounds):
        for site in sites:
            subjects = [f"{site.application_id} {number}" for number in range(SUBJECTS)]
            ids = await offices[round_ % 2].happen(site, *subjects)
            for subject, event_id in zip(subjects, ids, strict=True):
                order.setdefault((site.application_id, subject), []).append(event_id)
    # At first nobody reports: each webhook comes to its limit, which all that follows is held against.
    full = {webhook.webhook_id: MOST for webhook in webhooks}
    held = await race.hold(offices * 3)
    assert await leased(one) == full
    for post in held:
        await one.report(post)
    await asyncio.gather(*map(race.work, offices * 3))
    # Whoever came while others held all that was left may have gone too early.
    taken = race.taken + await one.deliver_all()
    assert len(taken) == len(webhooks) * SUBJECTS * rounds
    assert set(Counter(post.delivery_id for post in taken).values()) == {1}
    assert {post.attempt for post in taken} == {1} and race.most == full
    for webhook in webhooks:
        own = [
            post.headers["webhook-id"] for post in taken if post.delivery_id[-4:] == webhook.webhook_id[-4:]
        ]
        for events in order.values():
            if found := [each for each in own if each in set(events)]:
                assert found == events


async def test_a_gateway_that_dies_is_made_good_by_the_other(offices: list[Office]) -> None:
    one, two = offices
    site = await one.site()
    await one.hook(site)
    happened = await one.happen(site, "a", "b", "a", "b")
    dead = await one.deliveries.take(10)
    assert len(dead) == 2 and await two.deliveries.take(10) == []
    one.clock.turn(seconds=60)
    again = await two.deliver_all()
    assert [post.headers["webhook-id"] for post in again] == happened
    for post in dead:
        await one.report(post, 500)
    assert await two.deliver_all() == []
    assert {row.state for row in await one.rows()} == {"DELIVERED"}


async def test_what_is_reported_to_another_server_makes_room(offices: list[Office]) -> None:
    one, two = offices
    site = await one.site()
    await one.hook(site)
    await one.happen(site, *"abcd")
    stream = one.deliveries.lease(GATEWAY, 2)
    first = [await asyncio.wait_for(anext(stream), PATIENCE) for _ in range(2)]
    for post in first:
        await two.report(post)
    waiting = asyncio.ensure_future(anext(stream))
    await one.deliveries.look()
    third = await asyncio.wait_for(waiting, PATIENCE)
    assert third.lease_expire_time == one.clock() + timedelta(seconds=60)
    await stream.aclose()
