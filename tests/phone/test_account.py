"""Registration, sessions, proofs and devices, against a service that checks every signature."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2

from authy_grpc.phone import Phone, PhoneError
from authy_grpc.v1 import account_pb2

ORIGIN = "http://127.0.0.1:8080"
CODE = "123456"

pytestmark = pytest.mark.asyncio


async def registered(phone: Phone) -> Phone:
    await phone.register(await phone.start("+15005550006"), CODE, "Pocket")
    return phone


async def test_registration_is_signed_and_opens_a_session(target: str, service: Any, clock: Any) -> None:
    async with Phone(target, origin=ORIGIN, clock=clock) as phone:
        verification = await phone.start("+15005550006")
        assert not phone.registered
        response = await phone.register(verification, CODE, "Pocket")
    assert phone.device_id == "dev_1"
    assert response.recovery_code == "0123456789ABCDEF"
    assert [name for name, _ in service.calls] == [
        "StartPhoneVerification",
        "RegisterDevice",
        "CreateSession",
    ]
    (request,) = service.called("RegisterDevice")
    assert request.signing_key != request.agreement_key and request.name == "Pocket"


async def test_a_wrong_code_leaves_the_phone_as_it_was_and_the_keys_are_sent_again(
    target: str, service: Any, clock: Any
) -> None:
    async with Phone(target, origin=ORIGIN, clock=clock) as phone:
        verification = await phone.start("+15005550006")
        with pytest.raises(PhoneError) as caught:
            await phone.register(verification, "000000", "Pocket")
        assert caught.value.reason == "CODE_REJECTED" and not phone.registered
        await phone.register(verification, CODE, "Pocket")
        first, second = service.called("RegisterDevice")
        assert first.signing_key == second.signing_key
        with pytest.raises(PhoneError, match="already"):
            await phone.register(verification, CODE, "Pocket")


async def test_before_registration_nothing_is_called(target: str, service: Any) -> None:
    async with Phone(target, origin=ORIGIN) as phone:
        with pytest.raises(PhoneError, match="not registered"):
            await phone.devices()
    assert service.calls == []


async def test_a_channel_stays_its_owners(target: str, service: Any, clock: Any) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        async with Phone(channel, origin=ORIGIN, clock=clock) as phone:
            await registered(phone)
        assert [device.device_id for device in await phone.devices()] == ["dev_1"]


async def test_proofs_rise_though_the_clock_stands_still_and_the_phone_starts_again(
    target: str, service: Any, clock: Any, tmp_path: Path
) -> None:
    state = tmp_path / "phone.json"
    async with Phone(target, origin=ORIGIN, clock=clock, state=state) as phone:
        await registered(phone)
        await phone.approve_device("dev_2", "654321")
        await phone.revoke_device("dev_2")
    async with Phone(target, origin=ORIGIN, clock=clock, state=state) as phone:
        await phone.revoke_device("dev_3")
    assert service.proofs == [clock.millis() + n for n in range(5)]
    assert len(service.called("CreateSession")) == 2


async def test_the_account_and_its_settings(phone: Phone, service: Any) -> None:
    assert (await phone.account()).phone_number == "+15005550006"
    await phone.update_account(new_device_policy=account_pb2.NEW_DEVICE_POLICY_DENY)
    await phone.update_account(phone_codes=False)
    await phone.update_account(new_device_policy=account_pb2.NEW_DEVICE_POLICY_ALLOW, phone_codes=True)
    masks = [list(request.update_mask.paths) for request in service.called("UpdateAccount")]
    assert masks == [["new_device_policy"], ["phone_codes"], ["new_device_policy", "phone_codes"]]
    assert service.called("UpdateAccount")[1].account.HasField("phone_codes")


async def test_devices(phone: Phone, service: Any) -> None:
    assert (await phone.rename_device("dev_2", "Tablet")).name == "Tablet"
    assert (await phone.rename_device("dev_1", "Pocket")).name == "Pocket"
    assert (await phone.acknowledge_device("dev_2")).device_id == "dev_2"
    assert (await phone.approve_device("dev_2", "012345")).device_id == "dev_2"
    await phone.revoke_device("dev_2")
    assert phone.registered


@pytest.mark.parametrize(
    "end", [lambda phone: phone.delete_account(), lambda phone: phone.revoke_device("dev_1")]
)
async def test_the_end_of_the_device_erases_the_phone(
    target: str, clock: Any, tmp_path: Path, end: Callable[[Phone], Any]
) -> None:
    state = tmp_path / "phone.json"
    async with Phone(target, origin=ORIGIN, clock=clock, state=state) as phone:
        await registered(phone)
        assert state.exists()
        await end(phone)
    assert not state.exists() and not phone.registered


async def test_signing_out_keeps_the_keys(phone: Phone, service: Any) -> None:
    await phone.sign_out()
    assert service.tokens == {}
    await phone.devices()
    assert len(service.called("CreateSession")) == 2


async def test_a_session_is_renewed_before_it_ends(phone: Phone, service: Any, clock: Any) -> None:
    clock.turn(minutes=58)
    await phone.devices()
    assert len(service.called("CreateSession")) == 1
    clock.turn(minutes=1, seconds=1)
    await phone.devices()
    assert len(service.called("CreateSession")) == 2
    assert len(service.called("ListDevices")) == 2


async def test_a_refused_token_is_renewed_once(phone: Phone, service: Any, refusal: Any) -> None:
    service.tokens.clear()
    await phone.devices()
    assert len(service.called("CreateSession")) == 2
    no = refusal(code_pb2.UNAUTHENTICATED, "ERROR_REASON_BAD_CREDENTIAL")
    service.refusals["ListDevices"] = [no, no]
    with pytest.raises(PhoneError) as caught:
        await phone.devices()
    assert caught.value.reason == "BAD_CREDENTIAL"
    assert len(service.called("CreateSession")) == 3


async def test_a_proof_goes_again_with_a_new_token(phone: Phone, service: Any) -> None:
    service.tokens.clear()
    await phone.revoke_device("dev_2")
    first, second = service.called("RevokeDevice")
    assert second.proof.time_millis > first.proof.time_millis


@pytest.mark.parametrize("off", [{"minutes": 30}, {"minutes": -30}, {"days": 4000}, {"days": -4000}])
async def test_a_phone_learns_the_services_clock(
    target: str, service: Any, clock: Any, off: dict[str, float]
) -> None:
    own = type(clock)()
    own.turn(**off)
    async with Phone(target, origin=ORIGIN, clock=own) as phone:
        await registered(phone)
        assert len(service.called("CreateSession")) == 2
        assert service.proofs == [clock.millis()]
        clock.turn(minutes=30)
        own.turn(minutes=30)
        await phone.revoke_device("dev_2")
        assert len(service.called("RevokeDevice")) == 1


async def test_a_clock_that_stays_refused_ends_in_an_error(phone: Phone, service: Any, refusal: Any) -> None:
    no = refusal(code_pb2.UNAUTHENTICATED, "CLOCK_SKEW", server_time="1000")
    service.refusals["RevokeDevice"] = [no, no]
    with pytest.raises(PhoneError) as caught:
        await phone.revoke_device("dev_2")
    assert caught.value.reason == "CLOCK_SKEW"
    assert len(service.called("RevokeDevice")) == 2


async def test_an_agreement_key_that_is_none_is_refused(target: str, service: Any, clock: Any) -> None:
    service.server_point = b"\x04" + bytes(64)
    async with Phone(target, origin=ORIGIN, clock=clock) as phone:
        with pytest.raises(PhoneError, match="agreement key"):
            await registered(phone)
        assert not phone.registered


async def test_repr_names_the_device_alone(phone: Phone, service: Any) -> None:
    assert repr(phone) == "Phone(dev_1)"
    assert not any(token in repr(phone) for token in service.tokens)


async def test_calls_at_once_share_a_session_and_their_proofs_rise(phone: Phone, service: Any) -> None:
    service.tokens.clear()
    await asyncio.gather(*(phone.revoke_device(f"dev_{n}") for n in range(2, 22)))
    assert len(service.called("CreateSession")) == 2
    assert service.proofs == sorted(set(service.proofs)) and len(service.proofs) == 22


async def test_one_proof_is_under_way_at_a_time(phone: Phone, service: Any) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def hold(context: Any) -> None:
        started.set()
        await go_on.wait()

    service.refusals["RevokeDevice"] = [hold]
    first = asyncio.create_task(phone.revoke_device("dev_2"))
    await started.wait()
    second = asyncio.create_task(phone.revoke_device("dev_3"))
    for _ in range(3):
        await phone.devices()
    assert [request.device_id for request in service.called("RevokeDevice")] == ["dev_2"]
    go_on.set()
    await asyncio.gather(first, second)
    assert [request.device_id for request in service.called("RevokeDevice")] == ["dev_2", "dev_3"]
