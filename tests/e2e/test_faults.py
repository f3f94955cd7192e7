"""When a part of the service fails, the caller learns nothing of it, and nothing is let through."""

import asyncio
import json
import logging
import secrets
import time

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from authy_grpc import logs
from authy_grpc.domain import keys, receipts
from authy_grpc.domain.ids import new_secret
from authy_grpc.phone import Phone
from authy_grpc.phone.state import new_key
from authy_grpc.rpc.auth import NEEDS
from authy_grpc.service.caller import Device as DeviceCaller
from authy_grpc.service.caller import Gateway, Nobody, Operator
from authy_grpc.v1.account_pb2 import RegisterDeviceRequest
from authy_grpc.v1.approval_pb2 import ApprovalState, CreateApprovalRequest, GetApprovalRequest
from authy_grpc.v1.authenticator_pb2 import RespondApprovalRequest
from authy_grpc.v1.credential_pb2 import CheckRequest
from authy_grpc.v1.verification_pb2 import CodeResult, VerifyCodeRequest
from tests.e2e.breaking import SECRET, Breaking, Broken, Fault, broken, fail, gone, held_up
from tests.e2e.methods import NO, REQUESTS, path, served, streams
from tests.e2e.wire import Exchange, Party
from tests.harness import Service

SENTENCE = "Internal error of this service: tell its operator the `request_id`."
SECONDS = 10.0
_QUESTION = receipts.Question(
    approval_id=f"apr_{NO}",
    authy_id="1000000",
    site_id=f"sit_{NO}",
    site="Example",
    origin="https://example.com",
    message="Log in?",
    details=(),
    match_digits=6,
    user_verification=False,
    created=0,
    expires=90,
    nonce="A" * 22,
)


class Callers:
    """One of each kind, by the kind that a method asks for."""

    def __init__(self, service: Service, api_key: str, device_token: str) -> None:
        channel = service.channel()
        self.operator = Party(channel, service.secrets.operator_key)
        self.site = Party(channel, api_key)
        self.device = Party(channel, device_token)
        self.gateway = Party(channel, service.secrets.gateway_key)
        self.nobody = Party(channel)

    async def call(self, name: str, request: Message | None = None) -> Exchange:
        kind = NEEDS[path(name)].kind
        others = {
            Operator: self.operator, DeviceCaller: self.device, Gateway: self.gateway, Nobody: self.nobody
        }  # fmt: skip
        party = others.get(kind, self.site)  # type: ignore[arg-type]
        return await party.send(path(name), REQUESTS[name] if request is None else request)

    async def warm_up(self) -> None:
        """Have the credentials looked up: they are remembered for a second."""
        for name in ("UserService/GetUser", "AuthenticatorService/ListSites"):
            await self.call(name)


async def callers(service: Service) -> tuple[Callers, Phone]:
    site, phone = await service.site(), await service.phone()
    return Callers(service, site.api_key, phone._session._token), phone


def told(exchange: Exchange) -> error_details_pb2.ErrorInfo:
    """The reason that came with an error."""
    info = error_details_pb2.ErrorInfo()
    for key, value in exchange.metadata:
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            assert status_pb2.Status.FromString(value).details[0].Unpack(info)
    return info


def check_internal(service: Service, exchange: Exchange, frame: str) -> None:
    """The peer sees INTERNAL and an id; by the id the log tells where it failed."""
    info = told(exchange)
    assert (exchange.code, exchange.details, info.reason) == ("INTERNAL", SENTENCE, "INTERNAL"), exchange
    assert dict(info.metadata) == {"request_id": exchange.request_id}
    lines = [json.loads(line) for line in service.log.getvalue().splitlines()]
    found = [line for line in lines if line.get("request_id") == exchange.request_id and "errors" in line]
    assert len(found) == 1 and len(exchange.request_id) == 16
    assert found[0]["level"] == "error" and found[0]["method"] == exchange.method
    classes = [error["class"] for error in found[0]["errors"]]
    assert classes[0].endswith(".Fault") and "builtins.ValueError" in classes
    assert any(frame in each for each in found[0]["errors"][0]["frames"])
    assert not any(word in exchange.received for word in (b"canary", b"271828", b"49151", b"Fault"))


async def test_every_handler_that_fails_tells_the_caller_an_id_and_the_log_where(service: Service) -> None:
    calling, _ = await callers(service)
    names = sorted(served(service))
    assert set(names) == set(REQUESTS)
    with broken(service, Broken()):
        for name in names:
            check_internal(service, await calling.call(name), "fail")
    log = service.log.getvalue()
    assert "canary" not in log and "271828" not in log
    with pytest.raises(Fault) as raised:
        fail()
    assert "canary" in repr(raised.value) and "271828" in str(raised.value)  # it would have been found


async def test_a_stream_that_fails_on_its_way_tells_no_more(service: Service) -> None:
    calling, _ = await callers(service)
    names = [name for name in sorted(served(service)) if streams(name)]
    assert len(names) == 5
    with broken(service, Breaking()):
        for name in names:
            check_internal(service, await calling.call(name), "fail_later")
    assert "canary" not in service.log.getvalue()


async def test_a_fault_below_the_services_tells_no_more(service: Service) -> None:
    """In the database's works, and where credentials are looked up."""
    calling, _ = await callers(service)
    await calling.warm_up()
    database = service.core.database
    database.read = database.write = database.write_batched = fail  # type: ignore[method-assign]
    database.page = fail  # type: ignore[method-assign]
    for name in sorted(served(service)):
        exchange = await calling.call(name, await valid(service, name))
        check_internal(service, exchange, "fail")
    service.clock.turn(seconds=2)
    check_internal(service, await calling.call("UserService/GetUser"), "find")
    assert "canary" not in service.log.getvalue()
    del database.read, database.write, database.write_batched, database.page


