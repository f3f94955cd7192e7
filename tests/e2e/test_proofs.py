"""A device's proof counts for that device, for that call, for now, and once; what is wrong is told in one order."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authy_grpc.phone import PhoneError
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1.account_pb2 import DeviceProof
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest
from tests.forging import Device, flipped, millis, reason, twin
from tests.harness import Service
from tests.test_contract import PACKAGE, methods, path

Figure = Callable[[int, int], int]
MINUTE = 60_000


class Scene:
    """A device with a link, one that waits to join it, and one of another account."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.own, self.waiting, self.stranger = Device(service), Device(service), Device(service)
        self.site_id = self.check = ""

    async def set_up(self) -> None:
        await self.stranger.register("+4915112345679")
        await self.own.register()
        self.service.clock.turn(minutes=10)
        self.check = (await self.waiting.register()).device.check
        site = await self.service.site()
        made = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
        self.site_id = (await self.own.accept(made.qr.uri)).site_id


class Asking:
    """One call that takes a proof: what the proof names, and the request around it."""

    def __init__(self, scene: Scene, method: str) -> None:
        self.method, self.own = method, scene.own
        device_id = scene.waiting.device_id
        mask = FieldMask(paths=["phone_codes"])
        stubs, self.names, self.request = {
            "CreateSession": (
                self.own.account,
                (),
                account.CreateSessionRequest(device_id=self.own.device_id),
            ),
            "UpdateAccount": (
                self.own.account,
                ("-", "0"),
                account.UpdateAccountRequest(account=account.Account(phone_codes=False), update_mask=mask),
            ),
            "DeleteAccount": (self.own.account, (), account.DeleteAccountRequest()),
            "ApproveDevice": (
                self.own.account,
                (device_id, scene.check),
                account.ApproveDeviceRequest(device_id=device_id, check=scene.check),
            ),
            "RevokeDevice": (
                self.own.account,
                (device_id,),
                account.RevokeDeviceRequest(device_id=device_id),
            ),
            "RemoveSite": (
                self.own.authenticator,
                (scene.site_id,),
                authenticator.RemoveSiteRequest(site_id=scene.site_id),
            ),
        }[method.partition("/")[2]]
        self._call: Any = getattr(stubs, method.partition("/")[2])

    async def __call__(self, proof: DeviceProof | None, **fields: Any) -> str:
        """OK, or why it is refused."""
        request: Any = type(self.request)()
        request.CopyFrom(self.request)
        for name, value in fields.items():
            setattr(request, name, value)
        if proof is not None:
            request.proof.CopyFrom(proof)
        return await reason(self.own.call(self._call, request))

    def proof(self, **other: Any) -> DeviceProof:
        return self.own.proof(self.method, *self.names, **other)


# It stays UNIMPLEMENTED for now, see tests/e2e/test_secrets.py.
LATER = {"AccountService/ChangePhone"}
CALLS = sorted(
    {
        path(method).removeprefix(PACKAGE)
        for method in methods()
        if (field := method.input_type.fields_by_name.get("proof")) is not None
        and field.message_type is DeviceProof.DESCRIPTOR
    }
    - LATER
)


@pytest.fixture
async def scene(service: Service) -> Scene:
    scene = Scene(service)
    await scene.set_up()
    return scene


def test_every_call_that_takes_a_proof_is_tried() -> None:
    assert {call.partition("/")[2] for call in CALLS} == {
        "ApproveDevice",
        "CreateSession",
        "DeleteAccount",
        "RemoveSite",
        "RevokeDevice",
        "UpdateAccount",
    }


