"""What a report meets on PostgreSQL that another server takes down: an event, and a lease, beside it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from authy_grpc.service import outcome
from authy_grpc.service.delivery import Post
from authy_grpc.service.outcome import Report
from authy_grpc.store.engine import connect
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from tests.clock import TurnedClock
from tests.holding import waiting
from tests.leasing import Office, another_server, events_of
from tests.threads import PATIENCE


def report_of(post: Post) -> Report:
    """The word of a gateway that a post has arrived."""
    return Report(
        delivery_id=post.delivery_id,
        attempt=post.attempt,
        http_status=200,
        error="",
        duration=timedelta(0),
        retry_after=None,
    )


@contextmanager
def reporting(office: Office, post: Post) -> Iterator[None]:
    """Another server takes a report down, and commits at the end."""
    engine = connect(office.database.url, writes=True, connections=1)
    try:
        with engine.begin() as connection:
            session = Tx(connection, office.database.tools)
            outcome.take_down(session, [report_of(post)])
            # What is not waited for runs when it likes: here it is to run before the other.
            session.execute_raw("SELECT 1", None)
            yield
    finally:
        engine.dispose()


@pytest.fixture
async def office(
    postgres_url: str, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[Office]:
    async with another_server(postgres_url, vault, clock, random) as made:
        yield made


async def test_an_event_beside_the_report_of_the_last_post_is_posted(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    await office.happen(site, "a")
    (post,) = await office.deliveries.take(10)
    with reporting(office, post):
        happened = await office.happen(site, "a")
    # Each saw nothing of the other.
    assert [(row.state, row.waits) for row in await office.rows()] == [
        ("DELIVERED", False),
        ("PENDING", True),
    ]
    assert await office.deliveries.take(10) == []
    assert await office.deliveries.look() == 1
    assert events_of(await office.deliver_all()) == happened


async def test_what_a_late_report_ends_meanwhile_is_not_posted_again(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    happened = await office.happen(site, "a", "a")
    (post,) = await office.deliveries.take(10)
    office.clock.turn(seconds=30)
    await office.happen(site, "b")
    await office.deliver_all()
    # Shortly after a success the next one is as usual, and locks no webhook.
    office.clock.turn(seconds=30)
    with reporting(office, post):
        taking = asyncio.ensure_future(office.deliveries.take(10))
        await asyncio.wait_for(waiting(office.database), PATIENCE)
    assert await taking == []
    assert [row.attempts for row in await office.rows()] == [1, 0, 1]
    assert events_of(await office.deliver_all()) == happened[1:]
