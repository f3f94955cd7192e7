"""Owns a device that signs what it is told to: proofs, keys and registrations that no phone would make."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import grpc
import pyotp
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from google.protobuf.field_mask_pb2 import FieldMask

from authy_grpc.domain import keys
from authy_grpc.phone import PhoneError
from authy_grpc.phone.scan import read_token
from authy_grpc.phone.state import new_key
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub
from authy_grpc.v1.approval_pb2 import ApprovalState
from authy_grpc.v1.authenticator_pb2_grpc import AuthenticatorServiceStub
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, CreateEnrollmentResponse
from authy_grpc.v1.user_pb2 import GetUserRequest
from tests.harness import NUMBER, ORIGIN, Service, Site

PACKAGE = "authy_grpc.v1."


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@dataclass
class Device:
    """A device that keeps no rule by itself."""

    service: Service
    signing: EllipticCurvePrivateKey = field(default_factory=new_key)
    agreement: EllipticCurvePrivateKey = field(default_factory=new_key)
    device_id: str = ""
    token: str = ""
    last: int = 0
    server_key: bytes = b""
    site_keys: dict[str, EllipticCurvePrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        channel = self.service.channel()
        self.account = AccountServiceStub(channel)
        self.authenticator = AuthenticatorServiceStub(channel)

    @property
    def points(self) -> tuple[bytes, bytes]:
        return keys.public_point(self.signing), keys.public_point(self.agreement)

    async def register(self, number: str = NUMBER, **fields: Any) -> account.RegisterDeviceResponse:
        """Prove a number, and register; other fields than the right ones may be given."""
        request = account.StartPhoneVerificationRequest(phone_number=number)
        started = await self.account.StartPhoneVerification(request)
        asked = self.registration(started.verification_id, await self.service.text_code(), **fields)
        answer = await self.account.RegisterDevice(asked)
        self.device_id, self.server_key = answer.device.device_id, answer.server_agreement_key
        await self.open()
        return answer

    def registration(self, verification_id: str, code: str, **fields: Any) -> account.RegisterDeviceRequest:
        """What it asks to be registered by."""
        signing_key, agreement_key = self.points
        message = keys.registration_message(verification_id, signing_key, agreement_key)
        values = {
            "verification_id": verification_id,
            "code": code,
            "name": "Pocket",
            "signing_key": signing_key,
            "agreement_key": agreement_key,
            "signature": keys.sign(self.signing, message),
        }
        return account.RegisterDeviceRequest(**values | fields)

    async def open(self) -> None:
        """Get a token."""
        request = account.CreateSessionRequest(
            device_id=self.device_id, proof=self.proof("AccountService/CreateSession")
        )
        self.token = (await self.account.CreateSession(request)).device_token

    def proof(
        self,
        method: str,
        *names: str,
        at: int | None = None,
        device_id: str = "",
        key: EllipticCurvePrivateKey | None = None,
    ) -> account.DeviceProof:
        """A proof for a method, of now; or of another time, for another device, or by another key."""
        if at is None:
            at = self.last = max(self.last + 1, millis(self.service.clock()))
        message = keys.proof_message(device_id or self.device_id, PACKAGE + method, at, *names)
        return account.DeviceProof(time_millis=at, signature=keys.sign(key or self.signing, message))

    def site_key(
        self,
        name: str,
        private: EllipticCurvePrivateKey | None = None,
        *,
        proven_by: EllipticCurvePrivateKey | None = None,
        signed_by: EllipticCurvePrivateKey | None = None,
        over: str = "",
        device_id: str = "",
    ) -> dict[str, bytes]:
        """A key for a token or site_id, proven; or by other keys, over another name or device."""
        private = private or new_key()
        point = keys.public_point(private)
        message = keys.site_key_message(device_id or self.device_id, over or name, point)
        return {
            "site_key": point,
            "site_key_proof": keys.sign(proven_by or private, message),
            "signature": keys.sign(signed_by or self.signing, message),
        }

    async def accept(self, uri: str, **fields: Any) -> authenticator.Site:
        """Link a site, by a right key or another one."""
        token = read_token(uri, ORIGIN)
        private = new_key()
        request = authenticator.AcceptEnrollmentRequest(
            token=token, **fields or self.site_key(token, private)
        )
        answer: authenticator.AcceptEnrollmentResponse = await self.call(
            self.authenticator.AcceptEnrollment, request
        )
        if not fields:
            self.site_keys[answer.site.site_id] = private
        return answer.site

    async def add_key(self, site_id: str, **fields: Any) -> authenticator.Site:
        """Give a site a right key, or another one."""
        private = new_key()
        request = authenticator.AddSiteKeyRequest(
            site_id=site_id, **fields or self.site_key(site_id, private)
        )
        answer: authenticator.AddSiteKeyResponse = await self.call(self.authenticator.AddSiteKey, request)
        if not fields:
            self.site_keys[site_id] = private
        return answer.site

    def code(self, site_id: str, at: datetime | None = None) -> str:
        """A code of six digits for a link."""
        secret = keys.totp_secret(
            keys.agree(self.agreement, self.server_key),
            site_id=site_id,
            device_id=self.device_id,
            agreement_key=self.points[1],
            server_agreement_key=self.server_key,
        )
        return pyotp.TOTP(base64.b32encode(secret).decode()).at(at or self.service.clock())

    async def question(self) -> bytes:
        """The question that waits, as it comes."""
        metadata = (("authorization", f"Bearer {self.token}"),)
        inbox = self.authenticator.WatchInbox(authenticator.WatchInboxRequest(), metadata=metadata)
        try:
            async for state in inbox:
                if state.approvals:
                    return state.approvals[0].question
        finally:
            inbox.cancel()
        raise AssertionError("the inbox has ended")

    async def respond(self, approval_id: str, receipt: str) -> tuple[str, int]:
        """What became of a question and the tries left, or why the answer is refused."""
        request = authenticator.RespondApprovalRequest(approval_id=approval_id, receipt=receipt)
        try:
            answer = await self.call(self.authenticator.RespondApproval, request)
        except grpc.aio.AioRpcError as error:
            return PhoneError.read(error).reason or error.code().name, 0
        return ApprovalState.Name(answer.state).removeprefix("APPROVAL_STATE_"), answer.attempts_remaining

    async def call(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        """Call with the token."""
        return await method(request, metadata=(("authorization", f"Bearer {self.token}"),), timeout=30)


@dataclass
class Household:
    """Two devices of one account, one that waits to join them, and one of another account; a link."""

    service: Service
    own: Device
    second: Device
    waiting: Device
    stranger: Device
    site: Site
    authy_id: str = ""
    site_id: str = ""
    check: str = ""

    @classmethod
    async def of(cls, service: Service) -> Self:
        """Set all up; it takes a minute of the turned clock."""
        own, second, waiting, stranger = [Device(service) for _ in range(4)]
        home = cls(service, own, second, waiting, stranger, await service.site())
        await stranger.register("+4915112345679")
        await own.register()
        service.clock.turn(seconds=30)
        check = (await second.register()).device.check
        request = account.ApproveDeviceRequest(
            device_id=second.device_id,
            check=check,
            proof=own.proof("AccountService/ApproveDevice", second.device_id, check),
        )
        await own.call(own.account.ApproveDevice, request)
        service.clock.turn(seconds=30)
        home.check = (await waiting.register()).device.check
        made = await home.begin("ada")
        home.site_id = (await own.accept(made.qr.uri)).site_id
        got = await home.site.client.users.GetUser(GetUserRequest(custom_user_id="ada"))
        home.authy_id = got.user.authy_id
        return home

    async def begin(self, custom_user_id: str, **fields: Any) -> CreateEnrollmentResponse:
        """An enrollment at the site."""
        request = CreateEnrollmentRequest(custom_user_id=custom_user_id, **fields)
        return await self.site.client.enrollments.CreateEnrollment(request)


class Asking:
    """One call that takes a proof: what the proof names, and the request around it."""

    def __init__(self, home: Household, method: str) -> None:
        self.method, self.own = method, home.own
        device_id = home.waiting.device_id
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
                (device_id, home.check),
                account.ApproveDeviceRequest(device_id=device_id, check=home.check),
            ),
            "RevokeDevice": (
                self.own.account,
                (device_id,),
                account.RevokeDeviceRequest(device_id=device_id),
            ),
            "RemoveSite": (
                self.own.authenticator,
                (home.site_id,),
                authenticator.RemoveSiteRequest(site_id=home.site_id),
            ),
        }[method.partition("/")[2]]
        self._call: Any = getattr(stubs, method.partition("/")[2])

    async def __call__(self, proof: account.DeviceProof | None, **fields: Any) -> str:
        """OK, or why it is refused; with other fields than the right ones where they are given."""
        request: Any = type(self.request)()
        request.CopyFrom(self.request)
        for name, value in fields.items():
            setattr(request, name, value)
        if proof is not None:
            request.proof.CopyFrom(proof)
        return await reason(self.own.call(self._call, request))

    def proof(self, **other: Any) -> account.DeviceProof:
        """A right proof, or one that differs in something."""
        return self.own.proof(self.method, *self.names, **other)


async def reason(call: Awaitable[Any]) -> str:
    """OK where a bare call is answered, else the reason of the refusal, or its status where it has none."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return PhoneError.read(error).reason or error.code().name
    return "OK"


def twin(signature: bytes) -> bytes:
    """The other signature that says the same: anybody can make it."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return signature[:32] + (order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


def flipped(data: bytes, bit: int) -> bytes:
    """The same with one bit turned."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