@pytest.mark.parametrize("method", CALLS)
async def test_what_is_no_proof_for_this_call(scene: Scene, figure: Figure, method: str) -> None:
    asking, own, names = Asking(scene, method), scene.own, Asking(scene, method).names
    good = asking.proof()
    seen = own.last
    others = [call for call in (*CALLS, *LATER) if call != method]
    draw = Random(method)
    forged = {
        "none": None,
        "no signature": DeviceProof(time_millis=good.time_millis),
        "another time than was signed": DeviceProof(
            time_millis=good.time_millis + 1, signature=good.signature
        ),
        "another key of the device": asking.proof(key=own.agreement),
        "another device, for this one": asking.proof(key=scene.waiting.signing),
        "another device, for itself": scene.waiting.proof(method, *names),
        "a device of another account": scene.stranger.proof(method, *names),
        "this device's key, for another": asking.proof(device_id=scene.waiting.device_id),
        "more names": own.proof(method, *names, "-"),
        "other names": own.proof(method, *names[:-1], "apr_01"),
        "r and s swapped": DeviceProof(
            time_millis=good.time_millis, signature=good.signature[32:] + good.signature[:32]
        ),
        "zeros": DeviceProof(time_millis=good.time_millis, signature=bytes(64)),
    }
    forged |= {f"for {call}": own.proof(call, *names) for call in others}
    forged |= {
        f"bit {bit}": DeviceProof(time_millis=good.time_millis, signature=flipped(good.signature, bit))
        for bit in draw.sample(range(512), figure(10, 512))
    }
    if method == "AccountService/RevokeDevice":
        forged["the digits too"] = own.proof(method, *names, scene.check)
    for name, proof in forged.items():
        assert await asking(proof) == "BAD_CREDENTIAL", name
        # A proof that is wrong in both ways is told of the signature alone.
        if proof is not None and proof.signature:
            late = DeviceProof(time_millis=1, signature=proof.signature)
            assert await asking(late) == "BAD_CREDENTIAL", name
    # The control: the proof that all these were made of is taken, and was not used up by them.
    assert seen == good.time_millis
    assert await asking(good) == "OK"


@pytest.mark.parametrize("method", CALLS)
async def test_a_proof_is_of_now_and_later_than_the_last(scene: Scene, method: str) -> None:
    asking, own = Asking(scene, method), scene.own
    now, last = millis(scene.service.clock()), own.last
    scene.service.clock.turn(seconds=30)
    now += 30_000
    for at in (now - MINUTE - 1, now + MINUTE + 1, last, last - 1, 0, 2**62):
        assert await asking(asking.proof(at=at)) == "CLOCK_SKEW", at - now
        # The order holds: who cannot sign learns nothing of the clock.
        assert await asking(asking.proof(at=at, key=scene.stranger.signing)) == "BAD_CREDENTIAL"
    request: Any = type(asking.request)()
    request.CopyFrom(asking.request)
    request.proof.CopyFrom(asking.proof(at=now + MINUTE + 1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await own.call(asking._call, request)
    assert PhoneError.read(caught.value).metadata == {"server_time": str(now)}
    assert await asking(asking.proof(at=now + MINUTE)) == "OK"


@pytest.mark.parametrize("method", ["AccountService/CreateSession", "AccountService/UpdateAccount"])
async def test_a_proof_is_taken_once(scene: Scene, figure: Figure, method: str) -> None:
    asking = Asking(scene, method)
    for _ in range(figure(2, 50)):
        scene.service.clock.turn(seconds=1)
        proof = asking.proof()
        again = DeviceProof(time_millis=proof.time_millis, signature=twin(proof.signature))
        tries = [asking(each) for each in [proof, again] * 20]
        assert Counter(await asyncio.gather(*tries)) == {"OK": 1, "CLOCK_SKEW": len(tries) - 1}
    scene.service.clock.turn(seconds=1)
    earlier, later = asking.proof(), asking.proof()
    assert await asking(later) == "OK"
    assert await asking(earlier) == "CLOCK_SKEW"


@pytest.mark.parametrize("method", ["ApproveDevice", "RevokeDevice", "RemoveSite"])
async def test_a_proof_is_looked_at_before_what_it_is_for(scene: Scene, method: str) -> None:
    """And is used up by what is refused afterwards."""
    (full,) = [call for call in CALLS if call.endswith(f"/{method}")]
    asking, own = Asking(scene, full), scene.own
    name = "site_id" if method == "RemoveSite" else "device_id"
    unknown = "sit_" + "0" * 26 if method == "RemoveSite" else scene.stranger.device_id
    assert await asking(asking.proof(), **{name: unknown}) == "BAD_CREDENTIAL"
    proof = own.proof(full, unknown, *asking.names[1:])
    assert await asking(proof, **{name: unknown}) == "NOT_FOUND"
    assert await asking(proof, **{name: unknown}) == "CLOCK_SKEW"
    assert await asking(asking.proof()) == "OK"


async def test_a_device_that_is_out_signs_for_nothing(scene: Scene) -> None:
    session = Asking(scene, "AccountService/CreateSession")
    update = Asking(scene, "AccountService/UpdateAccount")
    revoke = Asking(scene, "AccountService/RevokeDevice")
    own_id = scene.own.device_id
    assert await revoke(scene.own.proof(revoke.method, own_id), device_id=own_id) == "OK"
    for asking in (session, update, revoke):
        assert await asking(asking.proof()) == "BAD_CREDENTIAL"
