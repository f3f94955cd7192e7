"""What is good once is taken once, however many bring it at one moment."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta

from authy_grpc.client import AsyncClient
from authy_grpc.phone import Offer, Phone
from authy_grpc.phone.scan import read_token
from authy_grpc.v1.account_pb2 import DeviceState
from authy_grpc.v1.approval_pb2 import CreateApprovalRequest
from authy_grpc.v1.enrollment_pb2 import (
    ConfirmEnrollmentRequest,
    CreateEnrollmentRequest,
    EnrollmentState,
    GetEnrollmentRequest,
)
from authy_grpc.v1.verification_pb2 import CreateBackupCodesRequest
from tests.clock import TurnedClock
from tests.databases import Postgres
from tests.harness import NUMBER, ORIGIN, Service
from tests.rushing import PATIENCE, at_once, became, connect, many_phones, more_keys, sent_code, told, verdict

Figure = Callable[[int, int], int]
CALLS = 200


async def through_all(
    clients: list[AsyncClient], authy_id: str, code: str, action: str = ""
) -> dict[str, int]:
    """The answers to one code, offered at once through all keys in turn."""
    return await at_once(
        verdict(clients[each % len(clients)], authy_id, code, action) for each in range(CALLS)
    )


async def test_of_200_calls_with_one_code_through_three_keys_one_is_accepted(
    service: Service, figure: Figure
) -> None:
    site, phone = await service.site(), await service.phone()
    clients = await more_keys(service, site, 3)
    enrollment, linked = await service.enroll(site, phone)
    rounds = figure(3, 50)
    for _ in range(rounds):
        service.clock.turn(seconds=30)
        code = await phone.code(linked)
        answers = await through_all(clients, enrollment.authy_id, code)
        assert answers == {"ACCEPTED": 1, "REPLAYED": CALLS - 1}
    assert len(await told(site, rounds, "code.accepted")) == rounds


async def test_codes_of_neighbouring_steps_at_once_are_each_taken_once(
    service: Service, figure: Figure
) -> None:
    site, phone = await service.site(), await service.phone()
    clients = await more_keys(service, site, 3)
    enrollment, linked = await service.enroll(site, phone)
    for _ in range(figure(2, 50)):
        service.clock.turn(seconds=90)
        steps = [timedelta(seconds=by) for by in (-30, 0, 30)]
        codes = [await phone.code(linked, service.clock() + by) for by in steps]
        offered = [codes[each % 3] for each in range(CALLS)]
        verdicts = await asyncio.gather(
            *[
                verdict(clients[index // 3 % 3], enrollment.authy_id, code)
                for index, code in enumerate(offered)
            ]
        )
        taken = [code for code, result in zip(offered, verdicts, strict=True) if result == "ACCEPTED"]
        assert set(verdicts) == {"ACCEPTED", "REPLAYED"}
        # The last of them is not to be missed: no later one could have used it up.
        assert codes[-1] in taken and len(taken) == len(set(taken))


async def test_a_sent_code_and_a_backup_code_are_taken_once(service: Service, figure: Figure) -> None:
    site, phone = await service.site(), await service.phone()
    clients = await more_keys(service, site, 3)
    enrollment, _ = await service.enroll(site, phone)
    authy_id = enrollment.authy_id
    made = await site.client.verification.CreateBackupCodes(CreateBackupCodesRequest(authy_id=authy_id))
    for backup_code in made.codes[: figure(1, 10)]:
        service.clock.turn(days=1)
        code = await sent_code(service, site, authy_id, "login")
        answers = await through_all(clients, authy_id, code, "login")
        assert answers == {"ACCEPTED": 1, "REPLAYED": CALLS - 1}
        answers = await through_all(clients, authy_id, backup_code)
        # Wrong ones of its shape have a rate of their own.
        assert answers == {"ACCEPTED": 1, "WRONG": 20, "RATE_LIMITED": CALLS - 21}


async def test_a_first_code_at_once_completes_one_enrollment(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    clients = await more_keys(service, site, 3)
    made = await site.client.enrollments.CreateEnrollment(
        CreateEnrollmentRequest(custom_user_id="ada", require_code=True)
    )
    linked = await phone.accept(await phone.open(made.qr.uri))
    request = ConfirmEnrollmentRequest(
        enrollment_id=made.enrollment.enrollment_id, code=await phone.code(linked)
    )
    answers = await asyncio.gather(
        *[clients[each % 3].enrollments.ConfirmEnrollment(request, timeout=PATIENCE) for each in range(CALLS)]
    )
    # The same call again answers the same.
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert answers[0].enrollment.state == EnrollmentState.ENROLLMENT_STATE_COMPLETED
    assert len(await told(site, 1, "enrollment.completed")) == 1


async def test_of_100_phones_that_claim_one_token_one_wins(service: Service, figure: Figure) -> None:
    site, phones = await service.site(), await many_phones(service, figure(40, 100))
    made = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))

    token = read_token(made.qr.uri, ORIGIN)

    async def claim(index: int, phone: Phone) -> None:
        # Every other one accepts without having opened it.
        unopened = Offer(token, "", "", service.clock())
        await phone.accept(unopened if index % 2 else await phone.open(made.qr.uri))

    answers = await at_once(became(claim(*each)) for each in enumerate(phones))
    assert answers == {"OK": 1, "NOT_FOUND": len(phones) - 1}
    enrollment = await site.client.enrollments.GetEnrollment(
        GetEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id)
    )
    assert enrollment.enrollment.state == EnrollmentState.ENROLLMENT_STATE_COMPLETED
    assert sorted([len(await phone.sites()) for phone in phones])[-2:] == [0, 1]
    assert len(enrollment.enrollment.keys) == 1


async def test_a_code_sent_to_a_number_adds_one_phone(service: Service, figure: Figure) -> None:
    channel = service.channel()
    phones = [Phone(channel, origin=ORIGIN, clock=service.clock) for _ in range(figure(50, 200))]
    verification = await phones[0].start(NUMBER)
    code = await service.text_code()
    answers = await at_once(became(phone.register(verification, code, "Pocket")) for phone in phones)
    assert answers == {"OK": 1, "CODE_REJECTED": len(phones) - 1}
    (winner,) = [phone for phone in phones if phone.registered]
    (device,) = await winner.devices()
    assert device.state == DeviceState.DEVICE_STATE_ACTIVE


async def test_a_code_of_each_next_step_is_another_one(service: Service) -> None:
    """The control: that one is accepted in the tests above is no accident of what accepts but one."""
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    for _ in range(3):
        service.clock.turn(seconds=30)
        assert await verdict(site.client, enrollment.authy_id, await phone.code(linked)) == "ACCEPTED"


async def test_of_two_servers_on_one_database_one_takes_a_code(
    postgres: Postgres, clock: TurnedClock, random: Callable[[int], bytes], figure: Figure
) -> None:
    with postgres.database() as url:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(Service.on(url, clock, random))
            # Before there is another that may send the text.
            site, phone = await one.site(), await one.phone()
            two = await stack.enter_async_context(Service(url, clock, random, one.secrets))
            clients = [site.client, await connect(two, site.api_key)]
            enrollment, linked = await one.enroll(site, phone)
            for _ in range(figure(2, 50)):
                clock.turn(seconds=30)
                answers = await through_all(clients, enrollment.authy_id, await phone.code(linked))
                assert answers == {"ACCEPTED": 1, "REPLAYED": CALLS - 1}


async def test_of_two_servers_on_one_database_one_does_what_a_request_id_asks(
    postgres: Postgres, clock: TurnedClock, random: Callable[[int], bytes], figure: Figure
) -> None:
    with postgres.database() as url:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(Service.on(url, clock, random))
            # Before there is another that may send the text.
            site, phone = await one.site(), await one.phone()
            two = await stack.enter_async_context(Service(url, clock, random, one.secrets))
            clients = [site.client, await connect(two, site.api_key)]
            enrollment, _ = await one.enroll(site, phone)
            for each in range(figure(10, 200)):
                request = CreateApprovalRequest(
                    authy_id=enrollment.authy_id, message="Log in?", request_id=f"request {each}"
                )
                asked = await asyncio.gather(
                    *[client.approvals.CreateApproval(request) for client in clients]
                )
                assert asked[0] == asked[1]
                await phone.approve(await phone.question(), asked[0].approval.match_number)
