"""A device that signs what it is told to: proofs, keys and registrations that no phone would make."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import grpc
import pyotp
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from authy_grpc.domain import keys
from authy_grpc.phone import PhoneError
from authy_grpc.phone.scan import read_token
from authy_grpc.phone.state import new_key
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub
from authy_grpc.v1.approval_pb2 import ApprovalState
from authy_grpc.v1.authenticator_pb2_grpc import AuthenticatorServiceStub
from tests.harness import NUMBER, ORIGIN, Service

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
        """The one question that waits, as it comes."""
        (question,) = (await self.questions()).values()
        return question

    async def questions(self) -> dict[str, bytes]:
        """All that wait, at least one, by approval_id."""
        metadata = (("authorization", f"Bearer {self.token}"),)
        inbox = self.authenticator.WatchInbox(authenticator.WatchInboxRequest(), metadata=metadata)
        try:
            async for state in inbox:
                if state.approvals:
                    return {each.approval_id: each.question for each in state.approvals}
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
