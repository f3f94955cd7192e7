"""A stage for fuzzing: a site, its users and their devices, and calls that are good there."""

import struct
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pyotp
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.phone import Phone
from authy_grpc.rpc.auth import NEEDS
from authy_grpc.service.caller import Nobody
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import application_pb2 as application
from authy_grpc.v1 import approval_pb2 as approval
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1 import enrollment_pb2 as enrollment
from authy_grpc.v1 import event_pb2 as event
from authy_grpc.v1 import user_pb2 as user
from authy_grpc.v1 import verification_pb2 as verification
from authy_grpc.v1 import webhook_pb2 as webhook
from tests.e2e.methods import URL, path
from tests.e2e.rehearsing import PROVEN, Ready, Rehearsal, values_in
from tests.e2e.wire import Party
from tests.harness import ORIGIN, Service
from tests.rushing import code_in

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1, 1, 8, 6, 0, 0, 0)
# What ends that by which others call: tried last, in this order.
LAST = (
    "UserService/DeleteUser",
    "AuthenticatorService/RemoveSite",
    "AccountService/DeleteSession",
    "AccountService/RevokeDevice",
    "AccountService/DeleteAccount",
    "ApplicationService/RevokeApiKey",
    "ApplicationService/DeleteApplication",
)
_FULL = [
    application.API_KEY_SCOPE_ENROLL,
    application.API_KEY_SCOPE_VERIFY,
    application.API_KEY_SCOPE_EVENTS,
    application.API_KEY_SCOPE_MANAGE,
]


