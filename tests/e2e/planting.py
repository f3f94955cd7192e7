"""Owns a scenario that leaves nothing out: it plants values, and says of each who may come to know it."""

import json
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import grpc.aio
import pyotp
from google.protobuf.duration_pb2 import Duration

from authy_grpc.domain import keys
from authy_grpc.outbound.sms.sender import Message, Unreachable
from authy_grpc.phone import PhoneError
from authy_grpc.phone.scan import read_token
from authy_grpc.v1 import (
    account_pb2,
    approval_pb2,
    authenticator_pb2,
    enrollment_pb2,
    user_pb2,
    verification_pb2,
)
from tests.e2e.breaking import Broken, broken
from tests.e2e.cast import Owner, Partner, new_phone, owner, partner, told
from tests.e2e.searching import Canary
from tests.e2e.wire import Party
from tests.harness import ORIGIN, Carrier, Service

ONE, FEED, TWO, FEED_TWO = "site one", "feed one", "site two", "feed two"
PHONE, SECOND, STRANGER, OPERATOR = "phone", "second phone", "stranger", "operator"
TEXTS, LOG, DATABASE = "texts", "log", "database"
OWNERS = (PHONE, SECOND)
SITE = (ONE, FEED)

NUMBER, OTHER = "+4915112345678", "+4915198765432"
# Letters that each form of writing writes in another way.
ODD = 'Zo\u00eb/"\\+&=% \u03a9'


