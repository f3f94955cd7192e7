"""Posts go out once, in order for each subject, again when they fail, and wait for nobody else's receiver."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from authy_grpc.domain.delivery import SCHEDULE
from authy_grpc.domain.webhook import WebhookState
from authy_grpc.service.delivery import Post
from authy_grpc.store import retention
from authy_grpc.store.database import Database
from authy_grpc.store.vault import Vault
from tests.clock import TurnedClock
from tests.leasing import GATEWAY, URL, Office, events_of
from tests.works import does, slow_commit

PATIENCE = 20


@pytest.fixture
async def office(
    database: Database, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]
) -> Office:
    return Office(database, vault, clock, random)


async def following(stream: AsyncGenerator[Post, None], count: int = 1) -> list[Post]:
    """The next posts of a stream."""
    return [await asyncio.wait_for(anext(stream), PATIENCE) for _ in range(count)]


async def test_a_post_is_what_standard_webhooks_asks_for(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    (event_id,) = await office.happen(site, "ada", type="code.rejected")
    (post,) = await office.deliveries.take(10)
    assert (post.url, post.attempt) == (URL, 1)
    assert post.lease_expire_time == office.clock() + timedelta(seconds=60)
    assert post.headers["webhook-id"] == event_id
    assert post.headers["webhook-timestamp"] == str(int(office.clock().timestamp()))
    body = json.loads(post.body)
    assert (body["type"], body["timestamp"]) == ("code.rejected", "2026-11-24T12:00:00Z")
    assert list(body) == ["type", "timestamp", "data"]
    assert body["data"]["eventId"] == event_id and body["data"]["user"]["customUserId"] == "ada ü"
    assert URL not in repr(post) and "ada" not in repr(post)


async def test_events_are_posted_to_those_who_want_them(office: Office) -> None:
    one, two = await office.site("app_1"), await office.site("app_2")
    wanting = {
        "all": await office.hook(one),
        "users": await office.hook(one, "user.*"),
        "two": await office.hook(one, "code.sent", "user.locked", "user.*"),
        "cut": await office.hook(one, "code.s*", "code"),
        "nothing": await office.hook(
            one, "USER.*", "user.Locked", "user%*", "code_*", "c?de.sent", "users.*"
        ),
        "theirs": await office.hook(two),
    }
    for type in ("user.locked", "code.sent", "code.rejected"):
        await office.happen(one, "ada", type=type)
    names = {webhook.webhook_id: name for name, webhook in wanting.items()}
    found = Counter((names[row.webhook_id], row.event_type) for row in await office.rows())
    assert set(found.values()) == {1}
    assert {name: {type for each, type in found if each == name} for name in wanting} == {
        "all": {"user.locked", "code.sent", "code.rejected"},
        "users": {"user.locked"},
        "two": {"user.locked", "code.sent"},
        "cut": {"code.sent"},
        "nothing": set(),
        "theirs": set(),
    }


async def test_a_subjects_posts_wait_for_each_other_and_for_no_others(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    a1, b1, a2, a3, b2 = await office.happen(site, "a", "b", "a", "a", "b")
    first = await office.deliveries.take(10)
    assert events_of(first) == [a1, b1]
    await office.report(first[1])
    second = await office.deliveries.take(10)
    assert events_of(second) == [b2]
    await office.report(first[0], 500)
    await office.report(second[0])
    assert await office.deliveries.take(10) == []
    office.clock.turn(seconds=5)
    assert events_of(await office.deliver_all()) == [a1, a2, a3]


async def test_ten_are_in_flight_for_a_webhook_and_webhooks_take_turns(office: Office) -> None:
    site = await office.site()
    webhooks = [await office.hook(site) for _ in range(3)]
    await office.happen(site, *map(str, range(30)))
    for _ in range(2):
        posts = await office.deliveries.take(6)
        assert sorted(Counter(post.delivery_id[-4:] for post in posts).values()) == [2, 2, 2]
    posts = await office.deliveries.take(1000)
    assert len(posts) == 3 * 6
    assert await office.deliveries.take(1000) == []
    await office.report(posts[0])
    assert len(await office.deliveries.take(1000)) == 1
    assert len(webhooks) * 10 == sum(row.lease_until is not None for row in await office.rows())


async def test_a_site_has_a_hundred_in_flight_at_most(office: Office) -> None:
    slow, other = await office.site("app_1"), await office.site("app_2")
    for _ in range(12):
        await office.hook(slow)
    await office.happen(slow, *(f"user-{each}" for each in range(10)))
    first = await office.deliveries.take(1000)
    assert len(first) == 100 and await office.deliveries.take(1000) == []
    # What it holds is in nobody's way.
    await office.hook(other)
    await office.happen(other, "ada")
    assert len(await office.deliveries.take(1000)) == 1
    for post in first[:3]:
        await office.report(post)
    assert len(await office.deliveries.take(1000)) == 3


async def test_whoever_was_longest_without_is_next(office: Office) -> None:
    site = await office.site()
    for _ in range(3):
        await office.hook(site)
    await office.happen(site, *"abcdef")
    order = []
    for _ in range(6):
        office.clock.turn(seconds=0.001)
        (post,) = await office.deliveries.take(1)
        order.append(post.delivery_id[-4:])
    assert len(set(order[:3])) == 3 and order[:3] == order[3:]


async def test_a_lease_that_ends_is_taken_over_and_the_first_ones_word_counts_for_nothing(
    office: Office,
) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, "ada")
    (first,) = await office.deliveries.take(10)
    office.clock.turn(seconds=59.999)
    assert await office.deliveries.take(10) == []
    office.clock.turn(seconds=0.001)
    (second,) = await office.deliveries.take(10)
    assert (first.delivery_id, first.attempt, second.attempt) == (second.delivery_id, 1, 2)
    assert events_of([first]) == events_of([second])
    for status in (200, 500, 410):
        await office.report(first, status)
    (delivery,) = await office.log(site, webhook)
    assert (delivery.state, delivery.attempts, delivery.http_status) == ("PENDING", 2, 0)
    assert (await office.one(site, webhook)).state is WebhookState.ENABLED
    await office.report(second, 500)
    for _ in range(2):  # once reported, it is over
        await office.report(second)
    (delivery,) = await office.log(site, webhook)
    assert (delivery.state, delivery.http_status) == ("PENDING", 500)


async def test_a_lease_that_has_ended_may_be_reported_until_it_is_taken_over(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, "ada")
    (post,) = await office.deliveries.take(10)
    office.clock.turn(hours=1)
    await office.report(post)
    assert [each.state for each in await office.log(site, webhook)] == ["DELIVERED"]
    assert await office.deliveries.take(10) == []


async def test_a_post_is_tried_by_the_schedule_and_then_given_up(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    failing, waiting = await office.happen(site, "ada", "ada")
    for number, pause in enumerate(SCHEDULE, 1):
        (post,) = await office.deliveries.take(10)
        assert (events_of([post]), post.attempt) == ([failing], number)
        await office.report(post, 0, error="timeout")
        # Something else gets through, or the webhook would be spared.
        await office.webhooks.test(site, webhook.webhook_id)
        await office.deliver_all()
        (delivery,) = [each for each in await office.log(site, webhook) if each.event_id == failing]
        assert (delivery.attempts, delivery.error) == (number, "timeout")
        assert delivery.next_attempt_time is not None
        late = delivery.next_attempt_time - office.clock()
        assert abs(late - pause) <= pause / 100_000 + timedelta(milliseconds=1)
        office.clock.now = delivery.next_attempt_time - timedelta(milliseconds=1)
        assert await office.deliveries.take(10) == []
        office.clock.turn(seconds=0.001)
    (post,) = await office.deliveries.take(10)
    await office.report(post, 503)
    (delivery,) = [each for each in await office.log(site, webhook) if each.event_id == failing]
    assert (delivery.state, delivery.attempts, delivery.http_status) == ("FAILED", 11, 503)
    assert delivery.next_attempt_time is None
    # What waited for it goes on.
    assert events_of(await office.deliver_all()) == [waiting]


@pytest.mark.parametrize("word", ["dns", "forbidden_address"])
async def test_a_name_that_is_not_there_is_told_as_one_that_leads_inside(office: Office, word: str) -> None:
    """Whatever word a gateway of an earlier version has for it, and however long its look-up took."""
    site = await office.site()
    await office.hook(site)
    await office.happen(site, "a")
    (post,) = await office.deliveries.take(1)
    await office.report(post, 0, error=word)
    (row,) = await office.rows()
    assert (row.error, row.duration_millis) == ("forbidden_address", 0)
    # The control.
    office.clock.turn(days=1)
    (post,) = await office.deliveries.take(1)
    await office.report(post, 0, error="timeout")
    (row,) = await office.rows()
    assert (row.error, row.duration_millis) == ("timeout", 250)


async def test_a_receiver_may_ask_for_a_pause(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, "ada")
    await office.fail_all(429, retry_after=timedelta(minutes=20))
    (delivery,) = await office.log(site, webhook)
    assert delivery.next_attempt_time == office.clock() + timedelta(minutes=20)
    office.clock.turn(minutes=20)
    await office.fail_all(503, retry_after=timedelta(days=9))
    (delivery,) = await office.log(site, webhook)
    assert delivery.next_attempt_time == office.clock() + timedelta(hours=1)


async def test_after_five_failures_one_post_a_minute_probes(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, *map(str, range(40)))
    assert [await office.fail_all() for _ in range(2)] == [10, 0]
    probed = 0
    for _ in range(59):
        office.clock.turn(seconds=59.999)
        assert await office.deliveries.take(1000) == []
        office.clock.turn(seconds=0.001)
        probed += await office.fail_all()
    assert probed == 59
    office.clock.turn(minutes=1)
    (probe,) = await office.deliveries.take(1000)
    # No second one while it is out, nor before a minute has gone by.
    assert await office.deliveries.take(1000) == []
    await office.report(probe)
    delivered = await office.deliver_all()
    assert len(delivered) == 39 and {each.state for each in await office.log(site, webhook)} == {"DELIVERED"}


async def test_a_probe_goes_out_though_nothing_is_due_and_costs_nothing(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, "ada")
    for _ in range(5):
        await office.fail_all()
        office.clock.turn(hours=1)
    before = (await office.rows())[0]
    assert (before.failures, before.due_time > office.clock() - timedelta(hours=1)) == (5, True)
    await office.fail_all()
    (delivery,) = await office.log(site, webhook)
    # By its schedule it waits for three hours now; each minute it is a probe.
    for _ in range(100):
        office.clock.turn(minutes=1)
        assert await office.fail_all() == 1
    (after,) = await office.rows()
    assert (after.failures, after.state) == (6, "PENDING") and after.due_time == delivery.next_attempt_time
    office.clock.turn(minutes=1)
    assert len(await office.deliver_all()) == 1


async def test_an_hours_outage_loses_nothing_and_keeps_the_order(
    office: Office, figure: Callable[[int, int], int]
) -> None:
    site = await office.site()
    await office.hook(site)
    subjects = [f"user {number}" for number in range(7)]
    happened: list[tuple[str, str]] = []
    for _ in range(60):
        for _ in range(figure(1, 12)):
            ids = await office.happen(site, *subjects)
            happened += zip(subjects, ids, strict=True)
        await office.fail_all()
        office.clock.turn(minutes=1)
    delivered = events_of(await office.deliver_all())
    # The minute of the last probe may not be over.
    office.clock.turn(minutes=1)
    delivered += events_of(await office.deliver_all())
    assert sorted(delivered) == sorted(event_id for _, event_id in happened)
    for subject in subjects:
        own = [event_id for name, event_id in happened if name == subject]
        assert [each for each in delivered if each in set(own)] == own


async def test_410_turns_a_webhook_off_and_the_site_is_told(office: Office) -> None:
    site = await office.site()
    webhook, other = await office.hook(site), await office.hook(site, "webhook.*")
    await office.happen(site, "ada")
    await office.fail_all(410)
    found = await office.one(site, webhook)
    assert (found.state, found.disabled_reason) == (WebhookState.DISABLED, "gone")
    assert await office.types() == ["user.locked", "webhook.disabled"]
    (post,) = await office.deliver_all()
    body = json.loads(post.body)
    assert body["data"]["webhook"] == {"webhookId": webhook.webhook_id, "reason": "gone"}
    assert [each.event_type for each in await office.log(site, webhook)] == ["user.locked"]
    assert [each.event_type for each in await office.log(site, other)] == ["webhook.disabled"]
    # It is kept, and goes out when the webhook is turned on.
    await office.webhooks.update(site, webhook.webhook_id, {"state": WebhookState.ENABLED})
    assert (await office.one(site, webhook)).disabled_reason == ""
    assert len(await office.deliver_all()) == 1


async def test_five_days_without_a_success_turn_a_webhook_off(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, "ada")
    await office.fail_all()
    office.clock.turn(days=5, seconds=-1)
    await office.fail_all()
    assert (await office.one(site, webhook)).state is WebhookState.ENABLED
    # A success in between begins anew.
    await office.webhooks.test(site, webhook.webhook_id)
    await office.deliver_all()
    office.clock.turn(hours=1)
    await office.fail_all()
    assert (await office.one(site, webhook)).state is WebhookState.ENABLED
    office.clock.turn(days=5)
    await office.fail_all()
    found = await office.one(site, webhook)
    assert (found.state, found.disabled_reason) == (WebhookState.DISABLED, "failing")
    assert (await office.types()).count("webhook.disabled") == 1


async def test_another_address_is_tried_at_once(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, *map(str, range(10)))
    await office.fail_all()
    assert await office.deliver_all() == []
    await office.webhooks.update(site, webhook.webhook_id, {"url": "https://new.example/"})
    delivered = await office.deliver_all()
    assert len(delivered) == 10 and {post.url for post in delivered} == {"https://new.example/"}


async def test_the_last_success_is_noted_to_the_minute(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    for _ in range(4):
        await office.happen(site, "ada")
        await office.deliver_all()
        noted = (await office.one(site, webhook)).last_success_time
        assert noted is not None and timedelta(0) <= office.clock() - noted < timedelta(minutes=1)
        office.clock.turn(seconds=50)


async def test_posts_go_when_their_events_do(office: Office, database: Database) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, "ada", "bob")
    office.clock.turn(days=29)
    kept = await office.happen(site, "ada")
    office.clock.turn(days=2)
    await database.write(lambda tx: retention.prune(tx))
    assert [each.event_id for each in await office.log(site, webhook)] == kept
    # The next look lets go what waited for one that went by its age.
    assert await office.deliveries.look() == 1
    assert events_of(await office.deliver_all()) == kept


async def test_a_post_whose_event_is_gone_is_dropped(office: Office, database: Database) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    _, kept = await office.happen(site, "ada", "bob")
    await database.write(does(text("DELETE FROM event WHERE subject_id = 'ada'")))
    assert events_of(await office.deliveries.take(10)) == [kept]
    assert [each.event_id for each in await office.log(site, webhook)] == [kept]


async def test_a_stream_hands_out_what_happens_and_what_falls_due(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    async with aclosing(office.deliveries.lease(GATEWAY, 100)) as stream:
        before = await office.happen(site, "ada")
        posts = await following(stream)
        assert events_of(posts) == before
        waiting = asyncio.ensure_future(anext(stream))
        happened = await office.happen(site, "bob")
        assert events_of([await asyncio.wait_for(waiting, PATIENCE)]) == happened
        await office.report(posts[0], 500)
        waiting = asyncio.ensure_future(anext(stream))
        office.clock.turn(seconds=5)
        assert await office.deliveries.look() == 0
        again = await asyncio.wait_for(waiting, PATIENCE)
        assert (again.delivery_id, again.attempt) == (posts[0].delivery_id, 2)


async def test_a_gateway_gets_no_more_than_it_works_on(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    await office.happen(site, *map(str, range(8)))
    async with aclosing(office.deliveries.lease(GATEWAY, 3)) as stream:
        posts = await following(stream, 3)
        assert sum(row.lease_until is not None for row in await office.rows()) == 3
        waiting: Any = asyncio.ensure_future(anext(stream))
        await office.deliveries.look()
        # Of a lease that ends without a word, too.
        for _ in range(2):
            await office.report(posts.pop())
            posts.append(await asyncio.wait_for(waiting, PATIENCE))
            assert sum(row.lease_until is not None for row in await office.rows()) == 3
            waiting = asyncio.ensure_future(anext(stream))
        office.clock.turn(seconds=60)
        await office.deliveries.look()
        await asyncio.wait_for(waiting, PATIENCE)
        assert sum(row.lease_until is not None for row in await office.rows()) >= 3


async def test_what_did_not_get_to_a_gateway_is_there_for_the_next(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    await office.happen(site, *map(str, range(6)))
    async with aclosing(office.deliveries.lease(GATEWAY, 100)) as stream:
        (first,) = await following(stream)
    async with aclosing(office.deliveries.lease(GATEWAY, 100)) as stream:
        others = await following(stream, 5)
    assert first.delivery_id not in {post.delivery_id for post in others}
    assert {post.attempt for post in others} == {2}


async def test_a_stream_that_ends_while_posts_are_leased_gives_them_back(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    happened = await office.happen(site, "ada")
    async with aclosing(office.deliveries.lease(GATEWAY, 10)) as stream:
        with slow_commit() as (begun, go_on):
            waiting = asyncio.ensure_future(anext(stream))
            assert await asyncio.to_thread(begun.wait, PATIENCE)
            waiting.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await waiting
    (post,) = await office.deliveries.take(10)
    assert (events_of([post]), post.attempt) == (happened, 2)


async def test_a_word_about_what_was_never_handed_out_counts_for_nothing(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, "ada")
    async with aclosing(office.deliveries.lease(GATEWAY, 10)) as stream:
        (post,) = await following(stream)
        for attempt in (0, 2):
            for delivery_id in (post.delivery_id, "dlv_unknown"):
                await office.report(replace(post, delivery_id=delivery_id, attempt=attempt))
        assert [each.state for each in await office.log(site, webhook)] == ["PENDING"]
        await office.report(post)
        assert [each.state for each in await office.log(site, webhook)] == ["DELIVERED"]


async def test_a_dead_receiver_keeps_nobody_waiting(office: Office) -> None:
    site = await office.site()
    dead = [await office.hook(site, url=f"https://dead{number}.example/") for number in range(5)]
    well = [await office.hook(site) for _ in range(5)]
    for round_ in range(20):
        happened = await office.happen(site, *[f"{round_}/{number}" for number in range(5)])
        for post in await office.deliveries.take(1000):
            # The dead ones answer never: their leases stand until they end.
            if "dead" not in post.url:
                await office.report(post)
        for webhook in well:
            log = (await office.log(site, webhook))[: len(happened)]
            assert [each.event_id for each in log] == happened[::-1]
            assert {each.state for each in log} == {"DELIVERED"}
        office.clock.turn(seconds=1)
    for webhook in dead:
        assert sum(each.attempts > 0 for each in await office.log(site, webhook)) == 10
