"""The beginning of a scenario that plants values, and says of each who may come to know it."""

import json
from collections.abc import Awaitable
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
    authenticator_pb2,
    enrollment_pb2,
    webhook_pb2,
)
from tests.e2e.cast import Owner, Partner, new_phone, partner, recorded
from tests.e2e.searching import Canary
from tests.e2e.wire import Party, Speaks
from tests.harness import ORIGIN, Carrier, Service

ONE, FEED, TWO, FEED_TWO = "site one", "feed one", "site two", "feed two"
PHONE, SECOND, STRANGER, OPERATOR = "phone", "second phone", "stranger", "operator"
TEXTS, LOG, DATABASE, GATEWAY = "texts", "log", "database", "gateway"
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
class Opening:
    """The scenario, its cast and what was planted.

    Attributes:
        speaks: how sites speak: gRPC, where nothing else is given.
    """

    service: Service
    speaks: Speaks | None = None
    canaries: list[Canary] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    one: Partner = field(init=False)
    two: Partner = field(init=False)
    first: Owner = field(init=False)
    second: Owner = field(init=False)
    stranger: Owner = field(init=False)
    operator: Party = field(init=False)
    gateway: Party = field(init=False)

    def plant(self, name: str, value: str | bytes, *known_to: str) -> Any:
        """Say who may come to know a value: what stands in the feed of site one is posted to it, too."""
        if FEED in known_to:
            known_to = (*known_to, GATEWAY)
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
            GATEWAY: self.gateway,
        }

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
        self.one = await partner(service, "One", speaks=self.speaks, code_digits=8, match_digits=8)
        self.two = await partner(service, "Two", speaks=self.speaks)
        for name, site in (("one", self.one), ("two", self.two)):
            self.plant(f"API key of {name}", site.client.credential, OPERATOR)
            self.plant(f"feed key of {name}", site.feed.credential, OPERATOR)
        await self.webhook()

    async def webhook(self) -> None:
        """All that happens at site one is posted."""
        self.gateway = Party(self.service.channel(), self.service.secrets.gateway_key)
        calls = self.one.client.webhooks
        url = self.plant("webhook address", "https://canary.example/hook/4711", ONE, GATEWAY)
        made = await calls.CreateWebhook(webhook_pb2.CreateWebhookRequest(url=url))
        own = made.webhook.webhook_id
        request = webhook_pb2.RotateWebhookSecretRequest(webhook_id=own)
        rotated = await calls.RotateWebhookSecret(request)
        for name, secret in (("old", made.secret), ("new", rotated.secret)):
            self.plant(f"{name} webhook secret", secret.removeprefix("whsec_"), ONE)
        refused_url = self.plant("address that was refused", "https://10.0.0.1/canary")
        await refused(calls.CreateWebhook(webhook_pb2.CreateWebhookRequest(url=refused_url)))

    async def post(self) -> None:
        """Take all posts, as a gateway does, and report them."""
        request = webhook_pb2.LeaseDeliveriesRequest(max_in_flight=100)
        stream: Any = self.gateway.deliveries.LeaseDeliveries(request)
        for _ in range(await recorded(self.service, self.one.application)):
            post = await anext(stream)
            await self.gateway.deliveries.ReportDelivery(
                webhook_pb2.ReportDeliveryRequest(
                    delivery_id=post.delivery_id, attempt=post.attempt, http_status=204
                )
            )
        stream.cancel()

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


def _scalar(private: Any) -> bytes:
    scalar: bytes = private.private_numbers().private_value.to_bytes(32, "big")
    return scalar


def _span(seconds: int) -> Duration:
    return Duration(seconds=seconds)
