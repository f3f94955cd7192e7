"""Wrong codes count wherever a code is taken: first codes, numbers, waiting devices and match numbers."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pyotp
import pytest

from authy_grpc.client import PushFrozen, UserLocked
from authy_grpc.phone import Phone, PhoneError
from authy_grpc.v1.account_pb2 import PHONE_PURPOSE_UNSPECIFIED, PhonePurpose, StartPhoneVerificationRequest
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub
from authy_grpc.v1.approval_pb2 import Approval, ApprovalState, CreateApprovalRequest
from authy_grpc.v1.enrollment_pb2 import (
    ConfirmEnrollmentRequest,
    CreateEnrollmentRequest,
    EnrollmentMethod,
)
from authy_grpc.v1.verification_pb2 import SendCodeRequest
from tests.harness import NUMBER, ORIGIN, Service, Site
from tests.rushing import PATIENCE, at_once, became, other, reconnect, verdict, wrong_codes

Figure = Callable[[int, int], int]


async def confirm(site: Site, enrollment_id: str, code: str) -> str:
    """What becomes of a first code."""
    request = ConfirmEnrollmentRequest(enrollment_id=enrollment_id, code=code)
    return await became(site.client.enrollments.ConfirmEnrollment(request, timeout=PATIENCE))


async def confirm_all(site: Site, enrollment_id: str, codes: list[str]) -> dict[str, int]:
    """What becomes of first codes that are offered at once."""
    return await at_once(confirm(site, enrollment_id, code) for code in codes)


async def test_first_codes_are_counted_for_the_link(service: Service, figure: Figure) -> None:
    site, phone = await service.site(require_code=True), await service.phone()
    made = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
    enrollment_id, count = made.enrollment.enrollment_id, figure(200, 1000)
    linked = await phone.accept(await phone.open(made.qr.uri))
    pair = [(phone, linked)]
    codes = await wrong_codes(count, service.clock(), phones=pair)
    assert await confirm_all(site, enrollment_id, codes) == {"CODE_REJECTED": 5, "USER_LOCKED": count - 5}
    service.clock.turn(seconds=29, milliseconds=999)
    assert await confirm(site, enrollment_id, await phone.code(linked)) == "USER_LOCKED"
    service.clock.turn(milliseconds=1)
    codes = await wrong_codes(50, service.clock(), phones=pair)
    assert await confirm_all(site, enrollment_id, codes) == {"CODE_REJECTED": 1, "USER_LOCKED": 49}
    await service.restart()
    site = await reconnect(service, site)
    with pytest.raises(UserLocked) as caught:
        await site.client.enrollments.ConfirmEnrollment(
            ConfirmEnrollmentRequest(enrollment_id=enrollment_id, code=codes[0])
        )
    assert caught.value.retry_delay == timedelta(seconds=60)
    service.clock.turn(seconds=60)
    assert await confirm(site, enrollment_id, await phone.code(linked)) == "OK"


async def test_a_login_and_a_renewal_have_one_count(service: Service) -> None:
    """A user that is replaced by the same account keeps its counts: neither door opens the other."""
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    codes = await wrong_codes(9, service.clock(), phones=[(phone, linked)])
    renewal = CreateEnrollmentRequest(custom_user_id="ada", require_code=True, replace_existing=True)

    async def renew() -> str:
        made = await site.client.enrollments.CreateEnrollment(renewal)
        await phone.accept(await phone.open(made.qr.uri))
        return made.enrollment.enrollment_id

    assert [await verdict(site.client, enrollment.authy_id, code) for code in codes[:2]] == ["WRONG"] * 2
    enrollment_id = await renew()
    assert await confirm_all(site, enrollment_id, codes[2:4]) == {"CODE_REJECTED": 2}
    # Another renewal begins with what the one before it has left.
    enrollment_id = await renew()
    assert await confirm_all(site, enrollment_id, codes[4:]) == {"CODE_REJECTED": 1, "USER_LOCKED": 4}
    right = await phone.code(linked)
    assert await verdict(site.client, enrollment.authy_id, right) == "USER_LOCKED"
    service.clock.turn(seconds=30)
    assert await confirm(site, enrollment_id, await phone.code(linked)) == "OK"
    service.clock.turn(seconds=30)
    assert await verdict(site.client, enrollment.authy_id, await phone.code(linked)) == "ACCEPTED"


async def test_first_codes_of_a_generic_app_are_counted_too(service: Service, figure: Figure) -> None:
    site, count = await service.site(), figure(100, 1000)
    request = CreateEnrollmentRequest(
        custom_user_id="ada", method=EnrollmentMethod.ENROLLMENT_METHOD_GENERIC_TOTP
    )
    made = await site.client.enrollments.CreateEnrollment(request)
    app = pyotp.parse_uri(made.qr.uri)
    assert isinstance(app, pyotp.TOTP)
    right = {app.at(service.clock() + timedelta(seconds=30 * step)) for step in (-1, 0, 1)}
    codes = [code for code in map("{:06d}".format, range(count + 3)) if code not in right][:count]
    answers = await confirm_all(site, made.enrollment.enrollment_id, codes)
    assert answers == {"CODE_REJECTED": 5, "USER_LOCKED": count - 5}


@pytest.mark.parametrize("wrong", [4, 5, 60])
async def test_five_guesses_at_a_number(service: Service, figure: Figure, wrong: int) -> None:
    wrong = figure(wrong, 1000) if wrong > 5 else wrong
    channel = service.channel()
    phones = [Phone(channel, origin=ORIGIN, clock=service.clock) for _ in range(wrong)]
    phone = Phone(channel, origin=ORIGIN, clock=service.clock)
    verification = await phone.start(NUMBER)
    right = await service.text_code()
    codes = [code for code in map("{:06d}".format, range(wrong + 1)) if code != right][:wrong]
    answers = await at_once(
        became(guesser.register(verification, code, "Pocket"))
        for guesser, code in zip(phones, codes, strict=True)
    )
    assert answers == {"CODE_REJECTED": wrong}
    assert await became(phone.register(verification, right, "Pocket")) == (
        "OK" if wrong < 5 else "CODE_REJECTED"
    )


async def test_neither_a_restart_nor_a_new_code_revives_a_guessed_one(service: Service) -> None:
    async def phone() -> Phone:
        return Phone(service.channel(), origin=ORIGIN, clock=service.clock)

    verification = await (await phone()).start(NUMBER)
    right = await service.text_code()
    for _ in range(3):
        assert await became((await phone()).register(verification, other(right), "x")) == "CODE_REJECTED"
    await service.restart()
    for _ in range(2):
        assert await became((await phone()).register(verification, other(right), "x")) == "CODE_REJECTED"
    service.clock.turn(seconds=30)
    second = await (await phone()).start(NUMBER)
    assert await became((await phone()).register(verification, right, "x")) == "CODE_REJECTED"
    assert await became((await phone()).register(second, await service.text_code(), "x")) == "OK"


class Callers:
    """Unknown callers at addresses of their own, as a gateway tells of them."""

    def __init__(self, service: Service) -> None:
        self._stub = AccountServiceStub(service.channel())
        self._key = service.secrets.gateway_key
        self._count = 0

    async def start(
        self, number: str, peer: str = "", purpose: PhonePurpose.ValueType = PHONE_PURPOSE_UNSPECIFIED
    ) -> str:
        """OK, or the status of the refusal."""
        self._count += 1
        peer = peer or f"10.1.{self._count // 256}.{self._count % 256}"
        metadata = (("x-authy-peer", peer), ("x-authy-gateway", self._key))
        request = StartPhoneVerificationRequest(phone_number=number, purpose=purpose)
        try:
            await self._stub.StartPhoneVerification(request, metadata=metadata, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            return PhoneError.read(error).reason
        return "OK"


async def test_a_number_has_ten_codes_a_day_whoever_asks(service: Service, figure: Figure) -> None:
    """So fifty guesses a day are all that anybody has at a number."""
    callers, sent = Callers(service), list[datetime]()
    begin = service.clock()
    while service.clock() < begin + timedelta(days=2):
        count = figure(4, 100)
        # The third, CHANGE_NUMBER, is not built.
        purposes = [each % 2 for each in range(count)]
        answers = await at_once(
            callers.start(NUMBER, purpose=PhonePurpose.ValueType(each)) for each in purposes
        )
        assert answers["OK"] <= 1 and answers["OK"] + answers["RATE_LIMITED"] == count
        sent += [service.clock()] * answers["OK"]
        # Not a millisecond before time is up.
        step = timedelta(seconds=30) if len(sent) % 10 else timedelta(hours=1)
        service.clock.now += step - timedelta(milliseconds=1)
        if sent[-1:] == [service.clock() - step + timedelta(milliseconds=1)]:
            assert await callers.start(NUMBER) == "RATE_LIMITED"
        service.clock.turn(milliseconds=1)
    for count, window in ((1, timedelta(seconds=30)), (3, timedelta(minutes=10)), (10, timedelta(days=1))):
        gaps = [later - earlier for earlier, later in zip(sent, sent[count:], strict=False)]
        assert min(gaps) >= window
    assert len(sent) == 20


async def test_an_address_has_thirty_an_hour(service: Service) -> None:
    callers = Callers(service)
    numbers = [f"+49151{23_450_000 + each}" for each in range(45)]
    assert await at_once(callers.start(number, "203.0.113.7") for number in numbers) == {
        "OK": 30,
        "RATE_LIMITED": 15,
    }
    assert await callers.start("+4915123460000", "203.0.113.8") == "OK"
    service.clock.turn(hours=1)
    assert await callers.start("+4915123470000", "203.0.113.7") == "OK"


async def test_codes_that_sites_send_have_other_budgets(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    callers, send = Callers(service), SendCodeRequest(authy_id=enrollment.authy_id, force=True)
    service.clock.turn(minutes=10)
    for _ in range(3):
        assert await became(site.client.verification.SendCode(send)) == "OK"
        assert await became(site.client.verification.SendCode(send)) == "RATE_LIMITED"
        assert await callers.start(NUMBER) == "OK"
        assert await callers.start(NUMBER) == "RATE_LIMITED"
        service.clock.turn(seconds=30)
    assert await became(site.client.verification.SendCode(send)) == "RATE_LIMITED"


@pytest.mark.parametrize("wrong", [4, 5])
async def test_five_guesses_at_a_waiting_device(service: Service, wrong: int) -> None:
    first = await service.phone()
    service.clock.turn(seconds=30)
    second = await service.phone(name="Tablet")
    (shown,) = await second.devices()
    for by in range(wrong):
        check = f"{(int(shown.check) + 1 + by) % 1_000_000:06d}"
        assert await became(first.approve_device(second.device_id, check)) == "CODE_REJECTED"
    let_in = await became(first.approve_device(second.device_id, shown.check))
    assert let_in == ("OK" if wrong < 5 else "CODE_REJECTED")


async def ask(site: Site, authy_id: str) -> Approval:
    request = CreateApprovalRequest(authy_id=authy_id, message="Log in?")
    return (await site.client.approvals.CreateApproval(request)).approval


@pytest.mark.parametrize(("digits", "tries"), [(6, 3), (5, 1)])
async def test_match_numbers_are_guessed_three_times_at_most(
    service: Service, figure: Figure, digits: int, tries: int
) -> None:
    site, phone = await service.site(match_digits=digits), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    count = figure(20, 1000)
    for _ in range(3):
        asked = await ask(site, enrollment.authy_id)
        question = await phone.question()

        async def guess(number: str) -> str:
            try:
                answer = await phone.approve(question, number)  # noqa: B023
            except PhoneError as error:
                return f"{error.reason} {error.metadata['state']}"
            return f"{ApprovalState.Name(answer.state)} {answer.attempts_remaining}"

        numbers = [other(asked.match_number)]
        while len(numbers) < count:
            numbers.append(f"{(int(numbers[-1]) + 1) % 10**digits:0{digits}d}")
        answers = await at_once(guess(number) for number in numbers)
        left = {f"APPROVAL_STATE_PENDING {each}": 1 for each in range(1, tries)}
        assert answers == {**left, "APPROVAL_STATE_DENIED 0": 1, "WRONG_STATE DENIED": count - tries}
        assert await guess(asked.match_number) == "WRONG_STATE DENIED"
    with pytest.raises(PushFrozen) as frozen:
        await ask(site, enrollment.authy_id)
    assert frozen.value.retry_delay == timedelta(minutes=15)


async def test_a_restart_brings_no_more_tries_at_a_match_number(service: Service, tmp_path: Path) -> None:
    site, phone = await service.site(), await service.phone(state=tmp_path / "phone.json")
    enrollment, _ = await service.enroll(site, phone)
    asked = await ask(site, enrollment.authy_id)
    wrong = [f"{(int(asked.match_number) + by) % 1_000_000:06d}" for by in (1, 2, 3)]
    left = []
    for number in wrong:
        answer = await phone.approve(await phone.question(), number)
        left.append(answer.attempts_remaining)
        await service.restart()
        phone = Phone(service.channel(), origin=ORIGIN, clock=service.clock, state=tmp_path / "phone.json")
    assert left == [2, 1, 0] and answer.state == ApprovalState.APPROVAL_STATE_DENIED
