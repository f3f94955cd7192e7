"""The first code proves who scanned; it is good once, and wrong ones count."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pyotp
import pytest

from authy_grpc.domain.enrollment import Enrollment, EnrollmentMethod, EnrollmentState
from authy_grpc.domain.errors import CodeRejected, UserLocked, WrongState
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import CodeResult
from authy_grpc.service.caller import Site
from authy_grpc.store.tables import ApplicationRow, DeviceRow, EnrollmentRow, LinkRow
from tests.asking import wrong
from tests.clock import TurnedClock
from tests.enrolling import Hall, Handset

_S = EnrollmentState
_GENERIC = EnrollmentMethod.GENERIC_TOTP


@pytest.fixture
async def hall(database_url: str, clock: TurnedClock) -> AsyncIterator[Hall]:
    async with Hall.hired(database_url, clock) as hired:
        yield hired


async def _waiting(
    hall: Hall, site: Site, phone: Handset, *, replace_existing: bool = False
) -> tuple[Enrollment, str]:
    """An enrollment that awaits a code, and the link's site_id."""
    made, uri = await hall.begin(site, require_code=True, replace_existing=replace_existing)
    linked = await hall.accept(phone, uri)
    return made, linked.site_id


async def test_the_first_code_makes_the_user(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, uri = await hall.begin(site, require_code=True)
    linked = await hall.accept(phone, uri)
    assert (linked.awaiting_code, linked.has_key) == (True, True)
    assert (await hall.users.list_page(site, 0, ""))[0] == []
    hall.clock.turn(seconds=45)

    completed = await hall.confirm(site, made, _spaced(phone.code(linked.site_id, hall.clock())))

    assert (completed.state, completed.revision) == (_S.COMPLETED, 4)
    user = await hall.user_of(site)
    assert (user.authy_id, user.keys) == (completed.authy_id, completed.keys)
    assert user.create_time == hall.clock()
    (own,) = await hall.sites.list_sites(phone.caller)
    assert (own.site_id, own.awaiting_code, own.has_key) == (linked.site_id, False, True)


def _spaced(code: str) -> str:
    return f" {code[:3]} {code[3:]}"


async def test_the_application_may_ask_for_a_code_always(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    await hall.change(ApplicationRow, site.application_id, require_code=True)
    _, uri = await hall.begin(site)
    assert (await hall.accept(phone, uri)).awaiting_code
    _, uri = await hall.begin(site, require_code=False)
    assert not (await hall.accept(phone, uri)).awaiting_code


async def test_any_app_is_enrolled_by_its_seed(hall: Hall) -> None:
    site = await hall.site()
    made, uri = await hall.begin(site, method=_GENERIC, require_code=False)
    assert (made.state, made.revision) == (_S.AWAITING_CODE, 1)
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP)
    assert len(base64.b32decode(app.secret)) == 20
    now = hall.clock()
    completed = await hall.confirm(site, made, app.at(now))
    assert (completed.state, completed.keys) == (_S.COMPLETED, ())
    assert (await hall.user_of(site)).factors == (Factor.SOFT_TOKEN,)
    assert await hall.verify(site, completed.authy_id, app.at(now)) is CodeResult.REPLAYED
    hall.clock.turn(seconds=30)
    assert await hall.verify(site, completed.authy_id, app.at(hall.clock())) is CodeResult.ACCEPTED


async def test_the_code_that_confirmed_is_used_up(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, site_id = await _waiting(hall, site, phone)
    code, earlier = (
        phone.code(site_id, hall.clock()),
        phone.code(site_id, hall.clock() - timedelta(seconds=30)),
    )
    completed = await hall.confirm(site, made, code)
    assert await hall.verify(site, completed.authy_id, earlier) is CodeResult.REPLAYED
    worth = []
    for _ in range(60):
        worth.append(await hall.verify(site, completed.authy_id, code))
        hall.clock.turn(seconds=1)
    assert worth == [CodeResult.REPLAYED] * 60
    assert await hall.verify(site, completed.authy_id, code) is CodeResult.WRONG
    fresh = phone.code(site_id, hall.clock())
    assert await hall.verify(site, completed.authy_id, fresh) is CodeResult.ACCEPTED


async def test_the_same_call_again_answers_the_same(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, site_id = await _waiting(hall, site, phone)
    code = phone.code(site_id, hall.clock())
    answers = await asyncio.gather(*[hall.confirm(site, made, code) for _ in range(20)])
    assert {each.revision for each in answers} == {4}
    assert len(set(answers)) == 1
    hall.clock.turn(hours=1)
    assert await hall.confirm(site, made, _spaced(code)) == answers[0]
    with pytest.raises(WrongState) as refused:
        await hall.confirm(site, made, wrong(code))
    assert refused.value.state == "COMPLETED"
    assert (await hall.types(site)).count("enrollment.completed") == 1


async def test_what_cannot_be_the_first_code_is_no_guess(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, site_id = await _waiting(hall, site, phone)
    for typed in ("12345", "1234567", "abcdef", " "):
        with pytest.raises(CodeRejected):
            await hall.confirm(site, made, typed)
    assert (await hall.row(LinkRow, site_id)).failures == 0
    code = phone.code(site_id, hall.clock())
    with pytest.raises(CodeRejected):
        await hall.confirm(site, made, wrong(code))
    assert (await hall.row(LinkRow, site_id)).failures == 1
    wide = "\u200b".join(chr(0xFF10 + int(each)) for each in code)
    assert (await hall.confirm(site, made, wide)).state is _S.COMPLETED
    with pytest.raises(WrongState):
        await hall.confirm(site, made, "12345")


async def test_wrong_codes_count_and_lock(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, site_id = await _waiting(hall, site, phone)
    code = phone.code(site_id, hall.clock())
    for _ in range(5):
        with pytest.raises(CodeRejected):
            await hall.confirm(site, made, wrong(code))
    with pytest.raises(UserLocked) as refused:
        await hall.confirm(site, made, code)
    assert refused.value.retry_after == timedelta(seconds=30)
    assert (await hall.row(LinkRow, site_id)).failures == 5
    hall.clock.turn(seconds=30)
    await hall.confirm(site, made, phone.code(site_id, hall.clock()))
    assert (await hall.row(LinkRow, site_id)).failures == 0
    assert (await hall.user_of(site)).locked_until is None
    assert [each for each in await hall.types(site) if not each.startswith("enrollment")] == []


async def test_parallel_guesses_do_not_outrun_the_count(
    hall: Hall, figure: Callable[[int, int], int]
) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, site_id = await _waiting(hall, site, phone)
    code = phone.code(site_id, hall.clock())
    guesses = [hall.confirm(site, made, wrong(code, by)) for by in range(1, figure(50, 1000))]
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(each, CodeRejected) for each in answers) == 5
    assert all(isinstance(each, CodeRejected | UserLocked) for each in answers)
    assert (await hall.row(LinkRow, site_id)).failures == 5


@pytest.mark.parametrize("step", range(-3, 4))
async def test_codes_of_the_present_step_and_its_neighbours_are_good(hall: Hall, step: int) -> None:
    site, phone = await hall.site(), await hall.phone()
    made, site_id = await _waiting(hall, site, phone)
    code = phone.code(site_id, hall.clock() + timedelta(seconds=30 * step))
    if abs(step) <= 1:
        assert (await hall.confirm(site, made, code)).state is _S.COMPLETED
    else:
        with pytest.raises(CodeRejected):
            await hall.confirm(site, made, code)


async def test_the_code_is_of_the_device_that_accepted(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    other = await hall.phone(phone.caller.account_id)
    made, site_id = await _waiting(hall, site, phone)
    with pytest.raises(CodeRejected):
        await hall.confirm(site, made, other.code(site_id, hall.clock()))
    await hall.change(DeviceRow, phone.caller.device_id, state="REVOKED")
    with pytest.raises(CodeRejected):
        await hall.confirm(site, made, phone.code(site_id, hall.clock()))
    await hall.change(DeviceRow, phone.caller.device_id, state="ACTIVE")
    assert (await hall.confirm(site, made, phone.code(site_id, hall.clock()))).state is _S.COMPLETED


async def test_a_renewed_user_counts_wrong_codes_and_its_feed_says_so(hall: Hall) -> None:
    site, phone = await hall.site(), await hall.phone()
    first, linked = await hall.enroll(site, phone)
    login = phone.code(linked.site_id, hall.clock())
    assert await hall.verify(site, first.authy_id, login) is CodeResult.ACCEPTED
    made, site_id = await _waiting(hall, site, phone, replace_existing=True)
    assert site_id == linked.site_id
    with pytest.raises(CodeRejected):
        await hall.confirm(site, made, login)
    assert (await hall.row(LinkRow, site_id)).failures == 0
    for _ in range(5):
        with pytest.raises(CodeRejected):
            await hall.confirm(site, made, wrong(login))
    assert (await hall.types(site))[-6:] == ["code.rejected"] * 5 + ["user.locked"]
    told: list[Any] = [each.body for each in (await hall.feed(site))[-6:-1]]
    assert {(each.factor, each.reason) for each in told} == {(None, "wrong")}
    assert (await hall.user_of(site)).locked_until == hall.clock() + timedelta(seconds=30)
    hall.clock.turn(seconds=30)
    code = phone.code(site_id, hall.clock())
    completed = await hall.confirm(site, made, code)
    assert completed.authy_id == first.authy_id
    assert await hall.verify(site, first.authy_id, code) is CodeResult.REPLAYED
    assert await hall.verify(site, first.authy_id, login) is CodeResult.REPLAYED


async def test_a_user_that_came_up_meanwhile_is_not_replaced(hall: Hall) -> None:
    """Two open enrollments of one user cannot be; nor does a row written behind their back lose its user."""
    site, phone, other = await hall.site(), await hall.phone(), await hall.phone()
    made, site_id = await _waiting(hall, site, phone)
    _, elsewhere = await hall.enroll(site, other, "bob")
    digest = (await hall.row(EnrollmentRow, made.enrollment_id)).custom_user_digest
    await hall.change(LinkRow, elsewhere.site_id, custom_user_digest=digest)
    with pytest.raises(WrongState) as refused:
        await hall.confirm(site, made, phone.code(site_id, hall.clock()))
    assert refused.value.state == "CANCELED"
    assert (await hall.enrollments.get(site, made.enrollment_id)).state is _S.CANCELED
    assert await hall.sites.list_sites(phone.caller) == []
    assert len(await hall.sites.list_sites(other.caller)) == 1
