"""AccountService through a real server: what phones are answered, and what they are refused."""

from datetime import UTC, timedelta
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from authy_grpc.domain import keys
from authy_grpc.phone import Phone, PhoneError
from authy_grpc.v1 import account_pb2 as pb
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub
from tests.harness import NUMBER, ORIGIN, Service

OTHER = "+4915112345679"


def details(error: grpc.aio.AioRpcError) -> tuple[str, list[str]]:
    """The reason of an error, and the fields that it names."""
    reason, fields = "", []
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    for detail in status.details if status else []:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        if detail.Unpack(bad):
            fields = [each.field for each in bad.field_violations]
    return reason, fields


async def second(service: Service) -> Phone:
    """Another phone of the same number."""
    service.clock.turn(seconds=30)
    return await service.phone(name="Tablet")


async def test_a_phone_registers_and_sees_its_account(service: Service) -> None:
    phone = await service.phone()
    account = await phone.account()
    assert account.phone_number == NUMBER and account.phone_codes
    assert account.new_device_policy == pb.NEW_DEVICE_POLICY_HOLD
    assert account.create_time.ToDatetime().isoformat() == service.clock().replace(tzinfo=None).isoformat()
    (device,) = await phone.devices()
    assert (device.name, device.current) == ("Pocket", True)
    assert device.state == pb.DEVICE_STATE_ACTIVE and device.platform == pb.DEVICE_PLATFORM_DESKTOP
    assert not device.HasField("release_time") and not device.HasField("limited_until")
    assert (await phone.rename_device(device.device_id, "Mine")).name == "Mine"


async def test_a_number_that_is_not_served_is_told_apart_from_a_bad_one(service: Service) -> None:
    async with Phone(service.channel(), origin=ORIGIN, clock=service.clock) as phone:
        with pytest.raises(PhoneError, match="phone_number: must be a phone number") as bad:
            await phone.start("12345")
        assert [(each[0], each[2]) for each in bad.value.fields] == [("phone_number", "")]
        with pytest.raises(PhoneError, match="does not send to") as refused:
            await phone.start("+1 (900) 555-0006")
        assert [(each[0], each[2]) for each in refused.value.fields] == [("phone_number", "NOT_SERVED")]
        assert "900" not in str(refused.value)


async def test_a_second_phone_waits_until_the_first_approves(service: Service) -> None:
    first = await service.phone()
    held = await second(service)
    (own,) = await held.devices()
    assert own.state == pb.DEVICE_STATE_HELD and own.HasField("release_time") and len(own.check) == 6
    for call in (held.account(), held.rename_device(own.device_id, "Mine"), held.delete_account()):
        with pytest.raises(PhoneError) as refused:
            await call
        assert refused.value.reason == "DEVICE_HELD"
    await first.approve_device(own.device_id, own.check)
    # What is remembered of its token may be a second old.
    service.clock.turn(seconds=1)
    assert (await held.account()).phone_number == NUMBER
    assert [each.check for each in await held.devices()] == ["", ""]


async def test_a_waiting_phone_is_let_in_by_time(service: Service) -> None:
    await service.phone()
    held = await second(service)
    service.clock.turn(days=7)
    await service.due()
    (_, own) = await held.devices()
    assert own.state == pb.DEVICE_STATE_ACTIVE and own.HasField("limited_until")
    assert (await held.account()).phone_number == NUMBER


async def test_revoking_ends_sessions_at_once(service: Service) -> None:
    first = await service.phone()
    held = await second(service)
    await held.devices()
    await first.revoke_device(held.device_id)
    with pytest.raises(PhoneError) as refused:
        await held.devices()
    assert refused.value.reason == "BAD_CREDENTIAL"
    states = [each.state for each in await first.devices()]
    assert states == [pb.DEVICE_STATE_ACTIVE, pb.DEVICE_STATE_REVOKED]


async def test_settings_change_by_proof(service: Service) -> None:
    phone = await service.phone()
    changed = await phone.update_account(new_device_policy=pb.NEW_DEVICE_POLICY_DENY, phone_codes=False)
    assert changed.new_device_policy == pb.NEW_DEVICE_POLICY_DENY and not changed.phone_codes
    with pytest.raises(PhoneError) as refused:
        await second(service)
    assert refused.value.reason == "NEW_DEVICES_OFF"
    assert (await phone.update_account(phone_codes=True)).phone_codes


async def test_an_erased_account_leaves_its_number_free(service: Service) -> None:
    phone = await service.phone()
    await phone.delete_account()
    assert not phone.registered
    again = await second(service)
    assert (await again.devices())[0].state == pb.DEVICE_STATE_ACTIVE


async def test_signing_out_ends_the_token(service: Service) -> None:
    phone = await service.phone()
    await phone.sign_out()
    assert len(await phone.devices()) == 1