async def valid(service: Service, name: str) -> Message:
    """A request that gets as far as the database: three are looked at before."""
    if name == "CredentialService/Check":
        request = CheckRequest()
        request.MergeFromString(REQUESTS[name].SerializeToString())
        request.credential = f"Bearer {new_secret('ak', secrets.token_bytes)}"
        return request
    key = new_key()
    point = keys.public_point(key)
    if name == "AccountService/RegisterDevice":
        agreement = keys.public_point(new_key())
        register = RegisterDeviceRequest()
        register.MergeFromString(REQUESTS[name].SerializeToString())
        register.signing_key, register.agreement_key = point, agreement
        register.signature = keys.sign(
            key, keys.registration_message(register.verification_id, point, agreement)
        )
        return register
    if name == "AuthenticatorService/RespondApproval":
        receipt = receipts.Receipt(
            kid=keys.thumbprint(point),
            decision=receipts.Decision.DENY,
            match_number="",
            user_verified=False,
            time=0,
            question=_QUESTION.write(),
        )
        return RespondApprovalRequest(approval_id=f"apr_{NO}", receipt=receipt.sign(key))
    return REQUESTS[name]


def check_unavailable(exchange: Exchange) -> None:
    assert (exchange.code, told(exchange).reason) == ("UNAVAILABLE", "BACKEND"), exchange


@pytest.mark.parametrize("known", [True, False], ids=["credential known", "credential looked up"])
async def test_without_its_database_every_call_is_unavailable(service: Service, known: bool) -> None:
    calling, _ = await callers(service)
    names = sorted(served(service))
    requests = {name: await valid(service, name) for name in names}
    await calling.warm_up()
    if not known:
        service.clock.turn(seconds=2)
    begin = time.monotonic()
    with gone(service):
        exchanges = await asyncio.gather(*[calling.call(name, requests[name]) for name in names])
    assert time.monotonic() - begin < SECONDS
    for exchange in exchanges:
        check_unavailable(exchange)
    answered = await calling.call("ApplicationService/GetCurrentApplication")
    assert answered.code == "OK"  # it was the database


async def test_what_was_asked_without_a_database_was_not_decided(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    asked = await site.client.approvals.CreateApproval(
        CreateApprovalRequest(authy_id=enrollment.authy_id, message="Log in?")
    )
    question = await phone.question()
    code = VerifyCodeRequest(authy_id=enrollment.authy_id, code=await phone.code(linked))
    calling = Callers(service, site.api_key, phone._session._token)
    receipt = await _receipt(phone, question, asked.approval.match_number)
    stream = site.client.watch_approval(asked.approval.approval_id)
    assert (await anext(stream)).state == ApprovalState.APPROVAL_STATE_PENDING
    with gone(service):
        for _ in range(2):
            check_unavailable(await calling.call("VerificationService/VerifyCode", code))
            check_unavailable(await calling.call("AuthenticatorService/RespondApproval", receipt))
    found = await site.client.approvals.GetApproval(
        GetApprovalRequest(approval_id=asked.approval.approval_id)
    )
    assert found.approval.state == ApprovalState.APPROVAL_STATE_PENDING
    verified = await site.client.verification.VerifyCode(code)
    assert verified.result == CodeResult.CODE_RESULT_ACCEPTED
    answered = await calling.call("AuthenticatorService/RespondApproval", receipt)
    assert answered.code == "OK"
    # A stream that was open all the while goes on.
    assert (await anext(stream)).state == ApprovalState.APPROVAL_STATE_APPROVED
    await stream.aclose()


async def _receipt(phone: Phone, question: receipts.Question, number: str) -> RespondApprovalRequest:
    state = phone._session.keeper.state
    key = state.site_keys[question.site_id]
    receipt = receipts.Receipt(
        kid=keys.thumbprint(keys.public_point(key)),
        decision=receipts.Decision.APPROVE,
        match_number=number,
        user_verified=False,
        time=question.created,
        question=question.write(),
    )
    return RespondApprovalRequest(approval_id=question.approval_id, receipt=receipt.sign(key))


async def test_what_took_too_long_was_not_decided(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    code = VerifyCodeRequest(authy_id=enrollment.authy_id, code=await phone.code(linked))
    calling = Callers(service, site.api_key, phone._session._token)
    await calling.warm_up()
    database = service.core.database
    usual, database._timeout = database._timeout, 0.5
    begin = time.monotonic()
    with held_up(service):
        check_unavailable(await calling.call("VerificationService/VerifyCode", code))
    assert time.monotonic() - begin < SECONDS
    database._timeout = usual
    # What waited behind it has been done by now.
    await calling.call("UserService/UnlockUser")
    verified = await site.client.verification.VerifyCode(code)
    assert verified.result == CodeResult.CODE_RESULT_ACCEPTED


async def test_what_a_library_says_of_a_fault_goes_to_the_log_without_its_text(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    said = {"message": SECRET, "exception": Fault(SECRET)}
    handler = logs.take_over(service.core.log)
    try:
        # As asyncio says it of a task that nobody waited for.
        asyncio.get_running_loop().call_exception_handler(said)
    finally:
        logging.getLogger().removeHandler(handler)
    line = json.loads(service.log.getvalue().splitlines()[-1])
    assert (line["event"], line["library"], line["level"]) == ("library", "asyncio", "error")
    assert line["errors"][0]["class"].endswith(".Fault")
    assert "canary" not in service.log.getvalue() + "".join(capfd.readouterr())
    assert "canary" in repr(said)  # it would have been found
