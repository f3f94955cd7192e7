"""Codes and time: which steps are taken, and that what was used, or is older, is taken at no later second."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from authy_grpc.phone import Phone
from authy_grpc.v1.enrollment_pb2 import (
    ConfirmEnrollmentRequest,
    CreateEnrollmentRequest,
    EnrollmentMethod,
    EnrollmentState,
)
from tests.harness import NUMBER, Service, Site
from tests.rushing import became, second_device, unlock, verdict

Figure = Callable[[int, int], int]
Maker = Callable[[datetime], Awaitable[str]]
GENERIC = EnrollmentMethod.ENROLLMENT_METHOD_GENERIC_TOTP
PERIOD = 30


def step_of(moment: datetime, period: int = PERIOD) -> int:
    return int(moment.timestamp()) // period


def start_of(step: int, period: int = PERIOD) -> datetime:
    return datetime.fromtimestamp(step * period, UTC)


def ahead(service: Service, steps: int = 4, period: int = PERIOD) -> int:
    """Turn the clock on to the beginning of a step that no code of before reaches."""
    step = step_of(service.clock(), period) + steps
    service.clock.now = start_of(step, period)
    return step


async def offer(site: Site, authy_id: str, *codes: str) -> list[str]:
    """What codes are worth, four at most; the lock that wrong ones would bring is lifted at once."""
    results = await asyncio.gather(*[verdict(site.client, authy_id, code) for code in codes])
    assert "USER_LOCKED" not in results
    if "WRONG" in results:
        await unlock(site, authy_id)
    return results


@dataclass
class Login:
    """One user who logs in with a phone whose clock is off."""

    site: Site
    authy_id: str
    codes: list[str]
    step: int
    accepted: bool = False

    async def second(self, now: datetime) -> None:
        """The newest code until it is taken; from then on it, and the two before it, are not."""
        distance = step_of(now) - self.step
        if not self.accepted:
            self.accepted = await offer(self.site, self.authy_id, self.codes[0]) == ["ACCEPTED"]
            assert self.accepted == (abs(distance) <= 1)
            return
        results = await offer(self.site, self.authy_id, *self.codes)
        # A step that has left the window is wrong, as is what never was a code.
        assert results == ["REPLAYED" if abs(distance + back) <= 1 else "WRONG" for back in range(3)]


async def test_a_used_code_and_older_ones_are_taken_at_no_second(service: Service, figure: Figure) -> None:
    """Each second to the end of the window, by phones whose clocks are 45 s slow to 45 s fast."""
    site, phone = await service.site(), await service.phone()
    skews = range(-45, 46, figure(30, 1))
    enrolled = [await service.enroll(site, phone, f"{skew} s off") for skew in skews]
    for into in range(figure(22, 1), PERIOD, figure(14, 7)):
        begin = start_of(ahead(service)) + timedelta(seconds=into)
        logins = []
        for skew, (enrollment, linked) in zip(skews, enrolled, strict=True):
            seen = begin + timedelta(seconds=skew)
            codes = [await phone.code(linked, seen - timedelta(seconds=PERIOD * back)) for back in range(3)]
            logins.append(Login(site, enrollment.authy_id, codes, step_of(seen)))
        for passed in range(5 * PERIOD):
            now = service.clock.now = begin + timedelta(seconds=passed)
            within = [login for login in logins if now < start_of(login.step + 2) + timedelta(seconds=1)]
            await asyncio.gather(*[login.second(now) for login in within])
        # All but those of phones that were two steps behind from the start.
        assert [login.accepted for login in logins] == [into + skew >= -PERIOD for skew in skews]


async def first_code(
    site: Site, phone: Phone, method: EnrollmentMethod.ValueType, custom_user_id: str
) -> tuple[str, Maker]:
    """An enrollment that awaits a code: its id, and what makes the codes."""
    request = CreateEnrollmentRequest(custom_user_id=custom_user_id, require_code=True, method=method)
    made = await site.client.enrollments.CreateEnrollment(request)
    if method == GENERIC:
        app = pyotp.parse_uri(made.qr.uri)
        assert isinstance(app, pyotp.TOTP)

        async def code(at: datetime) -> str:
            return app.at(at)

        return made.enrollment.enrollment_id, code
    linked = await phone.accept(await phone.open(made.qr.uri))
    return made.enrollment.enrollment_id, lambda at: phone.code(linked, at)


@pytest.mark.parametrize(
    "method", [EnrollmentMethod.ENROLLMENT_METHOD_AUTHENTICATOR, GENERIC], ids=["authenticator", "generic"]
)
async def test_the_code_that_confirmed_an_enrollment_is_taken_at_no_login(
    service: Service, figure: Figure, method: EnrollmentMethod.ValueType
) -> None:
    site, phone = await service.site(), await service.phone()
    for skew in (-PERIOD, 0, PERIOD):
        await confirmed_and_followed(service, site, phone, method, skew, figure(5, 1))


async def confirmed_and_followed(
    service: Service,
    site: Site,
    phone: Phone,
    method: EnrollmentMethod.ValueType,
    skew: int,
    seconds: int,
) -> None:
    enrollment_id, make = await first_code(site, phone, method, f"{skew} s off")
    begin = start_of(ahead(service)) + timedelta(seconds=11)
    seen = begin + timedelta(seconds=skew)
    request = ConfirmEnrollmentRequest(enrollment_id=enrollment_id, code=await make(seen))
    confirmed = (await site.client.enrollments.ConfirmEnrollment(request)).enrollment
    assert confirmed.state == EnrollmentState.ENROLLMENT_STATE_COMPLETED
    codes = [await make(seen - timedelta(seconds=PERIOD * back)) for back in range(3)]
    login = Login(site, confirmed.authy_id, codes, step_of(seen), accepted=True)
    while service.clock() < start_of(login.step + 2):
        await login.second(service.clock())
        service.clock.turn(seconds=seconds)
    # The call that confirmed it answers the same still, and the next code is taken.
    assert (await site.client.enrollments.ConfirmEnrollment(request)).enrollment == confirmed
    assert await offer(site, confirmed.authy_id, await make(service.clock())) == ["ACCEPTED"]


async def test_a_code_used_at_a_login_confirms_no_renewal(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    used = await phone.code(linked)
    assert await offer(site, enrollment.authy_id, used) == ["ACCEPTED"]
    renewal = CreateEnrollmentRequest(custom_user_id="ada", require_code=True, replace_existing=True)
    made = await site.client.enrollments.CreateEnrollment(renewal)
    await phone.accept(await phone.open(made.qr.uri))

    async def confirm(code: str) -> str:
        request = ConfirmEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id, code=code)
        return await became(site.client.enrollments.ConfirmEnrollment(request))

    older = await phone.code(linked, service.clock() - timedelta(seconds=PERIOD))
    assert [await confirm(code) for code in (used, older)] == ["CODE_REJECTED"] * 2
    service.clock.turn(seconds=PERIOD)
    assert await confirm(used) == "CODE_REJECTED"
    assert await confirm(await phone.code(linked)) == "OK"
    assert await offer(site, enrollment.authy_id, await phone.code(linked)) == ["REPLAYED"]


@pytest.mark.parametrize("by", ["the same device", "another device"])
async def test_a_renewal_makes_no_used_code_good_again(service: Service, by: str) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    renewing = phone if by == "the same device" else await second_device(service, phone, NUMBER)
    service.clock.turn(seconds=PERIOD)
    codes = [await phone.code(linked, service.clock() - timedelta(seconds=PERIOD * back)) for back in (0, 1)]
    assert await offer(site, enrollment.authy_id, codes[0]) == ["ACCEPTED"]
    renewed, _ = await service.enroll(site, renewing, replace_existing=True)
    assert renewed.authy_id == enrollment.authy_id
    assert await offer(site, renewed.authy_id, *codes) == ["REPLAYED"] * 2


@pytest.mark.parametrize("apart", [PERIOD, 2 * PERIOD])
async def test_devices_whose_clocks_differ_do_not_spoil_each_others_codes(
    service: Service, figure: Figure, apart: int
) -> None:
    site, first = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, first)
    second = await second_device(service, first, NUMBER)
    await second.add_key(linked)
    fast, slow = timedelta(seconds=PERIOD if apart > PERIOD else 0), timedelta(seconds=PERIOD)
    for each in range(figure(6, 200)):
        service.clock.turn(seconds=PERIOD)
        now = service.clock()
        codes = [await first.code(linked, now + fast), await second.code(linked, now - slow)]
        for code in codes if each % 2 else codes[::-1]:
            assert await offer(site, enrollment.authy_id, code) == ["ACCEPTED"]
        assert await offer(site, enrollment.authy_id, *codes) == ["REPLAYED"] * 2


async def test_three_steps_are_taken_to_the_millisecond(service: Service) -> None:
    phone = await service.phone()
    for period, digits, generic in ((30, 6, False), (10, 8, True)):
        name = f"Every{period}{generic}"
        site = await service.site(name, code_period_seconds=period, code_digits=digits)
        authy_id, make = await enrolled_by(service, site, phone, generic)
        for distance in range(-3, 5):
            for by in (-1, 0, 1):
                step = ahead(service, 12, period)
                moment = start_of(step + distance, period) + timedelta(milliseconds=by)
                code = await make(start_of(step, period))
                service.clock.now = moment
                good = -1 <= step_of(moment, period) - step <= 1
                expected = ["ACCEPTED" if good else "WRONG"]
                assert await offer(site, authy_id, code) == expected, (period, distance, by)


async def enrolled_by(service: Service, site: Site, phone: Phone, generic: bool) -> tuple[str, Maker]:
    """A user: its authy_id, and what makes the codes."""
    if not generic:
        enrollment, linked = await service.enroll(site, phone)
        return enrollment.authy_id, lambda at: phone.code(linked, at)
    enrollment_id, make = await first_code(site, phone, GENERIC, "ada")
    request = ConfirmEnrollmentRequest(enrollment_id=enrollment_id, code=await make(service.clock()))
    return (await site.client.enrollments.ConfirmEnrollment(request)).enrollment.authy_id, make
