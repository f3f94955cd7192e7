"""What VerificationService says on the wire."""

from datetime import timedelta

import pytest

from authy_grpc.client import AuthyError
from authy_grpc.v1.application_pb2 import API_KEY_SCOPE_EVENTS, CreateApiKeyRequest
from authy_grpc.v1.user_pb2 import FACTOR_BACKUP_CODE, FACTOR_SOFT_TOKEN, FACTOR_UNSPECIFIED
from authy_grpc.v1.verification_pb2 import (
    CODE_CHANNEL_VOICE,
    CODE_RESULT_ACCEPTED,
    CODE_RESULT_EXPIRED,
    CODE_RESULT_REPLAYED,
    CODE_RESULT_WRONG,
    CreateBackupCodesRequest,
    SendCodeRequest,
    SendCodeResponse,
    VerifyCodeRequest,
    VerifyCodeResponse,
)
from tests.harness import Service, Site
from tests.rushing import became, connect, other


async def _verify(site: Site, authy_id: str, code: str, **fields: str) -> VerifyCodeResponse:
    request = VerifyCodeRequest(authy_id=authy_id, code=code, **fields)
    return await site.client.verification.VerifyCode(request)


async def test_each_result_has_its_factor_and_what_is_left(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    authy_id = enrollment.authy_id
    code = await phone.code(linked)

    accepted = await _verify(site, authy_id, f"{code[:3]} {code[3:]}")
    assert accepted == VerifyCodeResponse(
        result=CODE_RESULT_ACCEPTED, factor=FACTOR_SOFT_TOKEN, attempts_remaining=5
    )
    replayed = await _verify(site, authy_id, code)
    assert (replayed.result, replayed.factor) == (CODE_RESULT_REPLAYED, FACTOR_UNSPECIFIED)
    assert replayed.attempts_remaining == 5
    assert (await _verify(site, authy_id, "12345")).attempts_remaining == 5
    wrong = await _verify(site, authy_id, other(code))
    assert (wrong.result, wrong.factor) == (CODE_RESULT_WRONG, FACTOR_UNSPECIFIED)
    assert wrong.attempts_remaining == 4


async def test_a_code_by_voice_is_sent_taken_and_expires(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    authy_id = enrollment.authy_id
    assert await site.client.verification.SendCode(SendCodeRequest(authy_id=authy_id)) == SendCodeResponse()

    wish = SendCodeRequest(authy_id=authy_id, channel=CODE_CHANNEL_VOICE, force=True, action="login")
    sending = await site.client.verification.SendCode(wish)
    assert sending.sent
    assert sending.retry_delay.ToTimedelta() == timedelta(seconds=30)
    assert sending.expire_time.seconds == int((service.clock() + timedelta(minutes=5)).timestamp())
    await service.due()
    code = service.carrier.texts[-1].body.split(": ")[1].split(" is ")[0]
    service.clock.turn(minutes=5)
    expired = await _verify(site, authy_id, code, action="login")
    assert (expired.result, expired.factor) == (CODE_RESULT_EXPIRED, FACTOR_UNSPECIFIED)


async def test_a_locked_user_is_refused_with_the_time_and_a_backup_code_helps(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    authy_id = enrollment.authy_id
    made = await site.client.verification.CreateBackupCodes(CreateBackupCodesRequest(authy_id=authy_id))
    assert len(set(made.codes)) == 10
    code = other(await phone.code(linked))
    for _ in range(5):
        assert (await _verify(site, authy_id, code)).result == CODE_RESULT_WRONG
    with pytest.raises(AuthyError) as refusal:
        await _verify(site, authy_id, "12345")
    assert (refusal.value.code.name, refusal.value.reason) == ("RESOURCE_EXHAUSTED", "USER_LOCKED")
    assert refusal.value.retry_delay == timedelta(seconds=30)
    accepted = await _verify(site, authy_id, made.codes[0].lower())
    assert accepted == VerifyCodeResponse(
        result=CODE_RESULT_ACCEPTED, factor=FACTOR_BACKUP_CODE, attempts_remaining=5
    )


async def test_refusals_have_their_reasons(service: Service) -> None:
    site, other, phone = await service.site(), await service.site("Other"), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    authy_id, calls = enrollment.authy_id, site.client.verification
    strangers = other.client.verification
    assert await became(strangers.VerifyCode(VerifyCodeRequest(authy_id=authy_id, code="1"))) == "NOT_FOUND"
    assert await became(strangers.SendCode(SendCodeRequest(authy_id=authy_id))) == "NOT_FOUND"
    backup = CreateBackupCodesRequest(authy_id=authy_id)
    assert await became(strangers.CreateBackupCodes(backup)) == "NOT_FOUND"

    wish = SendCodeRequest(authy_id=authy_id, force=True)
    assert await became(calls.SendCode(wish)) == "OK"
    assert await became(calls.SendCode(SendCodeRequest(authy_id=authy_id, force=True))) == "RATE_LIMITED"
    first = VerifyCodeRequest(authy_id=authy_id, code="1", request_id="r1")
    assert await became(calls.VerifyCode(first)) == "OK"
    second = VerifyCodeRequest(authy_id=authy_id, code="2", request_id="r1")
    assert await became(calls.VerifyCode(second)) == "REQUEST_ID_REUSED"

    key = CreateApiKeyRequest(
        application_id=site.application.application_id, name="feed", scopes=[API_KEY_SCOPE_EVENTS]
    )
    reader = await connect(service, (await service.operator.applications.CreateApiKey(key)).secret)
    assert await became(reader.verification.VerifyCode(first)) == "MISSING_SCOPE"
    assert await became(reader.verification.CreateBackupCodes(backup)) == "MISSING_SCOPE"
