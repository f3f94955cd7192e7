"""A clock that ran ahead and was set right shuts nobody out; what was used now is used up all the same."""

from datetime import timedelta

import pytest

from authy_grpc.phone import Phone
from authy_grpc.v1.verification_pb2 import SendCodeRequest
from tests.harness import ORIGIN, Service
from tests.rushing import became, unlock, verdict


async def session(phone: Phone) -> str:
    """What becomes of a new session of a phone that knows nothing of the service's time."""
    phone._session.forget()
    phone._session._offset = timedelta()
    return await became(phone._session.open())


@pytest.mark.parametrize("span", [timedelta(minutes=10), timedelta(days=1), timedelta(days=400)])
async def test_nobody_is_shut_out_for_the_span(service: Service, span: timedelta) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    own, right = enrollment.authy_id, service.clock()

    async def send() -> str:
        return await became(site.client.verification.SendCode(SendCodeRequest(authy_id=own, force=True)))

    for now in (right + span, right + timedelta(minutes=1)):
        service.clock.now = now
        assert await session(phone) == "OK"
        code = await phone.code(linked)
        assert await verdict(site.client, own, code) == "ACCEPTED"
        assert await send() == "OK"
        # What was done now counts now.
        assert await verdict(site.client, own, code) == "REPLAYED"
        assert await send() == "RATE_LIMITED"


async def test_what_all_callers_together_had_sent_is_passed_over(service: Service) -> None:
    service.options["sms_per_hour"] = 2
    await service.restart()
    right = service.clock()
    async with Phone(service.channel(), origin=ORIGIN, clock=service.clock) as phone:

        async def start(last: int) -> str:
            return await became(phone.start(f"+491511234570{last}"))

        for now in (right + timedelta(days=1), right + timedelta(minutes=1)):
            service.clock.now = now
            assert [await start(last) for last in range(3)] == ["OK", "OK", "RATE_LIMITED"]


async def test_ends_that_were_set_stand(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    right = service.clock()
    service.clock.now = right + timedelta(days=1)
    for code in ("000000", "111111", "222222", "333333", "444444", "555555"):
        await verdict(site.client, enrollment.authy_id, code)
    service.clock.now = right + timedelta(minutes=1)
    assert await verdict(site.client, enrollment.authy_id, await phone.code(linked)) == "USER_LOCKED"
    await unlock(site, enrollment.authy_id)
    assert await verdict(site.client, enrollment.authy_id, await phone.code(linked)) == "ACCEPTED"


async def test_unlocking_forgets_a_step_in_the_future_and_none_of_now(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    own, right = enrollment.authy_id, service.clock() + timedelta(minutes=2)
    service.clock.now = right + timedelta(minutes=4)
    assert await verdict(site.client, own, await phone.code(linked)) == "ACCEPTED"
    service.clock.now = right
    phone._session._offset = timedelta()
    code = await phone.code(linked)
    assert await verdict(site.client, own, code) == "REPLAYED"
    await unlock(site, own)
    assert await verdict(site.client, own, code) == "ACCEPTED"
    await unlock(site, own)
    assert await verdict(site.client, own, code) == "REPLAYED"


async def test_a_clock_behind_the_newest_row_is_said(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    await service.enroll(site, phone)
    await service.due()
    assert "clock is behind" not in service.log.getvalue()
    service.clock.turn(days=1)
    await service.enroll(site, phone, "later")
    service.clock.turn(days=-1)
    await service.due()
    assert "clock is behind the database" in service.log.getvalue()
