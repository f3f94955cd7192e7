"""A site finds, lists, unlocks and ends its own users."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import timedelta

import pytest

from authy_grpc.domain.errors import BadField, NotFound
from authy_grpc.domain.limits import FOREVER
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import CodeResult
from authy_grpc.service.caller import Site
from authy_grpc.store.tables import LinkRow, TellingRow
from tests.clock import TurnedClock
from tests.enrolling import Hall


@pytest.fixture
async def hall(database_url: str, clock: TurnedClock) -> AsyncIterator[Hall]:
    async with Hall.hired(database_url, clock) as hired:
        yield hired


async def test_a_user_has_two_names(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, _ = await hall.enroll(site, phone)
    user = await hall.users.get(site, made.authy_id)
    assert user == await hall.users.look_up(site, "ada")
    assert (user.authy_id, user.custom_user_id, user.keys) == (made.authy_id, "ada", made.keys)
    assert user.factors == (Factor.SOFT_TOKEN, Factor.SMS, Factor.VOICE, Factor.PUSH)
    assert (user.locked_until, user.push_frozen_until, user.backup_codes_left) == (None, None, 0)


async def test_another_site_finds_none_of_it(hall: Hall) -> None:
    site, other, phone = await hall.site(), await hall.site("Other"), await hall.phone()
    made, _ = await hall.enroll(site, phone)
    calls: list[Callable[[Site, str], Awaitable[object]]] = [
        hall.users.get,
        hall.users.delete,
        lambda caller, own: hall.users.unlock(caller, own, ()),
    ]
    for call in calls:
        for caller, authy_id in ((other, made.authy_id), (site, "1000000")):
            with pytest.raises(NotFound) as refused:
                await call(caller, authy_id)
            assert str(refused.value) == ""
    with pytest.raises(NotFound):
        await hall.users.look_up(other, "ada")
    assert await hall.users.list_page(other, 0, "") == ([], "")
    assert (await hall.users.get(site, made.authy_id)).custom_user_id == "ada"


async def test_two_sites_call_one_person_by_two_numbers(hall: Hall) -> None:
    site, other, phone = await hall.site(), await hall.site("Other"), await hall.phone()
    (first, here), (second, there) = await hall.enroll(site, phone), await hall.enroll(other, phone)
    assert first.authy_id != second.authy_id
    assert here.site_id != there.site_id
    assert first.keys[0].kid != second.keys[0].kid


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 0])
async def test_users_are_listed_oldest_first_a_page_at_a_time(hall: Hall, size: int) -> None:
    site, phone = await hall.site(), await hall.phone()
    for number in range(7):
        await hall.enroll(site, phone, f"user {number}")
        # Some came at one moment.
        hall.clock.turn(milliseconds=number % 2)
    everyone, token = await hall.users.list_page(site, 0, "")
    assert token == ""
    assert {each.custom_user_id for each in everyone} == {f"user {number}" for number in range(7)}
    assert [each.create_time for each in everyone] == sorted(each.create_time for each in everyone)
    found, token = await hall.users.list_page(site, size, "")
    while token:
        more, token = await hall.users.list_page(site, size, token)
        found += more
    assert found == everyone


async def test_a_page_token_is_good_for_its_own_list(hall: Hall) -> None:
    site, other, phone = await hall.site(), await hall.site("Other"), await hall.phone()
    for name in ("ada", "bob"):
        await hall.enroll(site, phone, name)
        await hall.enroll(other, phone, name)
    _, token = await hall.users.list_page(site, 1, "")
    for bad in (token + "A", token[:-2], "é", "AAAA"):
        with pytest.raises(BadField):
            await hall.users.list_page(site, 1, bad)
    with pytest.raises(BadField):
        await hall.users.list_page(other, 1, token)
    assert len((await hall.users.list_page(site, 1, token))[0]) == 1


async def test_a_site_ends_a_user(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, linked = await hall.enroll(site, phone)
    await hall.ask_user(site, await hall.user_of(site))
    await hall.users.delete(site, made.authy_id)
    assert (await hall.types(site))[-2:] == ["approval.canceled", "user.deleted"]
    assert await hall.sites.list_sites(phone.caller) == []
    code = phone.code(linked.site_id, hall.clock())
    with pytest.raises(NotFound):
        await hall.verify(site, made.authy_id, code)
    with pytest.raises(NotFound):
        await hall.users.delete(site, made.authy_id)
    assert (await hall.types(site)).count("user.deleted") == 1
    # What it was told of the enrollment stays as it was.
    assert await hall.enrollments.get(site, made.enrollment_id) == made
    again, _ = await hall.enroll(site, phone)
    assert again.authy_id != made.authy_id


async def test_a_user_that_has_ended_is_ended_once(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, linked = await hall.enroll(site, phone)
    await hall.change(LinkRow, linked.site_id, state="ENDED")
    due = hall.clock() + timedelta(days=1)
    await hall.add(TellingRow(telling_id="tel_1", site_id=linked.site_id, kind="user.deleted", due_time=due))
    assert (await hall.users.get(site, made.authy_id)).custom_user_id == "ada"
    await hall.users.delete(site, made.authy_id)
    assert (await hall.types(site)).count("user.deleted") == 1
    assert await hall.count(TellingRow) == 0


@pytest.mark.parametrize(
    ("factors", "unlocks", "thaws"),
    [
        ((), True, True),
        ((Factor.PUSH,), False, True),
        ((Factor.SOFT_TOKEN,), True, False),
        ((Factor.SMS, Factor.PUSH), True, True),
    ],
)
async def test_a_site_unlocks_a_user(
    hall: Hall, factors: Collection[Factor], unlocks: bool, thaws: bool
) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, linked = await hall.enroll(site, phone)
    await hall.change(
        LinkRow,
        linked.site_id,
        failures=50,
        locked_until=FOREVER,
        push_misses=4,
        push_frozen_until=FOREVER,
    )
    user = await hall.users.unlock(site, made.authy_id, factors)
    row = await hall.row(LinkRow, linked.site_id)
    assert (user.locked_until, row.failures) == ((None, 0) if unlocks else (FOREVER, 50))
    assert (user.push_frozen_until, row.push_misses) == ((None, 0) if thaws else (FOREVER, 4))
    assert user == await hall.users.get(site, made.authy_id)
    assert (await hall.types(site))[-1] == "user.unlocked"
    if unlocks:
        code = phone.code(linked.site_id, hall.clock())
        assert await hall.verify(site, made.authy_id, code) is CodeResult.ACCEPTED


async def test_unlocking_who_is_not_locked_tells_nobody(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, _ = await hall.enroll(site, phone)
    await hall.users.unlock(site, made.authy_id, ())
    assert "user.unlocked" not in await hall.types(site)
