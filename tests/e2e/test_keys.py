"""Keys are taken from whoever holds them, new, once, and for the one purpose that they are proven for."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from authy_grpc.domain import keys
from authy_grpc.phone.scan import read_token
from authy_grpc.phone.state import new_key
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1.authenticator_pb2 import RejectEnrollmentRequest
from authy_grpc.v1.enrollment_pb2 import (
    CancelEnrollmentRequest,
    EnrollmentState,
    GetEnrollmentRequest,
)
from authy_grpc.v1.user_pb2 import GetUserRequest
from tests.forging import Device, flipped, reason
from tests.harness import NUMBER, ORIGIN, Service
from tests.household import Household

Figure = Callable[[int, int], int]
OFF_CURVE = b"\x04" + bytes(31) + b"\x01" + bytes(31) + b"\x01"


class Scene:
    """A household, and the keys that its devices have brought before."""

    def __init__(self, home: Household) -> None:
        self.site, self.service = home.site, home.service
        self.own, self.second, self.stranger = home.own, home.second, home.stranger
        self.begin, self.site_id = home.begin, home.site_id
        self.brought = {name: new_key() for name in ("own", "second", "stranger", "revoked", "canceled")}

    async def set_up(self) -> None:
        for name, device in (("own", self.own), ("stranger", self.stranger), ("second", self.second)):
            await self.bring(device, name)
        await self.bring(self.own, "revoked")
        await self.bring(self.own, "", "revoked", replace_existing=True)
        made = await self.begin("canceled", require_code=True)
        token = read_token(made.qr.uri, ORIGIN)
        await self.own.accept(made.qr.uri, **self.own.site_key(token, self.brought["canceled"]))
        await self.site.client.enrollments.CancelEnrollment(
            CancelEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id)
        )

    async def bring(self, device: Device, name: str, custom_user_id: str = "", **fields: Any) -> str:
        """Link a device by a key that is known here."""
        made = await self.begin(custom_user_id or name, **fields)
        key = device.site_key(read_token(made.qr.uri, ORIGIN), self.brought.get(name))
        return (await device.accept(made.qr.uri, **key)).site_id

    def forged(self, by: Device, name: str, elsewhere: str) -> dict[str, dict[str, bytes]]:
        """What a device may not bring for a token or site_id; `elsewhere` is another one."""
        good, own = by.site_key(name), self.own
        return {
            "no proof": good | {"site_key_proof": bytes(64)},
            "no signature": good | {"signature": bytes(64)},
            "proven by another key": by.site_key(name, proven_by=new_key()),
            "proven by the device alone": by.site_key(name, proven_by=by.signing),
            "signed by the key alone": good | {"signature": good["site_key_proof"]},
            "swapped": good | {"site_key_proof": good["signature"], "signature": good["site_key_proof"]},
            "signed by the agreement key": by.site_key(name, signed_by=by.agreement),
            "signed by another device": by.site_key(name, signed_by=self.stranger.signing),
            "another device's own": self.stranger.site_key(name),
            "for another device": by.site_key(name, device_id=self.stranger.device_id),
            "over another name": by.site_key(name, over=elsewhere),
            "another point": good | {"site_key": by.site_key(name)["site_key"]},
            "off the curve": good | {"site_key": OFF_CURVE},
            "compressed": good | {"site_key": b"\x02" + good["site_key"][1:]},
            "a flipped bit": good | {"signature": flipped(good["signature"], 300)},
            "its signing key": by.site_key(name, by.signing),
            "its agreement key": by.site_key(name, by.agreement),
            "another's signing key": by.site_key(name, own.signing if by is not own else self.second.signing),
            "a stranger's agreement key": by.site_key(name, self.stranger.agreement),
            **{f"seen before: {each}": by.site_key(name, key) for each, key in self.brought.items()},
        }


@pytest.fixture
async def scene(service: Service) -> Scene:
    scene = Scene(await Household.of(service))
    await scene.set_up()
    return scene


async def test_no_such_key_is_accepted_with_an_enrollment(scene: Scene) -> None:
    for require_code in (False, True):
        made = await scene.begin(f"new {require_code}", require_code=require_code)
        token, other = read_token(made.qr.uri, ORIGIN), await scene.begin("other")
        forged = scene.forged(scene.own, token, read_token(other.qr.uri, ORIGIN))
        for name, key in forged.items():
            assert await reason(scene.own.accept(made.qr.uri, **key)) == "BAD_SIGNATURE", name
        request = GetEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id)
        found = (await scene.site.client.enrollments.GetEnrollment(request)).enrollment
        assert found.state == EnrollmentState.ENROLLMENT_STATE_PENDING and found.revision == 1
        # The control: the same device with a key that is as it should be, and the same again.
        good = scene.own.site_key(token)
        first = await scene.own.accept(made.qr.uri, **good)
        assert await scene.own.accept(made.qr.uri, **good) == first
        assert await reason(scene.own.accept(made.qr.uri, **scene.own.site_key(token))) == "NOT_FOUND"


async def test_no_such_key_is_added_to_a_link(scene: Scene) -> None:
    link = (await scene.own.accept((await scene.begin("bob")).qr.uri)).site_id
    before = await known_keys(scene, "bob")
    for name, key in scene.forged(scene.second, link, scene.site_id).items():
        assert await reason(scene.second.add_key(link, **key)) == "BAD_SIGNATURE", name
    assert await known_keys(scene, "bob") == before
    good = scene.second.site_key(link)
    assert await reason(scene.second.add_key(link, **good)) == "OK"
    assert await reason(scene.second.add_key(link, **good)) == "OK"
    assert len(await known_keys(scene, "bob")) == len(before) + 1
    # A device has one key for a link, and another account has none to give.
    assert await reason(scene.second.add_key(link)) == "WRONG_STATE"
    assert await reason(scene.stranger.add_key(link)) == "NOT_FOUND"


async def known_keys(scene: Scene, custom_user_id: str) -> list[str]:
    request = GetUserRequest(custom_user_id=custom_user_id)
    return [key.kid for key in (await scene.site.client.users.GetUser(request)).user.keys]


async def test_who_cannot_prove_a_key_does_not_use_it_up(scene: Scene) -> None:
    """Else whoever sees a key on its way could spoil it."""
    made, private = await scene.begin("new"), new_key()
    token = read_token(made.qr.uri, ORIGIN)
    for thief in (scene.second, scene.stranger):
        stolen = thief.site_key(token, private, proven_by=thief.signing)
        assert await reason(thief.accept(made.qr.uri, **stolen)) == "BAD_SIGNATURE"
    assert await reason(scene.own.accept(made.qr.uri, **scene.own.site_key(token, private))) == "OK"


async def test_a_key_brought_twice_at_once_is_taken_once(scene: Scene, figure: Figure) -> None:
    for each in range(figure(4, 200)):
        offers = [await scene.begin(f"{name} {each}") for name in ("ada", "bob", "eve", "sid")]
        private, tries = new_key(), []
        for device, made in zip(
            (scene.own, scene.second, scene.stranger, scene.stranger), offers, strict=True
        ):
            key = device.site_key(read_token(made.qr.uri, ORIGIN), private)
            tries.append(reason(device.accept(made.qr.uri, **key)))
        assert Counter(await asyncio.gather(*tries)) == {"OK": 1, "BAD_SIGNATURE": 3}


async def test_a_key_of_a_rejected_enrollment_is_used_up(scene: Scene) -> None:
    made, private = await scene.begin("new", require_code=True), new_key()
    token = read_token(made.qr.uri, ORIGIN)
    await scene.own.accept(made.qr.uri, **scene.own.site_key(token, private))
    await scene.own.call(scene.own.authenticator.RejectEnrollment, RejectEnrollmentRequest(token=token))
    again = await scene.begin("new")
    key = scene.own.site_key(read_token(again.qr.uri, ORIGIN), private)
    assert await reason(scene.own.accept(again.qr.uri, **key)) == "BAD_SIGNATURE"


async def test_who_registers_holds_both_new_keys(scene: Scene) -> None:
    """Looked at before the code: a wrong one is not even counted."""
    scene.service.clock.turn(minutes=10)
    new, own = Device(scene.service), scene.own
    started = await new.account.StartPhoneVerification(
        account.StartPhoneVerificationRequest(phone_number=NUMBER)
    )
    code, pvn = await scene.service.text_code(), started.verification_id
    signing_key, agreement_key = new.points

    def signed(by: Any, *message: Any) -> bytes:
        return keys.sign(by, keys.registration_message(*message))

    forged: dict[str, account.RegisterDeviceRequest] = {
        "signed by another key": new.registration(
            pvn, code, signature=signed(own.signing, pvn, signing_key, agreement_key)
        ),
        "signed by the agreement key": new.registration(
            pvn, code, signature=signed(new.agreement, pvn, signing_key, agreement_key)
        ),
        "over another verification": new.registration(
            pvn, code, signature=signed(new.signing, "pvn_" + "0" * 26, signing_key, agreement_key)
        ),
        "over the keys in another order": new.registration(
            pvn, code, signature=signed(new.signing, pvn, agreement_key, signing_key)
        ),
        "one key for both": Device(scene.service, new.signing, new.signing).registration(pvn, code),
        "another's keys": own.registration(pvn, code),
        "another's signing key": Device(scene.service, own.signing, new.agreement).registration(pvn, code),
        "another's agreement key": Device(scene.service, new.signing, own.agreement).registration(pvn, code),
        "a site's key to sign": Device(scene.service, scene.brought["stranger"], new.agreement).registration(
            pvn, code
        ),
        "a site's key to agree": Device(scene.service, new.signing, scene.brought["revoked"]).registration(
            pvn, code
        ),
        "off the curve": new.registration(
            pvn, code, agreement_key=OFF_CURVE, signature=signed(new.signing, pvn, signing_key, OFF_CURVE)
        ),
    }
    for name, request in forged.items():
        for typed in (code, "000000"):
            request.code = typed
            assert await reason(new.account.RegisterDevice(request)) == "BAD_SIGNATURE", name
    assert await reason(new.account.RegisterDevice(new.registration(pvn, code))) == "OK"
