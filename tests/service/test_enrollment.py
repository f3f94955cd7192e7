"""A site starts enrollments, watches them and calls them off; each state takes each call as a table says."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from authy_grpc.domain.enrollment import TERMINAL, Enrollment, EnrollmentMethod, EnrollmentState
from authy_grpc.domain.errors import BadField, NotFound, Refusal, RequestIdReused, UserExists, WrongState
from authy_grpc.service.caller import Site
from authy_grpc.service.heartbeat import Heartbeat
from authy_grpc.service.qr import QrFormat
from authy_grpc.store.tables import EnrollmentRow, LinkRow
from tests.clock import TurnedClock
from tests.enrolling import Hall, Handset, token_of
from tests.threads import PATIENCE

_S = EnrollmentState
_GENERIC = EnrollmentMethod.GENERIC_TOTP


@pytest.fixture
async def hall(database_url: str, clock: TurnedClock) -> AsyncIterator[Hall]:
    async with Hall.hired(database_url, clock) as hired:
        yield hired


async def test_a_site_starts_an_enrollment_and_its_feed_says_so(hall: Hall) -> None:
    site = await hall.site()
    hall.clock.turn(microseconds=123_456)

    made, uri = await hall.begin(site, ttl=timedelta(seconds=30))

    assert (made.custom_user_id, made.method, made.state) == ("ada", "AUTHENTICATOR", _S.PENDING)
    assert (made.revision, made.authy_id, made.keys) == (1, "", ())
    assert made.create_time.microsecond == 123_000
    assert made.expire_time - made.create_time == timedelta(seconds=30)
    assert len(token_of(uri)) == 22
    assert await hall.enrollments.get(site, made.enrollment_id) == made
    (event,) = await hall.feed(site)
    assert (event.type, event.subject_id, event.body) == ("enrollment.pending", made.enrollment_id, made)
    row = await hall.row(EnrollmentRow, made.enrollment_id)
    assert row.token_hash is not None
    kept = [bytes(value) for value in vars(row).values() if isinstance(value, bytes)]
    assert not any(token_of(uri).encode() in each or b"ada" in each for each in kept)


async def test_it_stands_for_ten_minutes_where_nothing_is_said(hall: Hall) -> None:
    made, _ = await hall.begin(await hall.site())
    assert made.expire_time - made.create_time == timedelta(minutes=10)


async def test_a_qr_code_is_drawn_where_a_format_is_named(hall: Hall) -> None:
    from authy_grpc.phone.scan import read_qr
    from authy_grpc.service.enrollment import Draft
    from authy_grpc.store.once import Request

    site = await hall.site()
    draft = Draft(custom_user_id="ada", format=QrFormat.PNG, module_size=4)
    request = Request("CreateEnrollment", "once", b"the same")
    first, drawn = await hall.enrollments.create(site, request, draft)
    again, drawn_again = await hall.enrollments.create(site, request, draft)
    assert read_qr(drawn.image) == drawn.uri
    assert (again, drawn_again) == (first, drawn)


async def test_the_same_request_has_one_effect(hall: Hall) -> None:
    site, other = await hall.site(), await hall.site("Other")
    first = await hall.begin(site, request_id="r1")
    assert await hall.begin(site, request_id="r1") == first
    assert await hall.types(site) == ["enrollment.pending"]
    with pytest.raises(RequestIdReused):
        await hall.begin(site, "bob", request_id="r1")
    assert (await hall.begin(other, request_id="r1"))[0].enrollment_id != first[0].enrollment_id
    hall.clock.turn(hours=24)
    assert (await hall.begin(site, request_id="r1"))[0].enrollment_id != first[0].enrollment_id


async def test_a_label_is_for_generic_totp_alone(hall: Hall) -> None:
    site = await hall.site()
    with pytest.raises(BadField):
        await hall.begin(site, account_label="laptop")
    _, uri = await hall.begin(site, account_label="laptop", method=_GENERIC)
    assert "laptop" in uri


async def test_a_new_one_ends_the_open_one_of_the_same_user(hall: Hall) -> None:
    site, other, phone = await hall.site(), await hall.site("Other"), await hall.phone()
    elsewhere, _ = await hall.begin(other)
    somebody, _ = await hall.begin(site, "bob")
    for method, scan in ((EnrollmentMethod.AUTHENTICATOR, True), (_GENERIC, False)):
        first, uri = await hall.begin(site, method=method, require_code=True)
        if scan:
            await hall.accept(phone, uri)
            assert len(await hall.sites.list_sites(phone.caller)) == 1
        await hall.begin(site)
        assert (await hall.enrollments.get(site, first.enrollment_id)).state is _S.CANCELED
        assert await hall.sites.list_sites(phone.caller) == []
    assert (await hall.enrollments.get(other, elsewhere.enrollment_id)).state is _S.PENDING
    assert (await hall.enrollments.get(site, somebody.enrollment_id)).state is _S.PENDING


async def test_of_many_begun_at_once_one_is_open(hall: Hall, figure: Callable[[int, int], int]) -> None:
    site = await hall.site()
    made = await asyncio.gather(*[hall.begin(site) for _ in range(figure(20, 200))])
    states = [(await hall.enrollments.get(site, each.enrollment_id)).state for each, _ in made]
    assert sorted(states) == [_S.CANCELED] * (len(made) - 1) + [_S.PENDING]


async def test_a_user_is_not_enrolled_twice(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    await hall.enroll(site, phone)
    with pytest.raises(UserExists):
        await hall.begin(site)
    await hall.begin(site, "bob")
    await hall.begin(await hall.site("Other"))
    made, _ = await hall.begin(site, replace_existing=True)
    assert made.state is _S.PENDING


async def test_a_user_that_has_ended_exists_until_the_site_is_told(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    _, linked = await hall.enroll(site, phone)
    await hall.change(LinkRow, linked.site_id, state="ENDED")
    with pytest.raises(UserExists):
        await hall.begin(site)
    assert await hall.sites.list_sites(phone.caller) == []


async def test_whoever_watches_sees_each_state(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, uri = await hall.begin(site, require_code=True)
    seen: list[Enrollment] = []
    arrived = asyncio.Event()

    async def watch() -> None:
        async for state in hall.enrollments.watch(site, made.enrollment_id, 0):
            assert state is not None
            seen.append(state)
            arrived.set()

    async def step(change: Awaitable[object]) -> None:
        arrived.clear()
        await change
        await asyncio.wait_for(arrived.wait(), PATIENCE)

    task = asyncio.create_task(watch())
    await asyncio.wait_for(arrived.wait(), PATIENCE)
    await step(hall.scans.open(phone.caller, uri))
    await step(hall.accept(phone, uri))
    (linked,) = await hall.sites.list_sites(phone.caller)
    await step(hall.confirm(site, made, phone.code(linked.site_id, hall.clock())))
    await asyncio.wait_for(task, PATIENCE)

    assert [each.state for each in seen] == [_S.PENDING, _S.SCANNED, _S.AWAITING_CODE, _S.COMPLETED]
    assert [each.revision for each in seen] == [1, 2, 3, 4]
    assert seen == [each.body for each in await hall.feed(site)]
    assert seen[-1] == await hall.enrollments.get(site, made.enrollment_id)
    for after, left in ((3, 1), (4, 0), (99, 0)):
        rest = [each async for each in hall.enrollments.watch(site, made.enrollment_id, after)]
        assert rest == seen[4 - left :]


async def test_whoever_watches_hears_a_heartbeat_where_it_was_asked_for(hall: Hall) -> None:
    site = await hall.site()
    made, _ = await hall.begin(site)
    hall.enrollments._heartbeat = Heartbeat(os.urandom, timedelta(milliseconds=20))
    watch = hall.enrollments.watch(site, made.enrollment_id, 0, heartbeat=True)
    silent = asyncio.ensure_future(anext(hall.enrollments.watch(site, made.enrollment_id, 1)))
    assert await anext(watch) == made
    assert [await anext(watch) for _ in range(3)] == [None, None, None]
    assert not silent.done()
    canceled = await hall.enrollments.cancel(site, made.enrollment_id)
    assert await silent == canceled
    assert [each async for each in watch if each] == [canceled]


async def test_whoever_watches_learns_of_the_end_of_time(hall: Hall) -> None:
    site = await hall.site()
    made, _ = await hall.begin(site)
    watch = hall.enrollments.watch(site, made.enrollment_id, 0)
    first = await anext(watch)
    assert first is not None
    assert first.state is _S.PENDING
    hall.clock.turn(minutes=10)
    await hall.enrollments.expire_due()
    last = await asyncio.wait_for(anext(watch), PATIENCE)
    assert last is not None
    assert last.state is _S.EXPIRED
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


@pytest.mark.parametrize("method", EnrollmentMethod)
async def test_it_expires_at_the_millisecond(hall: Hall, method: EnrollmentMethod) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, uri = await hall.begin(site, require_code=True, method=method)
    if method is EnrollmentMethod.AUTHENTICATOR:
        await hall.accept(phone, uri)
    before = await hall.enrollments.get(site, made.enrollment_id)
    hall.clock.turn(minutes=10, milliseconds=-1)
    assert await hall.enrollments.expire_due() == 0
    assert await hall.enrollments.get(site, made.enrollment_id) == before
    hall.clock.turn(milliseconds=1)

    for call in (
        hall.enrollments.cancel(site, made.enrollment_id),
        hall.confirm(site, made, "000000"),
    ):
        with pytest.raises(WrongState) as refused:
            await call
        assert refused.value.state == "EXPIRED"
    assert await hall.sites.list_sites(phone.caller) == []
    expired = await hall.enrollments.get(site, made.enrollment_id)
    assert (expired.state, expired.revision) == (_S.EXPIRED, before.revision + 1)
    assert expired.update_time == made.expire_time
    assert await hall.enrollments.expire_due() == 1
    assert await hall.enrollments.expire_due() == 0
    assert await hall.enrollments.get(site, made.enrollment_id) == expired
    assert (await hall.feed(site))[-1].body == expired
    with pytest.raises(NotFound):
        await hall.accept(phone, uri) if uri.startswith("https") else await hall.user_of(site)


async def test_many_expire_a_hundred_at_a_time(hall: Hall) -> None:
    site = await hall.site()
    await asyncio.gather(*[hall.begin(site, f"user {number}") for number in range(130)])
    hall.clock.turn(minutes=10)
    assert [await hall.enrollments.expire_due() for _ in range(3)] == [100, 30, 0]
    assert (await hall.types(site)).count("enrollment.expired") == 130


async def test_another_site_finds_none_of_it(hall: Hall) -> None:
    site, other = await hall.site(), await hall.site("Other")
    made, _ = await hall.begin(site, require_code=True, method=_GENERIC)
    calls: list[Callable[[Site, str], Awaitable[object]]] = [
        hall.enrollments.get,
        hall.enrollments.cancel,
        lambda caller, own: hall.enrollments.confirm(caller, own, "000000"),
        lambda caller, own: anext(hall.enrollments.watch(caller, own, 0)),
    ]
    for call in calls:
        for caller, enrollment_id in ((other, made.enrollment_id), (site, "enr_unknown")):
            with pytest.raises(NotFound) as refused:
                await call(caller, enrollment_id)
            assert str(refused.value) == ""
    assert await hall.enrollments.get(site, made.enrollment_id) == made


async def _in(hall: Hall, site: Site, phone: Handset, state: EnrollmentState) -> tuple[Enrollment, str]:
    """An enrollment in a state, held by the phone where somebody holds it."""
    required = state not in (_S.COMPLETED, _S.SCANNED)
    made, uri = await hall.begin(site, require_code=required)
    if state in (_S.SCANNED, _S.REJECTED):
        await hall.scans.open(phone.caller, uri)
    if state in (_S.AWAITING_CODE, _S.COMPLETED):
        await hall.accept(phone, uri)
    if state is _S.REJECTED:
        await hall.scans.reject(phone.caller, uri)
    if state is _S.CANCELED:
        await hall.enrollments.cancel(site, made.enrollment_id)
    if state is _S.EXPIRED:
        hall.clock.turn(minutes=10)
    assert (await hall.enrollments.get(site, made.enrollment_id)).state is state
    return made, uri


# What a call makes of each state: the next one, or the refusal.
_Next = EnrollmentState | type[Refusal]
_NOWHERE: dict[EnrollmentState, _Next] = dict.fromkeys(_S, NotFound)
_NEXT: dict[str, dict[EnrollmentState, _Next]] = {
    "cancel": {
        _S.PENDING: _S.CANCELED,
        _S.SCANNED: _S.CANCELED,
        _S.AWAITING_CODE: _S.CANCELED,
        _S.COMPLETED: WrongState,
        _S.REJECTED: WrongState,
        _S.EXPIRED: WrongState,
        _S.CANCELED: _S.CANCELED,
    },
    "confirm": {
        _S.PENDING: WrongState,
        _S.SCANNED: WrongState,
        _S.AWAITING_CODE: _S.COMPLETED,
        _S.COMPLETED: WrongState,
        _S.REJECTED: WrongState,
        _S.EXPIRED: WrongState,
        _S.CANCELED: WrongState,
    },
    "open": {
        _S.PENDING: _S.SCANNED,
        _S.SCANNED: _S.SCANNED,
        _S.AWAITING_CODE: NotFound,
        _S.COMPLETED: NotFound,
        _S.REJECTED: NotFound,
        _S.EXPIRED: NotFound,
        _S.CANCELED: NotFound,
    },
    "accept": {
        _S.PENDING: _S.AWAITING_CODE,
        _S.SCANNED: _S.COMPLETED,
        _S.AWAITING_CODE: NotFound,
        _S.COMPLETED: NotFound,
        _S.REJECTED: NotFound,
        _S.EXPIRED: NotFound,
        _S.CANCELED: NotFound,
    },
    "reject": {
        _S.PENDING: _S.REJECTED,
        _S.SCANNED: _S.REJECTED,
        _S.AWAITING_CODE: _S.REJECTED,
        _S.COMPLETED: WrongState,
        _S.REJECTED: _S.REJECTED,
        _S.EXPIRED: NotFound,
        _S.CANCELED: NotFound,
    },
    "another opens": _NOWHERE | {_S.PENDING: _S.SCANNED},
    "another accepts": _NOWHERE | {_S.PENDING: _S.AWAITING_CODE},
    "another rejects": _NOWHERE | {_S.PENDING: _S.REJECTED},
}


@pytest.mark.parametrize("state", _S)
@pytest.mark.parametrize("call", _NEXT)
async def test_each_call_in_each_state(hall: Hall, call: str, state: EnrollmentState) -> None:
    site, phone, another = await hall.site(), await hall.phone(), await hall.phone()
    made, uri = await _in(hall, site, phone, state)
    before = await hall.enrollments.get(site, made.enrollment_id)

    async def confirm() -> None:
        linked = await hall.sites.list_sites(phone.caller)
        code = phone.code(linked[0].site_id, hall.clock()) if linked else "000000"
        await hall.confirm(site, made, code)

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "cancel": lambda: hall.enrollments.cancel(site, made.enrollment_id),
        "confirm": confirm,
        "open": lambda: hall.scans.open(phone.caller, uri),
        "accept": lambda: hall.accept(phone, uri),
        "reject": lambda: hall.scans.reject(phone.caller, uri),
        "another opens": lambda: hall.scans.open(another.caller, uri),
        "another accepts": lambda: hall.accept(another, uri),
        "another rejects": lambda: hall.scans.reject(another.caller, uri),
    }
    expected = _NEXT[call][state]
    if isinstance(expected, EnrollmentState):
        await calls[call]()
    else:
        with pytest.raises(expected):
            await calls[call]()

    after = await hall.enrollments.get(site, made.enrollment_id)
    assert after.state is (expected if isinstance(expected, EnrollmentState) else state)
    if after.state is before.state:
        assert after == before
    bodies = [each.body for each in await hall.feed(site) if each.type.startswith("enrollment")]
    revisions = [each.revision for each in bodies if isinstance(each, Enrollment)]
    written = after.revision - (state is _S.EXPIRED)
    assert revisions == list(range(1, written + 1))
    links = len(await hall.sites.list_sites(phone.caller)) + len(await hall.sites.list_sites(another.caller))
    assert links == (after.state in (_S.AWAITING_CODE, _S.COMPLETED))
    assert (after.state in TERMINAL) == (after.state not in (_S.PENDING, _S.SCANNED, _S.AWAITING_CODE))


@pytest.mark.parametrize("state", [_S.PENDING, _S.AWAITING_CODE])
async def test_canceled_and_expired_ones_leave_no_link(hall: Hall, state: EnrollmentState) -> None:
    """The control: a link is there while it waits."""
    site, phone = await hall.site(), await hall.phone()
    for ends in ("cancel", "expire"):
        made, _ = await _in(hall, site, phone, state)
        waits = len(await hall.sites.list_sites(phone.caller))
        assert waits == (state is _S.AWAITING_CODE)
        if ends == "cancel":
            await hall.enrollments.cancel(site, made.enrollment_id)
        else:
            hall.clock.turn(minutes=10)
            await hall.enrollments.expire_due()
        site_id = (await hall.row(EnrollmentRow, made.enrollment_id)).site_id
        assert (site_id is not None) == (state is _S.AWAITING_CODE)
        assert await hall.count(LinkRow) == 0
