"""Posts behind others of their subject wait in no index of what is due, and none waits for nobody."""

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from random import Random

import pytest
from sqlalchemy import text

from authy_grpc.service.delivery import Post
from authy_grpc.store import waiting
from authy_grpc.store.database import Database
from authy_grpc.store.vault import Vault
from tests.clock import TurnedClock
from tests.leasing import Office, events_of
from tests.works import does

FORGET = text("UPDATE delivery SET waits = (1 = 1)")


@pytest.fixture
async def office(
    database: Database, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]
) -> Office:
    return Office(database, vault, clock, random)


async def hints(office: Office) -> dict[tuple[str, str], list[bool]]:
    """Of what is left, by webhook and subject: whether each waits."""
    found = defaultdict(list)
    for row in await office.rows():
        if row.state == "PENDING":
            found[row.webhook_id, row.subject_id].append(row.waits)
    return found


async def are_right(office: Office) -> bool:
    """Whether of each subject all wait but the first."""
    found = await hints(office)
    return all(waits == [number > 0 for number in range(len(waits))] for waits in found.values())


async def test_all_but_the_first_of_a_subject_wait(office: Office) -> None:
    site = await office.site()
    webhook, other = await office.hook(site), await office.hook(site, "code.*")
    await office.happen(site, "a", "b", "a")
    await office.happen(site, "b", "c", type="code.sent")
    found = await hints(office)
    first, second = webhook.webhook_id, other.webhook_id
    assert found == {
        (first, "a"): [False, True],
        (first, "b"): [False, True],
        (first, "c"): [False],
        (second, "b"): [False],
        (second, "c"): [False],
    }


async def test_a_failure_writes_its_own_row_alone(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    await office.happen(site, *"aaaab")
    before = await office.rows()
    (post, _) = await office.deliveries.take(10)
    office.clock.turn(seconds=1)
    await office.report(post, 500)
    after = await office.rows()
    assert before[1:4] == after[1:4] and before[0] != after[0]
    # What waits for another has no time of its own.
    first, *behind, other = (await office.log(site, webhook))[::-1]
    assert [each.next_attempt_time for each in behind] == [None] * 3
    assert first.next_attempt_time == after[0].due_time > office.clock()
    assert other.next_attempt_time == office.clock() + timedelta(seconds=59)


async def test_whoever_ends_a_post_lets_the_next_one_go(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    delivered, given_up, dropped, last = await office.happen(site, *"aaaa")
    office.clock.turn(seconds=1)
    (post,) = await office.deliveries.take(10)
    await office.report(post)
    assert events_of([post]) == [delivered] and await are_right(office)
    assert (await office.rows())[1].due_time == office.clock()
    tried = text(f"UPDATE delivery SET failures = 10 WHERE event_id = '{given_up}'")
    await office.database.write(does(tried))
    (post,) = await office.deliveries.take(10)
    await office.report(post, 500)
    assert (await office.rows())[1].state == "FAILED" and await are_right(office)
    await office.database.write(does(text(f"DELETE FROM event WHERE event_id = '{dropped}'")))
    assert await office.deliveries.take(10) == []
    assert await are_right(office)
    assert events_of(await office.deliver_all()) == [last]


async def test_what_is_posted_again_goes_before_what_has_happened_since(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    first = await office.happen(site, "a")
    await office.deliver_all()
    later = await office.happen(site, "a", "a")
    (post,) = await office.deliveries.take(10)
    again = office.webhooks.redeliver
    assert await again(site, webhook.webhook_id, event_id=first[0]) == 1
    assert await hints(office) == {(webhook.webhook_id, "a"): [False, True, True]}
    # It was on its way.
    assert await office.deliveries.take(10) == []
    await office.report(post, 500)
    assert events_of(await office.deliver_all()) == [*first, *later]
    assert await again(site, webhook.webhook_id, event_id=later[1]) == 1
    assert await again(site, webhook.webhook_id, event_id=later[0]) == 1
    assert await hints(office) == {(webhook.webhook_id, "a"): [False, True]}
    assert events_of(await office.deliver_all()) == later


async def test_of_all_that_is_posted_again_the_first_of_each_subject_goes(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    happened = await office.happen(site, *"abaab")
    since = office.clock()
    await office.database.write(
        does(
            text("UPDATE delivery SET state = 'FAILED', last_attempt_time = 1795521600000 WHERE attempts = 0")
        )
    )
    more = await office.happen(site, *"bc")
    assert await office.webhooks.redeliver(site, webhook.webhook_id, failed_since=since) == 5
    assert await are_right(office)
    delivered = events_of(await office.deliver_all())
    for subject in ([0, 2, 3], [1, 4, 5], [6]):
        own = [[*happened, *more][number] for number in subject]
        assert [each for each in delivered if each in own] == own


async def test_a_look_finds_what_waits_for_nobody(office: Office) -> None:
    site = await office.site()
    await office.hook(site)
    disabled = await office.hook(site)
    happened = await office.happen(site, *"aabcb")
    await office.database.write(does(FORGET))
    await office.database.write(
        does(text(f"UPDATE webhook SET state = 'DISABLED' WHERE webhook_id = '{disabled.webhook_id}'"))
    )
    assert await office.deliveries.take(10) == []
    assert await office.deliveries.look() == 3
    # The next search comes later.
    await office.database.write(does(FORGET))
    assert await office.deliveries.look() == 0
    office.deliveries._next_search = 0
    assert await office.deliveries.look() == 3
    assert sorted(events_of(await office.deliver_all())) == sorted(happened)


async def test_a_search_goes_on_where_it_has_stopped(office: Office) -> None:
    one, two = await office.site("app_1"), await office.site("app_2")
    for site in (one, one, two):
        await office.hook(site)
    for site in (one, two):
        await office.happen(site, *"aabcdaabcd")
    await office.database.write(does(FORGET))
    whole, place = await office.database.read(lambda tx: waiting.forgotten(tx, waiting.START))
    assert len(whole) == 3 * 4 and place == waiting.START
    for steps in range(1, 20):
        found, place, turns = list[int](), waiting.START, 0
        while True:
            some, place = await office.database.read(partial(waiting.forgotten, place=place, steps=steps))
            found += some
            turns += 1
            if place == waiting.START:
                break
        # The place where it stops is seen twice.
        assert sorted(set(found)) == sorted(whole) and turns >= 12 // steps


async def test_the_hints_are_right_whatever_happens(
    office: Office, figure: Callable[[int, int], int]
) -> None:
    site, chance = await office.site(), Random(11)
    webhooks = [await office.hook(site) for _ in range(2)]
    happened = list[str]()
    held = list[Post]()
    for _ in range(figure(60, 2000)):
        match chance.randrange(6):
            case 0:
                happened += await office.happen(site, *chance.choices("abc", k=chance.randint(1, 4)))
            case 1:
                held += await office.deliveries.take(chance.randint(1, 5))
            case 2 | 3:
                for post in held:
                    await office.report(post, chance.choice([200, 200, 500]))
                held.clear()
            case 4 if happened:
                hook = chance.choice(webhooks).webhook_id
                await office.webhooks.redeliver(site, hook, event_id=chance.choice(happened))
            case _:
                office.clock.turn(seconds=chance.choice([1, 30, 90]))
        assert await are_right(office)
    assert await office.deliveries.look() == 0
    for post in held:
        await office.report(post)
    office.clock.turn(days=1)
    await office.deliver_all()
    assert {row.state for row in await office.rows()} == {"DELIVERED"}
