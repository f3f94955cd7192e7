"""Every call that takes a secret has a limit that bites, and takes nothing twice.

The calls come from the descriptors: a new one fails here until both have been shown of it.
"""

from collections.abc import Awaitable, Callable, Mapping

from authy_grpc.domain import keys
from authy_grpc.domain.receipts import Decision, Receipt
from authy_grpc.phone.scan import read_token
from authy_grpc.phone.state import new_key
from authy_grpc.rpc.auth import NEEDS
from authy_grpc.rpc.contract import PACKAGE
from authy_grpc.service.caller import Gateway
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1.approval_pb2 import Approval, CreateApprovalRequest
from authy_grpc.v1.enrollment_pb2 import ConfirmEnrollmentRequest, CreateEnrollmentResponse
from tests.forging import Device, millis, reason
from tests.harness import NUMBER, ORIGIN, Service
from tests.household import Asking, Household
from tests.rushing import became, other, verdict
from tests.test_contract import SECRETS, methods, path

Scenario = Callable[[Household], Awaitable[None]]


async def locked_out(home: Household) -> None:
    right = home.own.code(home.site_id)
    tries = [await verdict(home.site.client, home.authy_id, other(right)) for _ in range(6)]
    assert tries == ["WRONG"] * 5 + ["USER_LOCKED"]
    assert await verdict(home.site.client, home.authy_id, right) == "USER_LOCKED"


async def code_once(home: Household) -> None:
    code = home.own.code(home.site_id)
    tries = [await verdict(home.site.client, home.authy_id, code) for _ in range(2)]
    assert tries == ["ACCEPTED", "REPLAYED"]


async def waiting_for_a_code(home: Household) -> tuple[CreateEnrollmentResponse, str]:
    made = await home.begin("first code", require_code=True, replace_existing=True)
    return made, (await home.own.accept(made.qr.uri)).site_id


async def confirm(home: Household, made: CreateEnrollmentResponse, code: str) -> str:
    request = ConfirmEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id, code=code)
    return await became(home.site.client.enrollments.ConfirmEnrollment(request))


async def locked_out_at_the_first_code(home: Household) -> None:
    made, site_id = await waiting_for_a_code(home)
    right = home.own.code(site_id)
    tries = [await confirm(home, made, other(right)) for _ in range(6)]
    assert tries == ["CODE_REJECTED"] * 5 + ["USER_LOCKED"]
    assert await confirm(home, made, right) == "USER_LOCKED"


async def first_code_once(home: Household) -> None:
    made, site_id = await waiting_for_a_code(home)
    code = home.own.code(site_id)
    assert await confirm(home, made, code) == "OK"
    again, same_id = await waiting_for_a_code(home)
    assert same_id == site_id
    assert await confirm(home, again, code) == "CODE_REJECTED"


async def verification(home: Household) -> tuple[Device, str, str]:
    """A new device, and what it may register with."""
    device = Device(home.service)
    started = await device.account.StartPhoneVerification(
        account.StartPhoneVerificationRequest(phone_number=NUMBER)
    )
    return device, started.verification_id, await home.service.text_code()


async def five_guesses_at_a_number(home: Household) -> None:
    device, pvn, code = await verification(home)
    for typed in [other(code)] * 5 + [code]:
        assert await reason(device.account.RegisterDevice(device.registration(pvn, typed))) == "CODE_REJECTED"


async def number_code_once(home: Household) -> None:
    device, pvn, code = await verification(home)
    assert await reason(device.account.RegisterDevice(device.registration(pvn, code))) == "OK"
    another = Device(home.service)
    assert await reason(device.account.RegisterDevice(another.registration(pvn, code))) == "CODE_REJECTED"


async def asked_too_often(home: Household) -> None:
    device, *_ = await verification(home)
    request = account.StartPhoneVerificationRequest(phone_number=NUMBER)
    assert await reason(device.account.StartPhoneVerification(request)) == "RATE_LIMITED"


async def each_start_is_another(home: Household) -> None:
    _, first, code = await verification(home)
    home.service.clock.turn(seconds=30)
    device, second, other_code = await verification(home)
    assert first != second
    if code != other_code:
        answer = await reason(device.account.RegisterDevice(device.registration(second, code)))
        assert answer == "CODE_REJECTED"


async def five_guesses_at_a_waiting_device(home: Household) -> None:
    for check in [other(home.check)] * 5 + [home.check]:
        request = account.ApproveDeviceRequest(
            device_id=home.waiting.device_id,
            check=check,
            proof=home.own.proof("AccountService/ApproveDevice", home.waiting.device_id, check),
        )
        assert await reason(home.own.call(home.own.account.ApproveDevice, request)) == "CODE_REJECTED"


async def let_in_once(home: Household) -> None:
    approve = Asking(home, "AccountService/ApproveDevice")
    assert await approve(approve.proof()) == "OK"
    assert await approve(approve.proof()) == "WRONG_STATE"