async def test_a_stolen_token_alone_changes_nothing_that_matters(service: Service) -> None:
    phone = await service.phone()
    held = await second(service)
    [_, waits] = await phone.devices()
    stub = AccountServiceStub(service.channel())
    await phone.devices()
    token = (("authorization", f"Bearer {phone._session._token}"),)
    device_id = phone.device_id
    calls: list[tuple[Any, Any]] = [
        (stub.DeleteAccount, pb.DeleteAccountRequest()),
        (stub.RevokeDevice, pb.RevokeDeviceRequest(device_id=device_id)),
        (stub.ApproveDevice, pb.ApproveDeviceRequest(device_id=device_id, check="123456")),
        (stub.AcknowledgeDevice, pb.AcknowledgeDeviceRequest(device_id=held.device_id)),
        (stub.UpdateDevice, pb.UpdateDeviceRequest(device_id=held.device_id, name="Mine")),
        (
            stub.UpdateAccount,
            pb.UpdateAccountRequest(
                account=pb.Account(phone_codes=False), update_mask=FieldMask(paths=["phone_codes"])
            ),
        ),
    ]
    for method, request in calls:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(request, metadata=token)
        assert details(refused.value)[0] == "BAD_CREDENTIAL"
    assert (await stub.GetAccount(pb.GetAccountRequest(), metadata=token)).account.phone_codes
    # Lists change nothing: seven days stay seven days.
    listed = (await stub.ListDevices(pb.ListDevicesRequest(), metadata=token)).devices
    assert listed[1] == waits and waits.release_time.ToDatetime(UTC) == service.clock() + timedelta(days=7)
    # The control: its owner's acknowledgement moves the hold along.
    acknowledged = await phone.acknowledge_device(held.device_id)
    assert acknowledged.release_time.ToDatetime(UTC) == service.clock() + timedelta(hours=24)


async def test_what_comes_later_is_refused(service: Service) -> None:
    phone = await service.phone()
    await phone.devices()
    stub = AccountServiceStub(service.channel())
    token = (("authorization", f"Bearer {phone._session._token}"),)
    calls: list[tuple[Any, Any]] = [
        (stub.ChangePhone, pb.ChangePhoneRequest(verification_id="pvn_1", code="123456")),
        (stub.SetPushSubscription, pb.SetPushSubscriptionRequest()),
    ]
    for method, request in calls:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(request, metadata=token)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    async with Phone(service.channel(), origin=ORIGIN, clock=service.clock) as other:
        started = await other.start(OTHER)
        code = await service.text_code()
        fields: list[dict[str, Any]] = [{"fresh_account": True}, {"recovery_code": "0" * 16}]
        for field in fields:
            with pytest.raises(PhoneError) as error:
                await other.register(started, code, "Other", **field)
            assert error.value.reason == "BAD_FIELD"
        await other.register(started, code, "Other")


@pytest.mark.parametrize("number", ["+19005550006", "+1", "123", ""])
async def test_a_bad_number_is_named_and_not_repeated(service: Service, number: str) -> None:
    stub = AccountServiceStub(service.channel())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.StartPhoneVerification(pb.StartPhoneVerificationRequest(phone_number=number))
    assert details(refused.value) == ("BAD_FIELD", ["phone_number"])
    assert number == "" or f"{number} " not in str(refused.value)


async def test_known_and_unknown_numbers_are_answered_alike(service: Service) -> None:
    await service.phone()
    service.clock.turn(days=1)
    stub = AccountServiceStub(service.channel())
    answers = [
        await stub.StartPhoneVerification(pb.StartPhoneVerificationRequest(phone_number=number))
        for number in (NUMBER, OTHER)
    ]
    for answer in answers:
        assert len(answer.verification_id) == 30
        answer.ClearField("verification_id")
    assert answers[0] == answers[1]
    for number in (NUMBER, OTHER):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.StartPhoneVerification(pb.StartPhoneVerificationRequest(phone_number=number))
        assert details(refused.value) == ("RATE_LIMITED", [])


async def test_register_tells_a_bad_signature_from_a_bad_code(service: Service) -> None:
    stub = AccountServiceStub(service.channel())
    started = await stub.StartPhoneVerification(pb.StartPhoneVerificationRequest(phone_number=NUMBER))
    code = await service.text_code()
    signing, agreement = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    points = keys.public_point(signing), keys.public_point(agreement)
    request = pb.RegisterDeviceRequest(
        verification_id=started.verification_id,
        code="000000" if code != "000000" else "000001",
        name="Pocket",
        signing_key=points[0],
        agreement_key=points[1],
        signature=keys.sign(signing, keys.registration_message(started.verification_id, *points)),
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.RegisterDevice(request)
    assert details(refused.value) == ("CODE_REJECTED", [])
    request.signature = bytes(64)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.RegisterDevice(request)
    assert details(refused.value) == ("BAD_SIGNATURE", [])
    request.signature = keys.sign(signing, keys.registration_message(started.verification_id, *points))
    request.code = code
    added = await stub.RegisterDevice(request)
    assert added.device.platform == pb.DEVICE_PLATFORM_UNSPECIFIED and len(added.recovery_code) == 16
    assert await stub.RegisterDevice(request) == added
