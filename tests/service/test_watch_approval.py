"""Sites watch a question; each state meets each method; the number that is typed stays where it belongs."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from authy_grpc.domain.approval import Approval, ApprovalState, Detail
from authy_grpc.domain.errors import Refusal, WrongState
from authy_grpc.domain.receipts import Decision
from authy_grpc.service.approval import Asked
from authy_grpc.service.caller import Device
from authy_grpc.service.heartbeat import Heartbeat
from tests.asking import Desk, Link
from tests.clock import TurnedClock

_S = ApprovalState


@pytest.fixture
async def desk(database_url: str, clock: TurnedClock) -> AsyncIterator[Desk]:
    async with Desk.opened(database_url, clock) as opened:
        yield opened


async def _all(states: AsyncIterator[Asked | None]) -> list[Asked]:
    seen = [each async for each in states]
    assert None not in seen
    return [each for each in seen if each is not None]


async def test_a_watcher_sees_the_present_state_then_the_end(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    asked = await desk.ask(link)
    watch = desk.approvals.watch(site, asked.approval.approval_id)
    assert await anext(watch) == asked

    await desk.respond(link, device, asked, number="000000" if asked.match_number != "000000" else "1")
    await desk.respond(link, device, asked)
    (end,) = await _all(watch)
    assert (end.approval.state, end.approval.revision) == (_S.APPROVED, 2)
    assert end.match_number == asked.match_number
    assert end == await desk.approvals.get(site, asked.approval.approval_id)


async def test_many_watchers_see_the_same(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    asked = await desk.ask(link)
    watches = [desk.approvals.watch(site, asked.approval.approval_id) for _ in range(20)]
    assert [await anext(each) for each in watches] == [asked] * 20
    await desk.respond(link, device, asked, Decision.DENY)
    ends = await asyncio.gather(*(_all(each) for each in watches))
    assert [end.approval.state for (end,) in ends] == [_S.DENIED] * 20


async def test_a_watcher_that_comes_back_hears_only_what_is_new(desk: Desk) -> None:
    site = await desk.site()
    link, _ = await desk.user(site)
    asked = await desk.ask(link)
    approval_id = asked.approval.approval_id

    quiet = asyncio.create_task(anext(desk.approvals.watch(site, approval_id, 1)))
    canceled = await desk.approvals.cancel(site, approval_id)
    assert await quiet == canceled
    assert await _all(desk.approvals.watch(site, approval_id, 1)) == [canceled]
    assert await _all(desk.approvals.watch(site, approval_id, 2)) == []


async def test_a_quiet_watcher_hears_a_heartbeat_where_it_asked_for_one(desk: Desk) -> None:
    site = await desk.site()
    link, _ = await desk.user(site)
    asked = await desk.ask(link)
    approval_id = asked.approval.approval_id
    desk.approvals._heartbeat = Heartbeat(os.urandom, timedelta(milliseconds=20))
    watch = desk.approvals.watch(site, approval_id, heartbeat=True)
    silent = asyncio.create_task(anext(desk.approvals.watch(site, approval_id, 1)))
    assert await anext(watch) == asked
    assert [await anext(watch) for _ in range(3)] == [None, None, None]
    resumed = desk.approvals.watch(site, approval_id, 1, heartbeat=True)
    assert await anext(resumed) is None  # at once: it stands
    assert not silent.done()
    canceled = await desk.approvals.cancel(site, approval_id)
    assert await silent == canceled
    assert [each async for each in watch if each] == [canceled]
    assert await _all(desk.approvals.watch(site, approval_id, 2, heartbeat=True)) == []


def test_a_heartbeat_comes_within_25_s_whatever_the_jitter() -> None:
    for share in (b"\x00", b"\x7f", b"\xff"):
        assert 20 < Heartbeat(lambda count, share=share: share * count).pause() < 25  # type: ignore[misc]


async def test_a_watcher_learns_that_time_has_run_out_though_nobody_calls(desk: Desk) -> None:
    site = await desk.site()
    link, _ = await desk.user(site)
    asked = await desk.ask(link)
    watch = desk.approvals.watch(site, asked.approval.approval_id)
    await anext(watch)
    desk.clock.turn(seconds=90)
    await desk.approvals.expire_due()
    assert [each.approval.state for each in await _all(watch)] == [_S.EXPIRED]


Reach = Callable[[Desk, Link, Device, Asked], Awaitable[object]]
Call = Callable[[Desk, Link, Device, Asked], Coroutine[Any, Any, ApprovalState]]
Outcome = ApprovalState | str


async def _nothing(desk: Desk, link: Link, device: Device, asked: Asked) -> None: ...


async def _approve(desk: Desk, link: Link, device: Device, asked: Asked) -> ApprovalState:
    return (await desk.respond(link, device, asked)).state


async def _deny(desk: Desk, link: Link, device: Device, asked: Asked) -> ApprovalState:
    return (await desk.respond(link, device, asked, Decision.DENY)).state


async def _report(desk: Desk, link: Link, device: Device, asked: Asked) -> ApprovalState:
    return (await desk.respond(link, device, asked, Decision.REPORT_FRAUD)).state


async def _cancel(desk: Desk, link: Link, device: Device, asked: Asked) -> ApprovalState:
    return (await desk.approvals.cancel(link.site, asked.approval.approval_id)).approval.state


async def _get(desk: Desk, link: Link, device: Device, asked: Asked) -> ApprovalState:
    return (await desk.approvals.get(link.site, asked.approval.approval_id)).approval.state


async def _watch(desk: Desk, link: Link, device: Device, asked: Asked) -> ApprovalState:
    watch = desk.approvals.watch(link.site, asked.approval.approval_id)
    try:
        seen = await anext(watch)
        assert seen is not None
        return seen.approval.state
    finally:
        await watch.aclose()


async def _overdue(desk: Desk, link: Link, device: Device, asked: Asked) -> None:
    desk.clock.turn(seconds=90)


async def _expire(desk: Desk, link: Link, device: Device, asked: Asked) -> None:
    desk.clock.turn(seconds=90)
    await desk.approvals.expire_due()


async def _replace(desk: Desk, link: Link, device: Device, asked: Asked) -> None:
    await desk.ask(link, message="Another?")


def _answers_meet(state: str) -> dict[Call, Outcome]:
    return {_approve: state, _deny: state, _report: state}


# What another answer, taking back and reading become where a question stands.
_TABLE: list[tuple[Reach, ApprovalState, dict[Call, Outcome]]] = [
    (
        _nothing,
        _S.PENDING,
        {_approve: _S.APPROVED, _deny: _S.DENIED, _report: _S.DENIED, _cancel: _S.CANCELED},
    ),
    (_cancel, _S.CANCELED, _answers_meet("CANCELED") | {_cancel: _S.CANCELED}),
    (_replace, _S.CANCELED, _answers_meet("CANCELED") | {_cancel: _S.CANCELED}),
    (_overdue, _S.EXPIRED, _answers_meet("EXPIRED") | {_cancel: "EXPIRED"}),
    (_expire, _S.EXPIRED, _answers_meet("EXPIRED") | {_cancel: "EXPIRED"}),
    # The same receipt again is answered the same: another decision, or another number, is another.
    (
        _approve,
        _S.APPROVED,
        {_approve: _S.APPROVED, _deny: "APPROVED", _report: "APPROVED", _cancel: "APPROVED"},
    ),
    (_deny, _S.DENIED, {_deny: _S.DENIED, _approve: "DENIED", _report: "DENIED", _cancel: "DENIED"}),
    (_report, _S.DENIED, {_report: _S.DENIED, _approve: "DENIED", _deny: "DENIED", _cancel: "DENIED"}),
]


@pytest.mark.parametrize(("reach", "stands", "outcomes"), _TABLE)
async def test_each_state_meets_each_method(
    desk: Desk, reach: Reach, stands: ApprovalState, outcomes: dict[Call, Outcome]
) -> None:
    site = await desk.site()
    for call, outcome in (outcomes | {_get: stands, _watch: stands}).items():
        link, device = await desk.user(site)
        asked = await desk.ask(link)
        await reach(desk, link, device, asked)
        assert await _outcome(call(desk, link, device, asked)) == outcome, call.__name__


async def _outcome(call: Awaitable[ApprovalState]) -> Outcome:
    try:
        return await call
    except WrongState as refusal:
        return refusal.state


async def test_no_event_says_the_number_that_the_user_must_type(desk: Desk) -> None:
    site = await desk.site(match_digits=8)
    numbers = []
    for call in (_approve, _deny, _report, _cancel, _nothing, _expire):
        link, device = await desk.user(site)
        # With a control: what is looked for in this way, and stands in the events, is found.
        asked = await desk.ask(link, details=(Detail("Order", "73555608"),))
        numbers.append(asked.match_number)
        await call(desk, link, device, asked)
    feed = await desk.feed(site)
    bodies = [each.body for each in feed if isinstance(each.body, Approval)]
    said = repr([asdict(body) for body in bodies])
    assert said.count("73555608") >= 11
    assert len([body for body in bodies if body.receipt]) == 3
    assert {each.type for each in feed if each.body not in bodies} == {"user.push_frozen"}
    assert [number for number in numbers if number in said] == []


async def test_what_was_refused_has_changed_nothing(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    asked = await desk.ask(link)
    await desk.respond(link, device, asked)
    before = await desk.feed(site)
    for call in (_deny, _report, _cancel):
        with pytest.raises(Refusal):
            await call(desk, link, device, asked)
    assert await desk.feed(site) == before