async def not_built_yet(home: Household) -> None:
    stub = home.own.account
    for call, request in (
        (stub.ChangePhone, account.ChangePhoneRequest()),
        (stub.SetPushSubscription, account.SetPushSubscriptionRequest()),
        # No code goes out for what is not built.
        (
            stub.StartPhoneVerification,
            account.StartPhoneVerificationRequest(
                phone_number=NUMBER, purpose=account.PHONE_PURPOSE_CHANGE_NUMBER
            ),
        ),
    ):
        assert await reason(home.own.call(call, request)) == "UNIMPLEMENTED"


def late(method: str) -> Scenario:
    async def scenario(home: Household) -> None:
        call, now = Asking(home, method), millis(home.service.clock())
        assert await call(call.proof(at=now - 60_001)) == "CLOCK_SKEW"
        assert await call(call.proof(at=now + 60_001)) == "CLOCK_SKEW"

    return scenario


def proof_once(method: str, afterwards: str = "CLOCK_SKEW") -> Scenario:
    async def scenario(home: Household) -> None:
        call = Asking(home, method)
        proof = call.proof()
        assert [await call(proof), await call(proof)] == ["OK", afterwards]

    return scenario


async def open_by(device: Device, token: str) -> str:
    request = authenticator.OpenEnrollmentRequest(token=token)
    return await reason(device.call(device.authenticator.OpenEnrollment, request))


async def reject_by(device: Device, token: str) -> str:
    request = authenticator.RejectEnrollmentRequest(token=token)
    return await reason(device.call(device.authenticator.RejectEnrollment, request))


async def token_in_time(home: Household) -> None:
    made = await home.begin("late")
    home.service.clock.turn(minutes=10)
    token = read_token(made.qr.uri, ORIGIN)
    assert await open_by(home.own, token) == "NOT_FOUND"
    assert await reason(home.own.accept(made.qr.uri)) == "NOT_FOUND"
    assert await reject_by(home.own, token) == "NOT_FOUND"


async def token_once(home: Household) -> None:
    made = await home.begin("accepted", replace_existing=True)
    token = read_token(made.qr.uri, ORIGIN)
    assert await open_by(home.own, token) == "OK"
    # Kept for the first account that has opened it.
    for answer in (open_by(home.stranger, token), reject_by(home.stranger, token)):
        assert await answer == "NOT_FOUND"
    assert await reason(home.stranger.accept(made.qr.uri)) == "NOT_FOUND"
    assert await reason(home.second.accept(made.qr.uri)) == "OK"
    assert await reason(home.own.accept(made.qr.uri)) == "NOT_FOUND"
    assert await open_by(home.own, token) == "NOT_FOUND"
    assert await reject_by(home.own, token) == "WRONG_STATE"


async def rejected_once(home: Household) -> None:
    made = await home.begin("rejected")
    token = read_token(made.qr.uri, ORIGIN)
    assert await reject_by(home.own, token) == "OK"
    assert await open_by(home.own, token) == "NOT_FOUND"
    assert await reason(home.own.accept(made.qr.uri)) == "NOT_FOUND"
    assert await reject_by(home.stranger, token) == "NOT_FOUND"


async def one_key_a_link(home: Household) -> None:
    assert await reason(home.own.add_key(home.site_id)) == "WRONG_STATE"


async def key_once(home: Household) -> None:
    private = new_key()
    key = home.second.site_key(home.site_id, private)
    assert await reason(home.second.add_key(home.site_id, **key)) == "OK"
    made = await home.begin("same key")
    key = home.second.site_key(read_token(made.qr.uri, ORIGIN), private)
    assert await reason(home.second.accept(made.qr.uri, **key)) == "BAD_SIGNATURE"


async def ask(home: Household) -> tuple[Approval, bytes]:
    """An approval, and the question as the device gets it."""
    request = CreateApprovalRequest(authy_id=home.authy_id, message="Log in?")
    asked = (await home.site.client.approvals.CreateApproval(request)).approval
    return asked, await home.own.question()


async def answer(home: Household, asked: Approval, question: bytes, number: str) -> tuple[str, int]:
    """The state of a question and the tries left, or why an answer is refused."""
    private = home.own.site_keys[home.site_id]
    kid = keys.thumbprint(keys.public_point(private))
    time = int(home.service.clock().timestamp())
    receipt = Receipt(kid, Decision.APPROVE, number, False, time, question).sign(private)
    return await home.own.respond(asked.approval_id, receipt)


async def three_match_numbers(home: Household) -> None:
    asked, question = await ask(home)
    wrong = [f"{(int(asked.match_number) + by) % 1_000_000:06d}" for by in (1, 2, 3)]
    tries = [await answer(home, asked, question, number) for number in wrong]
    assert tries == [("PENDING", 2), ("PENDING", 1), ("DENIED", 0)]
    assert await answer(home, asked, question, asked.match_number) == ("WRONG_STATE", 0)


