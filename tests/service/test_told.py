"""What hits several links at once is told to each site in its own time, and is true when it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from random import Random

import pytest

from authy_grpc.domain.event import UserEvent
from authy_grpc.service import unlink
from authy_grpc.service.telling import Telling, TellingKind
from authy_grpc.store import link as links
from authy_grpc.store.database import Database
from authy_grpc.store.events import Recorded
from authy_grpc.store.tables import LinkRow, SiteKeyRow, TellingRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.clock import TurnedClock
from tests.registering import Handset, People

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
KINDS = [kind.value for kind in TellingKind]


@pytest.fixture
async def people(database_url: str, clock: TurnedClock) -> AsyncIterator[People]:
    async with People.opened(database_url, clock) as opened:
        yield opened


def telling_with(people: People, random: Callable[[int], bytes], database: Database | None = None) -> Telling:
    """Plans by a chance of our own."""
    return Telling(
        database=database or people.database,
        random=random,
    )


async def plan(people: People, telling: Telling, link: LinkRow, kind: TellingKind, times: int = 1) -> None:
    def work(tx: Tx) -> None:
        for _ in range(times):
            telling.plan(tx, link.site_id, kind)

    await people.database.write(work)


async def delays(people: People) -> list[timedelta]:
    return sorted(row.due_time - people.clock() for row in await people.rows(TellingRow))


async def told(people: People, link: LinkRow | None = None) -> list[Recorded]:
    """What sites were told, or the site of a link."""
    rows = await people.recorded(*KINDS)
    return [row for row in rows if link is None or row.subject_id == link.site_id]


async def settle(people: People) -> None:
    """Let all be told whose time has come."""
    while await people.telling.tell_due():
        pass


async def linked(people: People, sites: int = 2) -> tuple[Handset, list[LinkRow]]:
    handset, _ = await people.register()
    return handset, [await people.link(handset, f"Site{number}") for number in range(sites)]


async def test_delays_lie_between_none_and_a_week_and_about_a_day(people: People) -> None:
    _, (link,) = await linked(people, 1)
    telling = telling_with(people, Random(1).randbytes)
    await plan(people, telling, link, TellingKind.FACTORS_CHANGED, 3_000)
    drawn = await delays(people)
    mean = sum(drawn, timedelta()) / len(drawn)
    assert timedelta(0) <= drawn[0] < timedelta(minutes=5)
    assert 4 * DAY < drawn[-1] <= WEEK
    assert timedelta(hours=22) < mean < timedelta(hours=26)
    # Exponential: half of them within 24 h * ln 2, whatever time has passed.
    assert timedelta(hours=15.5) < drawn[1_500] < timedelta(hours=17.8)
    left = [each - DAY for each in drawn if each > DAY]
    assert timedelta(hours=15) < left[len(left) // 2] < timedelta(hours=18.5)


async def test_the_ends_of_chance_are_no_delay_and_none_beyond_a_week(people: People) -> None:
    _, (link,) = await linked(people, 1)
    draws = [b"\xff" * 7, b"\x00" * 7, b"\x00" * 6 + b"\xff", b"\x80" + b"\x00" * 6]

    def chance(size: int) -> bytes:
        return draws.pop(0) if size == 7 else b"\x00" * size

    await plan(people, telling_with(people, chance), link, TellingKind.FACTORS_CHANGED)
    assert await delays(people) == [timedelta(0)]
    people.clock.turn(days=1)
    (planned,) = await people.rows(TellingRow)
    await people.database.write(lambda tx: rows.remove(tx, TellingRow, planned.telling_id))
    await plan(people, telling_with(people, chance), link, TellingKind.FACTORS_CHANGED)
    (delay,) = await delays(people)
    # The two that lie beyond a week were drawn again.
    assert draws == []
    assert timedelta(hours=16.6) < delay < timedelta(hours=16.7)


async def test_nothing_is_told_before_its_time_and_each_site_in_its_own(people: People) -> None:
    handset, (one, two) = await linked(people)
    await people.update(handset, phone_codes=False)
    due = {row.site_id: row.due_time for row in await people.rows(TellingRow)}
    assert due.keys() == {one.site_id, two.site_id}
    assert len(set(due.values())) == 2
    for site_id in sorted(due, key=lambda site_id: due[site_id]):
        people.clock.now = due[site_id] - timedelta(milliseconds=1)
        before = len(await told(people))
        assert await people.telling.tell_due() == 0
        assert len(await told(people)) == before
        people.clock.turn(milliseconds=1)
        assert await people.telling.tell_due() == 1
        *earlier, event = await told(people)
        assert (event.subject_id, event.create_time) == (site_id, due[site_id])
        # Its id, too, is of this moment.
        assert all(event.event_id > each.event_id for each in earlier)


async def test_a_device_that_is_put_out_is_told_with_its_key(people: People) -> None:
    first, _ = await people.register()
    second, _ = await people.register()
    link = await people.link(second)
    await people.revoke(first, second.device_id)
    (key,) = await people.rows(SiteKeyRow)
    assert (key.state, key.revoke_time) == ("ACTIVE", None)
    await people.tell_all()
    (key,) = await people.rows(SiteKeyRow)
    (event,) = await told(people, link)
    assert (event.type, key.state, key.revoke_time) == ("user.device_removed", "REVOKED", event.create_time)
    assert isinstance(event.body, UserEvent) and event.body.key is not None
    assert (event.body.key.kid, event.body.key.revoke_time) == (key.kid, event.create_time)
    assert (event.body.authy_id, event.body.custom_user_id) == (link.authy_id, "ada")


async def test_an_account_that_is_erased_is_told_as_a_user_that_is_deleted(people: People) -> None:
    handset, links = await linked(people, 3)
    await people.account.delete(handset.caller, people.proof(handset, "DeleteAccount"))
    assert [row.state for row in await people.rows(LinkRow)] == ["ENDED"] * 3
    assert await told(people) == []
    await people.tell_all()
    assert await people.rows(LinkRow) == []
    assert await people.rows(TellingRow) == []
    for link in links:
        last = (await told(people, link))[-1]
        assert last.type == "user.deleted"
        assert isinstance(last.body, UserEvent) and last.body.custom_user_id == "ada"
    times = [event.create_time for event in await told(people) if event.type == "user.deleted"]
    assert len(set(times)) == 3


async def test_codes_switched_off_and_on_again_are_told_as_they_are_then(people: People) -> None:
    handset, (link,) = await linked(people, 1)
    await people.update(handset, phone_codes=False)
    await people.update(handset, phone_codes=True)
    await people.tell_all()
    assert await told(people) == []
    assert (await people.row(LinkRow, link.site_id)).phone_codes

    await people.update(handset, phone_codes=False)
    await people.tell_all()
    assert not (await people.row(LinkRow, link.site_id)).phone_codes
    await people.update(handset, phone_codes=True)
    await people.tell_all()
    assert (await people.row(LinkRow, link.site_id)).phone_codes
    assert [event.type for event in await told(people)] == ["user.factors_changed"] * 2


async def test_of_a_link_that_ended_meanwhile_nothing_more_is_told(people: People) -> None:
    _, (link, other) = await linked(people)
    for kind in (TellingKind.FACTORS_CHANGED, TellingKind.USER_DELETED):
        await plan(people, people.telling, link, kind)
    await plan(people, people.telling, other, TellingKind.USER_DELETED)

    def end(tx: Tx) -> None:
        found = links.ROWS.find(tx, link.site_id)
        assert found is not None
        unlink.end(tx, found)

    await people.database.write(end)
    await people.tell_all()
    assert [event.type for event in await told(people, link)] == ["user.deleted"]
    assert [event.type for event in await told(people, other)] == ["user.deleted"]


async def test_what_takes_a_link_away_takes_what_else_is_due_of_it(people: People) -> None:
    """Both are due at once, and the first leaves no link for the second."""
    _, (link,) = await linked(people, 1)
    await plan(people, people.telling, link, TellingKind.USER_DELETED, 2)
    people.clock.turn(days=8)
    await settle(people)
    assert [event.type for event in await told(people)] == ["user.deleted"]


async def test_a_key_that_was_told_already_is_not_told_again(people: People) -> None:
    _, (link,) = await linked(people, 1)
    (key,) = await people.rows(SiteKeyRow)

    def work(tx: Tx) -> None:
        for kid in (key.kid, key.kid, "unknown"):
            people.telling.plan(tx, link.site_id, TellingKind.DEVICE_REMOVED, kid)

    await people.database.write(work)
    await people.tell_all()
    assert len(await told(people)) == 1


async def test_what_fell_due_together_is_not_told_together(people: People) -> None:
    """As after a standstill: sites of one account could be matched by the time."""
    handset, _ = await linked(people, 5)
    other, _ = await people.register("+4915112345679")
    apart = await people.link(other)
    await people.update(handset, phone_codes=False)
    await people.update(other, phone_codes=False)
    people.clock.turn(days=8)
    await settle(people)
    assert len(await told(people, apart)) == 1
    assert len(await told(people)) == 2
    await people.tell_all()
    times = [event.create_time for event in await told(people) if event.subject_id != apart.site_id]
    assert len(times) == len(set(times)) == 5


async def test_one_that_cannot_be_told_holds_back_no_other(people: People) -> None:
    one, (broken,) = await linked(people, 1)
    two, _ = await people.register("+4915112345679")
    well = await people.link(two)

    sealed = b"not sealed by us"
    await people.database.write(
        lambda tx: rows.change(tx, LinkRow, broken.site_id, sealed_custom_user_id=sealed)
    )
    await people.update(one, phone_codes=False)
    for phone_codes in (False, True):
        await people.update(two, phone_codes=phone_codes)
        people.clock.turn(days=8)
        # It stays due, and what falls due later is told all the same.
        with pytest.raises(ExceptionGroup, match="could not be told"):
            await people.telling.tell_due()
    assert len(await told(people, well)) == 2
    assert await told(people, broken) == []


async def test_two_servers_tell_each_thing_once(people: People, database_url: str) -> None:
    handset, _ = await linked(people, 1)
    there = Database(database_url, people.database.tools)
    await people.update(handset, phone_codes=False)
    people.clock.turn(days=8)
    other = telling_with(people, Random(1).randbytes, there)
    await asyncio.gather(people.telling.tell_due(), other.tell_due())
    assert len(await told(people)) == 1
    await there.close()
