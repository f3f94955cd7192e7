"""Devices watch what waits for their owner, and read what has happened."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from authy_grpc.domain.errors import BadCredential, BadField
from authy_grpc.domain.receipts import Decision
from authy_grpc.service.inbox import Inbox
from authy_grpc.store import account as accounts
from authy_grpc.store.events import Recorded
from authy_grpc.store.tables import DeviceRow
from tests.asking import Desk
from tests.clock import TurnedClock


@pytest.fixture
async def desk(database_url: str, clock: TurnedClock) -> AsyncIterator[Desk]:
    async with Desk.opened(database_url, clock) as opened:
        yield opened


async def test_a_question_shows_on_every_device_and_goes_when_it_is_answered(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    tablet = await desk.device(device.account_id)
    watches = [desk.inbox.watch(device), desk.inbox.watch(tablet)]
    assert [(await anext(each)).approvals for each in watches] == [(), ()]

    asked = await desk.ask(link)
    for each in watches:
        state = await anext(each)
        assert [one.approval_id for one in state.approvals] == [asked.approval.approval_id]
    await desk.respond(link, device, asked, Decision.DENY)
    for each in watches:
        assert (await anext(each)).approvals == ()


async def test_a_question_that_nobody_answers_goes_by_itself(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    await desk.ask(link)
    watch = desk.inbox.watch(device)
    assert len((await anext(watch)).approvals) == 1
    desk.clock.turn(seconds=90)
    await desk.approvals.expire_due()
    state = await anext(watch)
    assert (state.approvals, state.server_time) == ((), desk.clock())


async def test_many_changes_before_a_reader_comes_back_are_one_message(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    watch = desk.inbox.watch(device)
    await anext(watch)
    with desk.signals.subscribe(device.account_id) as control:
        for _ in range(3):
            asked = await desk.ask(link)
        heard: list[Recorded] = []
        while len(heard) < 5:
            heard += await control.wait()
    assert [each.approval_id for each in (await anext(watch)).approvals] == [asked.approval.approval_id]
    more = asyncio.ensure_future(anext(watch))
    for _ in range(10):
        await desk.sees(device)
    assert not more.done()
    more.cancel()
    await asyncio.wait([more])


async def test_revisions_grow_with_what_they_tell_of(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    before = await desk.sees(device)
    await desk.respond(link, device, await desk.ask(link))
    after = await desk.sees(device)
    assert after.activity_revision == before.activity_revision + 1
    assert (after.sites_revision, after.devices_revision) == (before.sites_revision, before.devices_revision)


async def test_another_account_hears_nothing(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    _, stranger = await desk.user(site)
    watch, control = desk.inbox.watch(stranger), desk.inbox.watch(device)
    await anext(watch)
    await anext(control)
    more = asyncio.ensure_future(anext(watch))
    await desk.ask(link)
    assert (await anext(control)).approvals
    assert not more.done()
    more.cancel()
    await asyncio.wait([more])
    assert (await desk.sees(stranger)).approvals == ()


async def test_a_device_that_waits_to_be_let_in_sees_one_revision(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    waiting = await desk.device(device.account_id, state="HELD")
    await desk.ask(link)
    state = await desk.sees(waiting)
    assert (state.approvals, state.sites_revision, state.activity_revision) == ((), 0, 0)
    full = await desk.sees(device)
    assert state.devices_revision == full.devices_revision
    assert full.approvals

    # Let in, it sees the rest, by the stream that it has.
    await desk.change(DeviceRow, waiting.device_id, state="ACTIVE")
    assert (await desk.sees(waiting)).approvals == full.approvals


async def test_when_others_act_is_nothing_that_a_waiting_device_learns(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    waiting = await desk.device(device.account_id, state="HELD")
    watch, control = desk.inbox.watch(waiting), desk.inbox.watch(device)
    before = await anext(watch)
    await anext(control)
    more = asyncio.ensure_future(anext(watch))
    await desk.ask(link)
    assert (await anext(control)).approvals
    for _ in range(10):
        await desk.sees(device)
    assert not more.done()

    await desk.database.write(lambda tx: accounts.changed(tx, device.account_id, devices=True))
    assert (await more).devices_revision == before.devices_revision + 1


async def test_a_device_that_was_put_out_sees_nothing(desk: Desk) -> None:
    _, device = await desk.user(await desk.site())
    await desk.change(DeviceRow, device.device_id, state="REVOKED")
    with pytest.raises(BadCredential):
        await desk.sees(device)


async def test_a_watcher_hears_something_though_nothing_happens(desk: Desk) -> None:
    _, device = await desk.user(await desk.site())
    inbox = Inbox(
        database=desk.database,
        vault=desk.vault,
        signals=desk.signals,
        random=lambda count: b"\xff" * count,
        checkpoint=timedelta(milliseconds=20),
    )
    watch = inbox.watch(device)
    first = await anext(watch)
    desk.clock.turn(seconds=30)
    second = await anext(watch)
    assert second.server_time - first.server_time == timedelta(seconds=30)
    assert second.activity_revision == first.activity_revision


async def test_activity_comes_newest_first_a_page_at_a_time(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    _, stranger = await desk.user(await desk.site())
    times = []
    for _ in range(5):
        desk.clock.turn(seconds=1)
        await desk.respond(link, device, await desk.ask(link))
        times.append(desk.clock())

    seen, token = await desk.inbox.list_activity(device, 2, "")
    # What happens meanwhile moves no page.
    desk.clock.turn(seconds=1)
    await desk.respond(link, device, await desk.ask(link))
    pages = 1
    while token:
        found, token = await desk.inbox.list_activity(device, 2, token)
        seen += found
        pages += 1
    assert [each.time for each in seen] == times[::-1]
    assert pages == 3
    assert (await desk.inbox.list_activity(stranger, 0, "")) == ([], "")
    assert len((await desk.inbox.list_activity(device, 0, ""))[0]) == 6


async def test_a_page_token_is_good_for_its_account_alone(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    _, stranger = await desk.user(await desk.site())
    for _ in range(2):
        await desk.respond(link, device, await desk.ask(link))
    _, token = await desk.inbox.list_activity(device, 1, "")
    assert len((await desk.inbox.list_activity(device, 1, token))[0]) == 1
    for holder, text in ((stranger, token), (device, token[:-2]), (device, "x")):
        with pytest.raises(BadField):
            await desk.inbox.list_activity(holder, 1, text)