async def receipt_once(home: Household) -> None:
    asked, question = await ask(home)
    wrong = other(asked.match_number)
    # The same answer again counts once and is answered the same; for another question it is none.
    tries = [await answer(home, asked, question, wrong) for _ in range(4)]
    assert tries == [("PENDING", 2)] * 4
    assert [await answer(home, asked, question, asked.match_number) for _ in range(2)] == [
        ("APPROVED", 0)
    ] * 2
    later, _ = await ask(home)
    assert await answer(home, later, question, later.match_number) == ("BAD_SIGNATURE", 0)


# In an order in which each leaves the others possible.
LIMITS: Mapping[str, Scenario] = {
    "VerificationService/VerifyCode": locked_out,
    "EnrollmentService/ConfirmEnrollment": locked_out_at_the_first_code,
    "AccountService/RegisterDevice": five_guesses_at_a_number,
    "AccountService/StartPhoneVerification": asked_too_often,
    "AccountService/UpdateDevice": late("AccountService/UpdateDevice"),
    "AccountService/AcknowledgeDevice": late("AccountService/AcknowledgeDevice"),
    "AccountService/ApproveDevice": five_guesses_at_a_waiting_device,
    "AccountService/ChangePhone": not_built_yet,
    "AuthenticatorService/OpenEnrollment": token_in_time,
    "AuthenticatorService/AcceptEnrollment": token_in_time,
    "AuthenticatorService/RejectEnrollment": token_in_time,
    "AuthenticatorService/AddSiteKey": one_key_a_link,
    "AuthenticatorService/RespondApproval": three_match_numbers,
    "AccountService/CreateSession": late("AccountService/CreateSession"),
    "AccountService/UpdateAccount": late("AccountService/UpdateAccount"),
    "AccountService/RevokeDevice": late("AccountService/RevokeDevice"),
    "AccountService/SetPushSubscription": not_built_yet,
    "AuthenticatorService/UpdateSite": late("AuthenticatorService/UpdateSite"),
    "AuthenticatorService/RemoveSite": late("AuthenticatorService/RemoveSite"),
    "AccountService/DeleteAccount": late("AccountService/DeleteAccount"),
}
ONCE: Mapping[str, Scenario] = {
    "VerificationService/VerifyCode": code_once,
    "EnrollmentService/ConfirmEnrollment": first_code_once,
    "AccountService/RegisterDevice": number_code_once,
    "AccountService/StartPhoneVerification": each_start_is_another,
    "AccountService/UpdateDevice": proof_once("AccountService/UpdateDevice"),
    "AccountService/AcknowledgeDevice": proof_once("AccountService/AcknowledgeDevice"),
    "AccountService/ApproveDevice": let_in_once,
    "AccountService/ChangePhone": not_built_yet,
    "AuthenticatorService/OpenEnrollment": token_once,
    "AuthenticatorService/AcceptEnrollment": token_once,
    "AuthenticatorService/RejectEnrollment": rejected_once,
    "AuthenticatorService/AddSiteKey": key_once,
    "AuthenticatorService/RespondApproval": receipt_once,
    "AccountService/CreateSession": proof_once("AccountService/CreateSession"),
    "AccountService/UpdateAccount": proof_once("AccountService/UpdateAccount"),
    "AccountService/RevokeDevice": proof_once("AccountService/RevokeDevice"),
    "AccountService/SetPushSubscription": not_built_yet,
    "AuthenticatorService/UpdateSite": proof_once("AuthenticatorService/UpdateSite"),
    "AuthenticatorService/RemoveSite": proof_once("AuthenticatorService/RemoveSite"),
    "AccountService/DeleteAccount": proof_once("AccountService/DeleteAccount", "BAD_CREDENTIAL"),
}


def test_both_are_shown_of_every_call_that_takes_a_secret() -> None:
    names = set().union(*(names for _, names in SECRETS.values()))
    taking = {
        path(method).removeprefix(PACKAGE)
        for method in methods()
        if names & {field.name for field in method.input_type.fields}
        # A gateway asks about its callers' credentials; nobody else can.
        and NEEDS[f"/{path(method)}"].kind is not Gateway
    }
    assert taking == set(LIMITS) == set(ONCE)


async def test_every_call_that_takes_a_secret_has_a_limit(service: Service) -> None:
    await show(await Household.of(service), LIMITS)


async def test_no_call_takes_a_secret_twice(service: Service) -> None:
    await show(await Household.of(service), ONCE)


async def show(home: Household, scenarios: Mapping[str, Scenario]) -> None:
    for call, scenario in scenarios.items():
        # What was asked of a number before is no longer counted.
        home.service.clock.turn(hours=6)
        for device in (home.own, home.second, home.stranger):
            await device.open()
        try:
            await scenario(home)
        except BaseException as error:
            error.add_note(f"shown of {call}")
            raise
