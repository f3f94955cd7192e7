"""Gateways at two servers: each post is leased once, and in the order of its subject."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from authy_grpc.service.delivery import Post
from authy_grpc.store.vault import Vault
from tests.clock import TurnedClock
from tests.leasing import GATEWAY, Office, another_server

SUBJECTS = 9


@pytest.fixture
async def offices(
    database_url: str, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[list[Office]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(another_server(database_url, vault, clock, random))
            for _ in range(2)
        ]


async def test_two_servers_lease_each_post_once(
    offices: list[Office], figure: Callable[[int, int], int]
) -> None:
    one, rounds, taken = offices[0], figure(6, 200), list[Post]()
    sites = [await one.site(f"app_{number}") for number in range(2)]
    webhooks = [await one.hook(site) for site in sites for _ in range(2)]
    order: dict[tuple[str, str], list[str]] = {}
    for round_ in range(rounds):
        for site in sites:
            subjects = [f"{site.application_id} {number}" for number in range(SUBJECTS)]
            ids = await offices[round_ % 2].happen(site, *subjects)
            for subject, event_id in zip(subjects, ids, strict=True):
                order.setdefault((site.application_id, subject), []).append(event_id)
    in_flight = Counter[str]()
    most = 0

    async def work(office: Office) -> None:
        nonlocal most
        idle = 0
        while idle < 3:
            posts = await office.deliveries.take(25)
            idle = 0 if posts else idle + 1
            in_flight.update(post.delivery_id[-4:] for post in posts)
            most = max(most, *in_flight.values(), 0)
            for post in posts:
                taken.append(post)
                in_flight[post.delivery_id[-4:]] -= 1
                await office.report(post)

    await asyncio.gather(*[work(office) for office in offices for _ in range(3)])
    # Whoever came while others held all that was left may have gone too early.
    taken += await one.deliver_all()
    assert len(taken) == len(webhooks) * SUBJECTS * rounds
    assert set(Counter(post.delivery_id for post in taken).values()) == {1}
    assert {post.attempt for post in taken} == {1} and most <= 10
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
    first = [await asyncio.wait_for(anext(stream), 20) for _ in range(2)]
    for post in first:
        await two.report(post)
    waiting = asyncio.ensure_future(anext(stream))
    await one.deliveries.look()
    assert (await asyncio.wait_for(waiting, 20)).lease_expire_time == one.clock() + timedelta(seconds=60)
    await stream.aclose()