class Stage:
    """A site and its users on a running service.

    Args:
        service: the service.
        channel: to it.
        number: of this stage; each has phone numbers of its own.
    """

    def __init__(self, service: Service, channel: grpc.aio.Channel, number: int) -> None:
        self._service = service
        self._channel = channel
        self._numbers = (f"+49151{10_000_000 + 2 * number + each}" for each in (0, 1))
        self.operator = Rehearsal(self._channel, service.secrets.operator_key)
        self.gateway = Rehearsal(self._channel, service.secrets.gateway_key)
        self.parties = [self.operator, self.gateway]

    async def build(self) -> None:
        """Do all that has to be there for calls to be good, and make them ready."""
        await self._installation()
        await self._webhooks()
        await self._devices()
        await self._links()
        await self._uses()
        await self._readings()
        await self._once()
        await self._ends()
        for phone, party in self._phones:
            party.credential = phone._session._token or party.credential

    def sign(self, name: str, request: Any) -> None:
        """Put the right proof into a request, whatever else is in it: a new one, of the device that asks."""
        phone = self._second if name == path("AccountService/CreateSession") else self._first
        phone._session._sign(name.removeprefix("/authy_grpc.v1."), request, PROVEN[name](request))

    @property
    def device_token(self) -> str:
        """Of the first device."""
        return self._pocket.credential

    @property
    def ready(self) -> list[Ready]:
        """Good once, in the order in which they are good; the last ones at the end."""
        made = [(name, request, party) for party in self.parties for name, request in party.held]
        order = {path(name): index for index, name in enumerate(LAST, 1)}
        made.sort(key=lambda each: order.get(each[0], 0))
        return [self._as_ready(*each) for each in made]

    @property
    def made(self) -> list[Ready]:
        """All calls that were made and answered well."""
        return [
            self._as_ready(exchange.method, exchange.sent, party)
            for party in self.parties
            for exchange in party.exchanges
            if exchange.code == "OK"
        ]

    def _as_ready(self, name: str, request: bytes, party: Party) -> Ready:
        return Ready(name, request, "" if NEEDS[name].kind is Nobody else party.credential)

    @property
    def values(self) -> dict[str, list[bytes]]:
        """All texts and bytes that went over the wire, by the name of their field."""
        return values_in(self.parties)

    def _party(self, credential: str = "") -> Rehearsal:
        made = Rehearsal(self._channel, credential)
        self.parties.append(made)
        return made

    async def _installation(self) -> None:
        calls = self.operator.applications
        draft = application.Application(
            name="Example", origin="https://example.com", logo=PNG, phone_codes=True
        )
        made = await calls.CreateApplication(application.CreateApplicationRequest(application=draft))
        self._application_id = made.application.application_id
        create = application.CreateApiKeyRequest(
            application_id=self._application_id, name="backend", scopes=_FULL
        )
        key, spare = [await calls.CreateApiKey(create) for _ in range(2)]
        self._spare_key_id = spare.api_key.api_key_id
        self.site = self._party(key.secret)
        await calls.GetApplication(application.GetApplicationRequest(application_id=self._application_id))
        draft = application.Application(application_id=self._application_id, name="Example", match_digits=4)
        await calls.UpdateApplication(
            application.UpdateApplicationRequest(
                application=draft, update_mask=FieldMask(paths=["name", "match_digits"])
            )
        )
        await calls.ListApiKeys(application.ListApiKeysRequest(application_id=self._application_id))
        await calls.ListApplications(application.ListApplicationsRequest(page_size=1))
        await self.site.applications.GetCurrentApplication(application.GetCurrentApplicationRequest())

    async def _webhooks(self) -> None:
        calls = self.site.webhooks
        create = webhook.CreateWebhookRequest(url=URL, types=["user.*", "approval.*"])
        kept, ended = [(await calls.CreateWebhook(create)).webhook.webhook_id for _ in range(2)]
        await calls.ListWebhooks(webhook.ListWebhooksRequest())
        await calls.UpdateWebhook(
            webhook.UpdateWebhookRequest(
                webhook=webhook.Webhook(
                    webhook_id=kept, url=URL, types=["user.*"], state=webhook.WEBHOOK_STATE_ENABLED
                ),
                update_mask=FieldMask(paths=["url", "types", "state"]),
            )
        )
        await calls.RotateWebhookSecret(
            webhook.RotateWebhookSecretRequest(webhook_id=kept, overlap=Duration(seconds=60))
        )
        tested = [
            (await calls.TestWebhook(webhook.TestWebhookRequest(webhook_id=kept))).event_id for _ in range(2)
        ]
        stream = self.gateway.deliveries.LeaseDeliveries(webhook.LeaseDeliveriesRequest(max_in_flight=10))
        post = await anext(stream)
        stream.cancel()
        await self.gateway.deliveries.ReportDelivery(
            webhook.ReportDeliveryRequest(
                delivery_id=post.delivery_id,
                attempt=post.attempt,
                http_status=503,
                error="busy",
                duration=Duration(nanos=1_000_000),
                retry_after=Duration(seconds=1),
            )
        )
        await calls.ListDeliveries(webhook.ListDeliveriesRequest(webhook_id=kept, page_size=1))
        for what in ({"event_id": tested[0]}, {"failed_since": Timestamp(seconds=1)}):
            await calls.Redeliver(webhook.RedeliverRequest(webhook_id=kept, **what))
        await self.site.hold(calls.DeleteWebhook(webhook.DeleteWebhookRequest(webhook_id=ended)))

    async def _devices(self) -> None:
        number, self._other_number = self._numbers
        self._phones: list[tuple[Phone, Rehearsal]] = []
        for name in ("Pocket", "Tablet", "Watch"):
            phone, party = self._phone()
            self._phones.append((phone, party))
            await phone.register(await phone.start(number), await self._text_code(number), name)
            first = self._phones[0][0]
            if name == "Tablet":
                await first.approve_device(phone.device_id, (await phone.devices())[-1].check)
        (self._first, self._pocket), (self._second, self._tablet), (self._third, _) = self._phones

    def _phone(self) -> tuple[Phone, Rehearsal]:
        party = self._party()
        return Phone(party, origin=ORIGIN, clock=self._service.clock), party  # type: ignore[arg-type]

    async def _text_code(self, number: str) -> str:
        await self._service.due()
        text = next(text for text in reversed(self._service.carrier.texts) if text.number == number)
        # So that another one may be sent, and credentials are looked up anew.
        self._service.clock.turn(seconds=31)
        return code_in(text.body)

    async def _begin(self, custom_user_id: str, **fields: Any) -> enrollment.CreateEnrollmentResponse:
        request = enrollment.CreateEnrollmentRequest(
            custom_user_id=custom_user_id, request_id=f"for {custom_user_id}", **fields
        )
        made: enrollment.CreateEnrollmentResponse = await self.site.enrollments.CreateEnrollment(request)
        return made

    async def _links(self) -> None:
        self._users, self._sites = [], []
        for name in ("ada", "bob"):
            made = await self._begin(name)
            self._sites.append(await self._first.accept(await self._first.open(made.qr.uri)))
            key, calls = made.enrollment.enrollment_id, self.site.enrollments
            found = await calls.GetEnrollment(enrollment.GetEnrollmentRequest(enrollment_id=key))
            await self._watch(calls.WatchEnrollment, enrollment.WatchEnrollmentRequest(enrollment_id=key))
            self._users.append(found.enrollment.authy_id)

    async def _watch(self, method: Any, request: Message) -> None:
        stream = method(request)
        await anext(stream)
        stream.cancel()

    async def _ask(self, **fields: Any) -> approval.Approval:
        request = approval.CreateApprovalRequest(
            authy_id=self._users[0],
            message="Log in?",
            details=[approval.Detail(label="City", value="Paris")],
            hidden_details={"address": "2001:db8::1"},
            **fields,
        )
        asked: approval.Approval = (await self.site.approvals.CreateApproval(request)).approval
        return asked

    async def _uses(self) -> None:
        ada, site = self._users[0], self.site
        code = await self._first.code(self._sites[0])
        await site.verification.VerifyCode(
            verification.VerifyCodeRequest(authy_id=ada, code=code, request_id="typed")
        )
        await site.verification.SendCode(
            verification.SendCodeRequest(authy_id=ada, force=True, action="pay", request_id="sent")
        )
        await site.verification.CreateBackupCodes(verification.CreateBackupCodesRequest(authy_id=ada))
        for name in ("asked", "asked again"):
            self._asked = await self._ask(request_id=name)
            self._question = await self._first.question()
            if name == "asked":
                await self._first.approve(self._question, self._asked.match_number)
        await site.users.UnlockUser(
            user.UnlockUserRequest(authy_id=ada, factors=[user.FACTOR_SOFT_TOKEN, user.FACTOR_SMS])
        )

    async def _readings(self) -> None:
        site, first = self.site, self._first
        key = self._asked.approval_id
        await site.approvals.GetApproval(approval.GetApprovalRequest(approval_id=key))
        await self._watch(site.approvals.WatchApproval, approval.WatchApprovalRequest(approval_id=key))
        for name in ({"authy_id": self._users[0]}, {"custom_user_id": "ada"}):
            await site.users.GetUser(user.GetUserRequest(**name))
        await site.users.ListUsers(user.ListUsersRequest(page_size=1))
        await site.events.ListEvents(event.ListEventsRequest(cursor="earliest", types=["user.*"]))
        await self._watch(site.events.WatchEvents, event.WatchEventsRequest(cursor="earliest"))
        await first.account()
        await first.rename_device(first.device_id, "Pocket 2")
        await first.rename_site(self._sites[0], "mine")
        await first.sites()
        await first.activity(1)
        # What a phone does not ask for by itself.
        for call, request in (
            (
                self._pocket.authenticator.GetLogo,
                authenticator.GetLogoRequest(logo_id=self._sites[0].logo_id),
            ),
            (self._pocket.authenticator.ListActivity, authenticator.ListActivityRequest(page_size=1)),
        ):
            self._pocket.credential = first._session._token
            await call(request)

    async def _once(self) -> None:
        """What is good once."""
        pocket, tablet, site, first = self._pocket, self._tablet, self.site, self._first
        fourth, party = self._phone()
        started = await fourth.start(self._other_number)
        code = await self._text_code(self._other_number)
        await party.hold(fourth.register(started, code, "Other"))
        tablet.credential = self._second._session._token
        await tablet.hold(self._second.add_key(self._sites[0]))
        self._second._session.forget()
        await tablet.hold(self._second._session.open())
        await pocket.hold(
            first.update_account(phone_codes=True, new_device_policy=account.NEW_DEVICE_POLICY_HOLD)
        )
        await pocket.hold(first.acknowledge_device(self._third.device_id))
        await pocket.hold(
            first.approve_device(self._third.device_id, (await self._third.devices())[-1].check)
        )
        await pocket.hold(
            first.accept(await first.open((await self._begin("carl", replace_existing=True)).qr.uri))
        )
        await pocket.hold(first.open((await self._begin("gil")).qr.uri))
        await pocket.hold(first.reject(await first.open((await self._begin("dora")).qr.uri)))
        await pocket.hold(first.approve(self._question, self._asked.match_number))
        generic = await self._begin("eve", method=enrollment.ENROLLMENT_METHOD_GENERIC_TOTP)
        [seed] = parse_qs(urlsplit(generic.qr.uri).query)["secret"]
        key = generic.enrollment.enrollment_id
        code = pyotp.TOTP(seed).at(self._service.clock())
        await site.hold(
            site.enrollments.ConfirmEnrollment(
                enrollment.ConfirmEnrollmentRequest(enrollment_id=key, code=code)
            )
        )
        key = (await self._begin("fay")).enrollment.enrollment_id
        await site.hold(
            site.enrollments.CancelEnrollment(enrollment.CancelEnrollmentRequest(enrollment_id=key))
        )
        request = approval.CreateApprovalRequest(authy_id=self._users[1], message="And you?")
        key = (await site.approvals.CreateApproval(request)).approval.approval_id
        await site.hold(site.approvals.CancelApproval(approval.CancelApprovalRequest(approval_id=key)))

    async def _ends(self) -> None:
        """What is good once, and little else after it."""
        pocket, first, calls = self._pocket, self._first, self.operator.applications
        site, tablet = self.site, self._tablet
        await site.hold(site.users.DeleteUser(user.DeleteUserRequest(authy_id=self._users[1])))
        await pocket.hold(first.remove_site(self._sites[0]))
        await tablet.hold(tablet.account.DeleteSession(account.DeleteSessionRequest()))
        await pocket.hold(first.revoke_device(self._third.device_id))
        await pocket.hold(first.delete_account())
        await self.operator.hold(
            calls.RevokeApiKey(application.RevokeApiKeyRequest(api_key_id=self._spare_key_id))
        )
        await self.operator.hold(
            calls.DeleteApplication(application.DeleteApplicationRequest(application_id=self._application_id))
        )
