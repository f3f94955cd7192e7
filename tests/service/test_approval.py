"""Sites ask, wait, take back, and are kept from asking too often."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from authy_grpc.domain.approval import ApprovalState, Detail
from authy_grpc.domain.errors import FactorUnavailable, NotFound, PushFrozen, RequestIdReused, WrongState
from authy_grpc.domain.limits import FOREVER
from authy_grpc.domain.receipts import Decision, Question
from authy_grpc.service.approval import Asked
from authy_grpc.store.tables import DeviceRow, LinkRow, SiteKeyRow
from tests.asking import Desk, Link, wrong
from tests.clock import TurnedClock

_S = ApprovalState


@pytest.fixture
async def desk(database_url: str, clock: TurnedClock) -> AsyncIterator[Desk]:
    async with Desk.opened(database_url, clock) as opened:
        yield opened


async def test_the_site_is_answered_what_the_user_will_read(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    desk.clock.turn(microseconds=123_456)

    asked = await desk.ask(
        link,
        details=(Detail("Who", 'A "B" \\ C'), Detail("Sum", "")),
        hidden_details={"order": "17"},
        ttl=timedelta(minutes=5),
        require_user_verification=True,
    )

    approval = asked.approval
    assert (approval.state, approval.revision, approval.receipt) == (_S.PENDING, 1, "")
    assert approval.create_time.microsecond == 123_000
    assert approval.expire_time - approval.create_time == timedelta(minutes=5)
    assert re.fullmatch("[0-9]{6}", asked.match_number)
    (pending,) = (await desk.sees(device)).approvals
    question = Question.read(pending.question)
    assert (pending.approval_id, pending.site_id) == (approval.approval_id, link.site_id)
    assert (pending.match_digits, pending.expire_time) == (6, approval.expire_time)
    assert (question.approval_id, question.authy_id) == (approval.approval_id, link.authy_id)
    assert (question.site_id, question.site) == (link.site_id, "Example")
    assert question.origin == "https://example.com"
    assert question.details == (("Who", 'A "B" \\ C'), ("Sum", ""))
    assert question.expires - question.created == 300
    assert question.created == int(approval.create_time.timestamp())
    assert (question.match_digits, question.user_verification) == (6, True)
    assert await desk.approvals.get(site, approval.approval_id) == asked


async def test_a_question_stands_for_90_seconds_where_nothing_else_is_asked(desk: Desk) -> None:
    link, _ = await desk.user(await desk.site())
    asked = await desk.ask(link)
    assert asked.approval.expire_time - asked.approval.create_time == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("own", "wanted", "digits"), [(6, None, 6), (6, 8, 8), (6, 2, 6), (0, None, 0), (0, 2, 2), (6, 0, 6)]
)
async def test_a_request_may_ask_for_more_digits_and_never_for_fewer(
    desk: Desk, own: int, wanted: int | None, digits: int
) -> None:
    link, device = await desk.user(await desk.site(match_digits=own))
    asked = await desk.ask(link, match_digits=wanted)
    assert len(asked.match_number) == digits
    assert (await desk.sees(device)).approvals[0].match_digits == digits


async def test_the_same_request_again_asks_once(desk: Desk) -> None:
    site = await desk.site()
    link, _ = await desk.user(site)

    first = await desk.ask(link, "r1")
    assert await desk.ask(link, "r1") == first
    with pytest.raises(RequestIdReused):
        await desk.ask(link, "r1", message="Something else?")
    assert await desk.types(site) == ["approval.pending"]
    assert await desk.ask(link, "r2") != first


async def test_another_sites_users_and_questions_are_not_found(desk: Desk) -> None:
    site, other = await desk.site(), await desk.site("Other")
    link, _ = await desk.user(site)
    asked = await desk.ask(link)
    stolen = Link(other, link.site_id, link.authy_id)

    calls: list[Awaitable[Any]] = [
        desk.ask(stolen),
        desk.approvals.get(other, asked.approval.approval_id),
        anext(desk.approvals.watch(other, asked.approval.approval_id)),
        desk.approvals.cancel(other, asked.approval.approval_id),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert (await desk.approvals.get(site, asked.approval.approval_id)).approval.state is _S.PENDING


async def test_a_user_without_a_device_cannot_be_asked(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    await desk.change(DeviceRow, device.device_id, state="REVOKED")
    await desk.ask(link)

    await desk.change(SiteKeyRow, link.kid(device), state="REVOKED", revoke_time=desk.clock())
    with pytest.raises(FactorUnavailable):
        await desk.ask(link)


async def test_a_newer_question_replaces_an_open_one(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    first, second = await desk.ask(link), await desk.ask(link, message="Another?")

    canceled = await desk.approvals.get(site, first.approval.approval_id)
    assert (canceled.approval.state, canceled.approval.revision) == (_S.CANCELED, 2)
    assert canceled.match_number == first.match_number
    assert await desk.types(site) == ["approval.pending", "approval.canceled", "approval.pending"]
    waiting = [each.approval_id for each in (await desk.sees(device)).approvals]
    assert waiting == [second.approval.approval_id]
    assert (await desk.row(LinkRow, link.site_id)).push_misses == 1


async def test_two_users_of_one_person_are_asked_apart(desk: Desk) -> None:
    site = await desk.site()
    account_id = await desk.account()
    device = await desk.device(account_id)
    one, two = await desk.link(site, account_id, device), await desk.link(site, account_id, device)
    first, second = await desk.ask(one), await desk.ask(two)
    waiting = {each.approval_id for each in (await desk.sees(device)).approvals}
    assert waiting == {first.approval.approval_id, second.approval.approval_id}


async def _deny(desk: Desk, link: Link, device: Any, asked: Asked) -> None:
    await desk.respond(link, device, asked, Decision.DENY)


async def _expire(desk: Desk, link: Link, device: Any, asked: Asked) -> None:
    desk.clock.turn(seconds=90)
    assert await desk.approvals.expire_due() == 1


async def _overdue(desk: Desk, link: Link, device: Any, asked: Asked) -> None:
    desk.clock.turn(seconds=90)


async def _cancel(desk: Desk, link: Link, device: Any, asked: Asked) -> None:
    await desk.approvals.cancel(link.site, asked.approval.approval_id)


async def _guess(desk: Desk, link: Link, device: Any, asked: Asked) -> None:
    for by in (1, 2, 3):
        await desk.respond(link, device, asked, number=wrong(asked.match_number, by))


@pytest.mark.parametrize(
    ("miss", "freezes"),
    [(miss, [0, 0, 15, 30, 60]) for miss in (_deny, _guess)]
    + [(miss, [0, 0, 0, 0, 0, 15, 15, 30]) for miss in (_expire, _overdue, _cancel)],
)
async def test_questions_that_come_to_nothing_freeze_push_refused_ones_twice_as_soon(
    desk: Desk, miss: Callable[[Desk, Link, Any, Asked], Awaitable[None]], freezes: list[int]
) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    for minutes in freezes:
        await miss(desk, link, device, await desk.ask(link))
        if not minutes:
            continue
        with pytest.raises(PushFrozen) as frozen:
            await desk.ask(link)
        assert frozen.value.retry_after == timedelta(minutes=minutes)
        desk.clock.turn(minutes=minutes, milliseconds=-1)
        with pytest.raises(PushFrozen):
            await desk.ask(link)
        desk.clock.turn(milliseconds=1)
    await desk.ask(link)
    # A freeze that was over before it was seen is no news.
    assert (await desk.types(site)).count("user.push_frozen") == (0 if miss is _overdue else 3)


async def test_the_question_that_a_newer_one_replaces_is_counted_after_the_newer_was_let_through(
    desk: Desk,
) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    # A login page that is loaded seven times, and asks anew each time.
    asked = [await desk.ask(link) for _ in range(7)]
    assert (await desk.types(site)).count("user.push_frozen") == 1
    with pytest.raises(PushFrozen):
        await desk.ask(link)

    await desk.respond(link, device, asked[-1])
    row = await desk.row(LinkRow, link.site_id)
    assert (row.push_misses, row.push_frozen_until) == (0, None)
    assert (await desk.types(site))[-2:] == ["approval.approved", "user.unlocked"]
    await desk.ask(link)


async def test_time_does_not_lift_the_freeze_of_a_reported_fraud(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    await desk.respond(link, device, await desk.ask(link), Decision.REPORT_FRAUD)
    desk.clock.turn(days=400)
    with pytest.raises(PushFrozen) as frozen:
        await desk.ask(link)
    assert frozen.value.retry_after is None
    assert (await desk.row(LinkRow, link.site_id)).push_frozen_until == FOREVER
    assert (await desk.types(site))[-2:] == ["approval.denied", "user.push_frozen"]


async def test_what_is_past_its_time_is_expired_before_the_worker_has_run(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    asked = await desk.ask(link)
    approval_id = asked.approval.approval_id
    receipt = await desk.receipt(link, device, asked)

    desk.clock.turn(seconds=90, milliseconds=-1)
    assert (await desk.approvals.get(site, approval_id)).approval.state is _S.PENDING
    assert await desk.approvals.expire_due() == 0
    assert (await desk.sees(device)).approvals
    desk.clock.turn(milliseconds=1)

    with pytest.raises(WrongState, match="EXPIRED"):
        await desk.approvals.cancel(site, approval_id)
    with pytest.raises(WrongState, match="EXPIRED"):
        await desk.answers.respond(device, approval_id, receipt)
    assert not (await desk.sees(device)).approvals
    assert await desk.types(site) == ["approval.pending"]

    # Whoever looks first writes it.
    got = await desk.approvals.get(site, approval_id)
    assert (got.approval.state, got.approval.revision) == (_S.EXPIRED, 2)
    assert [each async for each in desk.approvals.watch(site, approval_id)] == [got]
    assert (await desk.feed(site))[-1].body == got.approval
    assert await desk.approvals.expire_due() == 0
    assert (await desk.types(site)).count("approval.expired") == 1


async def test_the_worker_expires_what_nobody_looks_at(desk: Desk) -> None:
    site = await desk.site()
    link, _ = await desk.user(site)
    asked = await desk.ask(link)
    desk.clock.turn(seconds=90)
    assert await desk.approvals.expire_due() == 1
    assert await desk.approvals.expire_due() == 0
    got = await desk.approvals.get(site, asked.approval.approval_id)
    assert (got.approval.state, got.approval.revision) == (_S.EXPIRED, 2)
    assert (await desk.feed(site))[-1].body == got.approval


async def test_workers_that_run_at_once_expire_each_question_once(desk: Desk) -> None:
    site = await desk.site()
    users = [await desk.user(site) for _ in range(3)]
    for link, _ in users:
        await desk.ask(link)
    desk.clock.turn(seconds=90)
    assert sum(await asyncio.gather(*(desk.approvals.expire_due() for _ in range(4)))) == 3
    assert (await desk.types(site)).count("approval.expired") == 3
    for link, _ in users:
        assert (await desk.row(LinkRow, link.site_id)).push_misses == 1


async def test_an_overdue_question_is_expired_not_canceled_by_a_newer_one(desk: Desk) -> None:
    site = await desk.site()
    link, _ = await desk.user(site)
    await desk.ask(link)
    desk.clock.turn(seconds=90)
    await desk.ask(link)
    assert await desk.types(site) == ["approval.pending", "approval.expired", "approval.pending"]


async def test_a_user_whose_account_is_gone_is_asked_as_before_and_nobody_can_answer(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    await desk.change(LinkRow, link.site_id, state="ENDED")

    asked = await desk.ask(link)
    assert asked.approval.state is _S.PENDING
    assert not (await desk.sees(device)).approvals
    with pytest.raises(NotFound):
        await desk.respond(link, device, asked)
    desk.clock.turn(seconds=90)
    assert await desk.approvals.expire_due() == 1
    assert await desk.types(site) == ["approval.pending", "approval.expired"]
    # The same rows are written as for others, and name nobody.
    (activity,), _ = await desk.inbox.list_activity(device, 0, "")
    assert (activity.type, activity.site_name, activity.device_name) == ("approval.expired", "", "")