class Moody(Carrier):
    """A carrier that fails now and then, and says what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: list[type[Exception]] = []

    async def send(self, message: Message) -> None:
        if self.moods:
            raise self.moods.pop(0)(f"{message.number} {message.body}")
        await super().send(message)


async def refused(call: Awaitable[Any]) -> None:
    """Make a call that has to fail."""
    try:
        await call
    except (PhoneError, grpc.aio.AioRpcError):
        return
    raise AssertionError("this call was to be refused")


@dataclass
class Story:
    """The scenario, its cast and what was planted."""

    service: Service
    canaries: list[Canary] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    one: Partner = field(init=False)
    two: Partner = field(init=False)
    first: Owner = field(init=False)
    second: Owner = field(init=False)
    stranger: Owner = field(init=False)
    operator: Party = field(init=False)

    def plant(self, name: str, value: str | bytes, *known_to: str) -> Any:
        """Say who may come to know a value."""
        raw = value.encode() if isinstance(value, str) else value
        self.canaries.append(Canary(name, raw, frozenset(known_to)))
        return value

    @property
    def parties(self) -> dict[str, Party]:
        """All who receive something."""
        return {
            ONE: self.one.client,
            FEED: self.one.feed,
            TWO: self.two.client,
            FEED_TWO: self.two.feed,
            PHONE: self.first.party,
            SECOND: self.second.party,
            STRANGER: self.stranger.party,
            OPERATOR: self.operator,
        }

    async def tell(self) -> None:
        """All of it, in order, but the farewell."""
        await self.installation()
        await self.registration()
        await self.enrollments()
        await self.generic()
        await self.codes()
        await self.approvals()
        await self.second_device()
        await self.another_site()
        await self.strangers()
        await self.failures()

    def turn(self, seconds: float = 31) -> None:
        self.service.clock.turn(seconds=seconds)

    async def installation(self) -> None:
        service = self.service
        self.operator = Party(service.channel(), service.secrets.operator_key)
        service.operator = self.operator  # type: ignore[assignment]
        self.plant("operator key", service.secrets.operator_key)
        self.plant("gateway key", service.secrets.gateway_key)
        for name, keyset in json.loads(service.secrets.keyset)["keysets"].items():
            for key in keyset["key"]:
                self.plant(f"{name} key of the keyset", key["keyData"]["value"])
        self.one = await partner(service, "One", code_digits=8, match_digits=8)
        self.two = await partner(service, "Two")
        for name, site in (("one", self.one), ("two", self.two)):
            self.plant(f"API key of {name}", site.client.credential, OPERATOR)
            self.plant(f"feed key of {name}", site.feed.credential, OPERATOR)

    async def registration(self) -> None:
        self.first = new_phone(self.service)
        phone = self.first.phone
        number = self.plant("number", NUMBER, PHONE, SECOND, TEXTS)
        self.service.carrier.moods = [Unreachable]  # type: ignore[attr-defined]
        started = await phone.start(number, locale=self.plant("locale", "qa-canarylocale"))
        await self.service.due()
        self.turn(6)
        code = self.plant("texted code", await self.service.text_code(), TEXTS)
        await refused(phone.register(started, self.plant("wrong texted code", "271828"), "Pocket"))
        await refused(self.bad_registration(started.verification_id, code))
        name = self.plant("device name", f"pocket {ODD} canary", PHONE, SECOND)
        made = await phone.register(started, code, name)
        self.plant("recovery code", made.recovery_code, PHONE)
        self.plant("device token", self.first.token, PHONE)
        self.plant("device id", made.device.device_id, PHONE, SECOND, LOG, DATABASE)
        self.plant("server agreement key", made.server_agreement_key, PHONE, DATABASE)
        state = phone._session.keeper.state
        self.plant("signing key", _scalar(state.signing_key))
        self.plant("agreement key", _scalar(state.agreement_key))
        self.plant("public signing key", keys.public_point(state.signing_key), DATABASE)
        self.plant("shared secret", keys.agree(state.agreement_key, state.server_agreement_key))

    async def bad_registration(self, verification_id: str, code: str) -> None:
        point = self.plant("key that was refused", b"\x04" + b"canary" * 10 + b"\x07\x07\x07\x07")
        request = account_pb2.RegisterDeviceRequest(
            verification_id=verification_id,
            code=code,
            name=self.plant("name that was refused", f"refused {ODD} canary"),
            signing_key=point,
            agreement_key=point,
            signature=self.plant("signature that was refused", b"canary-signature" * 4),
        )
        await self.first.party.account.RegisterDevice(request)

    async def enrollments(self) -> None:
        one, phone = self.one, self.first.phone
        user = self.plant("custom_user_id", f"ada {ODD} canary 4711", *SITE)
        made = await one.begin(
            user,
            request_id=self.plant("request_id", "canary-request-id", DATABASE),
            qr=enrollment_pb2.QrCodeOptions(format=enrollment_pb2.QR_CODE_FORMAT_PNG),
        )
        self.plant("QR text", made.qr.uri, ONE)
        self.plant("enrollment token", read_token(made.qr.uri, ORIGIN), ONE)
        offer = await phone.open(made.qr.image)
        watch = enrollment_pb2.WatchEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id)
        states: Any = one.client.enrollments.WatchEnrollment(watch)
        await anext(states)
        await refused(self.bad_acceptance(offer.token))
        self.linked = await phone.accept(offer)
        async for state in states:
            self.user = state.enrollment
        self.plant("authy_id", self.user.authy_id, *SITE, *OWNERS, DATABASE)
        self.plant("site_id", self.linked.site_id, *SITE, *OWNERS, DATABASE)
        self.plant("thumbprint", self.user.keys[0].kid, *SITE, DATABASE)
        self.ids.append(self.user.authy_id)
        site_key = phone._session.keeper.state.site_keys[self.linked.site_id]
        self.plant("site key", _scalar(site_key))
        label = self.plant("owner's label", f"my {ODD} canary label", *OWNERS)
        await phone.rename_site(self.linked, label)
        await self.unfinished()
        await self.confirmed()

    async def bad_acceptance(self, token: str) -> None:
        bad = b"canary acceptance signature     " * 2
        request = authenticator_pb2.AcceptEnrollmentRequest(
            token=token, site_key=b"\x04" + bytes(64), site_key_proof=bad, signature=bad
        )
        call = self.first.phone._session.call
        await call(self.first.party.authenticator.AcceptEnrollment, request)

    async def unfinished(self) -> None:
        """One that is rejected, one that expires, one that is called off."""
        one, phone = self.one, self.first.phone
        rejected = await one.begin(self.plant("rejected user", "rejected-canary-user", *SITE))
        self.plant("rejected token", read_token(rejected.qr.uri, ORIGIN), ONE)
        await phone.reject(await phone.open(rejected.qr.uri))
        await one.begin(self.plant("expired user", "expired-canary-user", *SITE), ttl=_span(30))
        self.turn()
        await self.service.due()
        canceled = await one.begin(self.plant("canceled user", "canceled-canary-user", *SITE))
        await one.client.enrollments.CancelEnrollment(
            enrollment_pb2.CancelEnrollmentRequest(enrollment_id=canceled.enrollment.enrollment_id)
        )

    async def confirmed(self) -> None:
        one, phone = self.one, self.first.phone
        made = await one.begin(
            self.plant("confirmed user", "confirmed-canary-user", *SITE), require_code=True
        )
        linked = await phone.accept(await phone.open(made.qr.uri))
        codes = self.plant("wrong first code", "16180339"), self.plant("first code", await phone.code(linked))
        confirm = one.client.enrollments.ConfirmEnrollment
        for code, right in zip(codes, (False, True), strict=True):
            request = enrollment_pb2.ConfirmEnrollmentRequest(
                enrollment_id=made.enrollment.enrollment_id, code=code
            )
            await (confirm(request) if right else refused(confirm(request)))

    async def generic(self) -> None:
        made = await self.one.begin(
            self.plant("generic user", "generic-canary-user", *SITE),
            method=enrollment_pb2.ENROLLMENT_METHOD_GENERIC_TOTP,
            account_label=self.plant("account label", f"generic {ODD} canary", ONE),
            request_id="generic",
        )
        [secret] = parse_qs(urlsplit(made.qr.uri).query)["secret"]
        otp = pyotp.TOTP(secret, digits=8)
        self.plant("generic seed", otp.byte_secret(), ONE)
        code = self.plant("generic code", otp.at(self.service.clock()))
        request = enrollment_pb2.ConfirmEnrollmentRequest(
            enrollment_id=made.enrollment.enrollment_id, code=code
        )
        await self.one.client.enrollments.ConfirmEnrollment(request)

    async def verify(self, code: str, **fields: Any) -> Any:
        request = verification_pb2.VerifyCodeRequest(authy_id=self.user.authy_id, code=code, **fields)
        return (await self.one.client.verification.VerifyCode(request)).result

    async def codes(self) -> None:
        result, one = verification_pb2.CodeResult, self.one.client
        self.turn()
        token = self.plant("soft token", await self.first.phone.code(self.linked))
        request_ids = {"right": token, "wrong": self.plant("code that was wrong", "14142135")}
        answers = [await self.verify(code, request_id=each) for each, code in request_ids.items()]
        answers.append(await self.verify(token))
        assert answers == [
            result.CODE_RESULT_ACCEPTED,
            result.CODE_RESULT_WRONG,
            result.CODE_RESULT_REPLAYED,
        ]
        action = self.plant("action", "canary_action", DATABASE)
        self.service.carrier.moods = [RuntimeError]  # type: ignore[attr-defined]
        await one.verification.SendCode(
            verification_pb2.SendCodeRequest(
                authy_id=self.user.authy_id, force=True, action=action, locale="de", request_id="sent"
            )
        )
        await self.service.due()
        self.turn(6)
        sent = self.plant("sent code", await self.service.text_code(), TEXTS)
        assert await self.verify(sent, action=action) == result.CODE_RESULT_ACCEPTED
        backups = await one.verification.CreateBackupCodes(
            verification_pb2.CreateBackupCodesRequest(authy_id=self.user.authy_id)
        )
        for index, code in enumerate(backups.codes[:3]):
            self.plant(f"backup code {index}", code, ONE)
        assert await self.verify(backups.codes[0]) == result.CODE_RESULT_ACCEPTED
        for _ in range(5):
            await self.verify(self.plant("wrong code", "27182818"))
        await refused(self.verify("27182818"))
        await one.users.UnlockUser(user_pb2.UnlockUserRequest(authy_id=self.user.authy_id))

    async def ask(self, site: Partner, authy_id: str, message: str, **fields: Any) -> approval_pb2.Approval:
        request = approval_pb2.CreateApprovalRequest(authy_id=authy_id, message=message, **fields)
        asked: approval_pb2.Approval = (await site.client.approvals.CreateApproval(request)).approval
        self.turn(1)
        return asked

    async def approvals(self) -> None:
        phone = self.first.phone
        asked = await self.ask(
            self.one,
            self.user.authy_id,
            self.plant("message", f"Pay {ODD} canary?", *SITE, PHONE),
            details=[
                approval_pb2.Detail(
                    label=self.plant("label", f"{ODD} canary place", *SITE, PHONE),
                    value=self.plant("value", f"{ODD} canary city", *SITE, PHONE),
                )
            ],
            hidden_details={
                self.plant("hidden name", f"{ODD} canary key", *SITE): self.plant(
                    "hidden value", f"{ODD} canary secret", *SITE
                )
            },
            request_id="asked",
        )
        # The receipt of an approval says what was typed, and is in its event.
        self.plant("match number of an approval", asked.match_number, *SITE)
        question = await phone.question()
        wrong = self.plant("wrong match number", "31415926")
        await phone.approve(question, wrong)
        await phone.approve(question, asked.match_number)
        watch = approval_pb2.WatchApprovalRequest(approval_id=asked.approval_id)
        async for state in self.one.client.approvals.WatchApproval(watch):
            last = state.approval
        self.plant("receipt", last.receipt.rpartition(".")[2], *SITE)
        self.plant("nonce", question.nonce, *SITE, PHONE)
        await self.not_approved()

    async def not_approved(self) -> None:
        phone, one = self.first.phone, self.one.client
        for way in ("denied", "fraud", "expired", "canceled", "mismatched"):
            shown = self.plant(f"message that was {way}", f"canary {way}?", *SITE, PHONE)
            asked = await self.ask(self.one, self.user.authy_id, shown)
            self.plant(f"match number of one {way}", asked.match_number, ONE)
            question = await phone.question()
            match way:
                case "denied":
                    await phone.deny(question)
                case "fraud":
                    await phone.report_fraud(question)
                case "canceled":
                    request = approval_pb2.CancelApprovalRequest(approval_id=asked.approval_id)
                    await one.approvals.CancelApproval(request)
                case "expired":
                    self.turn(100)
                    await self.service.due()
                case "mismatched":
                    for number in ("1", "2", "3"):
                        await phone.approve(question, number * 8)
            await one.users.UnlockUser(user_pb2.UnlockUserRequest(authy_id=self.user.authy_id))

    async def second_device(self) -> None:
        self.turn()
        self.second = new_phone(self.service)
        first, second = self.first.phone, self.second.phone
        name = self.plant("second device name", f"tablet {ODD} canary", *OWNERS)
        started = await second.start(NUMBER)
        await second.register(started, await self.service.text_code(), name)
        self.plant("second device token", self.second.token, SECOND)
        [held] = await second.devices()
        self.plant("device check", held.check, SECOND)
        await first.devices()
        await refused(first.approve_device(held.device_id, self.plant("wrong check", "662607")))
        await first.approve_device(held.device_id, held.check)
        # What a credential may do is remembered for a second.
        self.turn(2)
        await second.rename_device(
            second.device_id, self.plant("new device name", f"slate {ODD} canary", *OWNERS)
        )
        [site, *_] = [each for each in await second.sites() if each.site_id == self.linked.site_id]
        self.turn()
        code = self.plant("code of the second device", await second.code(site))
        assert await self.verify(code) == verification_pb2.CodeResult.CODE_RESULT_ACCEPTED
        await self.ask(
            self.one,
            self.user.authy_id,
            self.plant("message to both", "canary question to both?", *SITE, *OWNERS),
        )
        for phone in (first, second):
            await phone.question()
            await phone.account()
            await phone.activity()
            await phone.devices()

    async def another_site(self) -> None:
        two, phone = self.two, self.first.phone
        user = self.plant("custom_user_id at two", f"bob {ODD} canary 4711", TWO, FEED_TWO)
        made = await two.begin(user)
        self.plant("token of two", read_token(made.qr.uri, ORIGIN), TWO)
        linked = await phone.accept(await phone.open(made.qr.uri))
        request = enrollment_pb2.GetEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id)
        found = (await two.client.enrollments.GetEnrollment(request)).enrollment
        self.plant("authy_id at two", found.authy_id, TWO, FEED_TWO, PHONE, DATABASE)
        self.plant("thumbprint at two", found.keys[0].kid, TWO, FEED_TWO, DATABASE)
        self.ids.append(found.authy_id)
        message = self.plant("message of two", f"Two asks {ODD} canary?", TWO, FEED_TWO, PHONE)
        asked = await self.ask(two, found.authy_id, message)
        question = next(each for each in await _all(phone) if each.site_id == linked.site_id)
        await phone.approve(question, asked.match_number)
        code = await phone.code(linked)
        for _ in range(2):
            await two.client.verification.VerifyCode(
                verification_pb2.VerifyCodeRequest(authy_id=found.authy_id, code=code)
            )
        await two.client.users.ListUsers(user_pb2.ListUsersRequest())

    async def strangers(self) -> None:
        self.plant("stranger's number", OTHER, STRANGER, TEXTS)
        name = self.plant("stranger's device", f"stranger {ODD} canary", STRANGER)
        self.stranger = await owner(self.service, OTHER, name)
        self.plant("stranger's token", self.stranger.token, STRANGER)
        phone, party = self.stranger.phone, self.stranger.party
        made = await self.one.begin("for the owner")
        await self.first.phone.open(made.qr.uri)
        await refused(phone.open(made.qr.uri))
        await refused(phone.remove_site(self.linked))
        await phone.account()
        await phone.activity()
        peer = self.plant("peer address", "203.0.113.77")
        gateway = (("x-authy-peer", peer), ("x-authy-gateway", self.service.secrets.gateway_key))
        proof = self.plant("registration proof", "canary registration proof")
        await party.account.StartPhoneVerification(
            account_pb2.StartPhoneVerificationRequest(
                phone_number=self.plant("third number", "+4915155555555", TEXTS), registration_proof=proof
            ),
            metadata=gateway,
        )
        await self.service.due()

    async def failures(self) -> None:
        """What is refused, cannot be read, or meets a fault."""
        one, bad = self.one.client, self.plant("bad field", f"bad {ODD} canary ")
        await refused(one.users.GetUser(user_pb2.GetUserRequest(custom_user_id=bad * 20)))
        await refused(one.users.ListUsers(user_pb2.ListUsersRequest(page_token=bad)))
        await refused(one.users.GetUser(user_pb2.GetUserRequest(custom_user_id=bad)))
        await refused(self.ask(self.one, self.user.authy_id, f"{bad}\u202e"))
        junk = self.plant("junk", b"\xff\xfecanary junk")
        await one.send("/authy_grpc.v1.UserService/GetUser", b"\x0a" + bytes([len(junk)]) + junk)
        await Party(self.service.channel(), self.plant("unknown key", "ak_canary")).send(
            "/authy_grpc.v1.UserService/GetUser", b""
        )
        with broken(self.service, Broken()):
            await refused(
                self.ask(self.one, self.user.authy_id, self.plant("doomed message", "doomed canary"))
            )
            await refused(self.verify(self.plant("doomed code", "57721566")))
            await refused(self.one.begin(self.plant("doomed user", "doomed-canary-user")))
            await refused(
                self.first.phone.rename_device("dev_0", self.plant("doomed name", "doomed canary 2"))
            )
            await refused(new_phone(self.service).phone.start(self.plant("doomed number", "+4915166666666")))

    async def farewell(self) -> None:
        """All that ends, and what sites are told of it; what is over goes from the database, too."""
        first, second = self.first.phone, self.second.phone
        await first.update_account(phone_codes=False)
        await first.update_account(phone_codes=True)
        device_id = second.device_id
        await first.revoke_device(device_id)
        with suppress(PhoneError):
            await second.account()
        await self.service.due()
        await first.delete_account()
        await told(self.service)
        for site in (self.one, self.two):
            await refused(site.client.users.GetUser(user_pb2.GetUserRequest(authy_id=self.user.authy_id)))
            await site.read_feed()


async def _all(phone: Any) -> list[Any]:
    async for pending in phone.inbox():
        return list(pending.questions)
    return []


def _scalar(private: Any) -> bytes:
    scalar: bytes = private.private_numbers().private_value.to_bytes(32, "big")
    return scalar


def _span(seconds: int) -> Duration:
    return Duration(seconds=seconds)
