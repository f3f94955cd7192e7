"""Users of sites whose every call is made at a time of its own, and what their sites see of them."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from authy_grpc.phone import Phone
from authy_grpc.v1 import approval_pb2, enrollment_pb2, event_pb2, user_pb2, verification_pb2
from authy_grpc.v1.authenticator_pb2 import Site as Linked
from tests.e2e.cast import Partner, recorded
from tests.e2e.wire import Exchange, Party
from tests.harness import Service

# No multiple of it is near a span of the contract.
STEP_SECONDS = 97.389


@dataclass
class User:
    """One user of one site.

    Attributes:
        party: what the site receives about this user, and sends, the feed apart.
        linked: as the owner's phone sees the site.
    """

    service: Service
    partner: Partner
    custom_user_id: str
    phone: Phone
    party: Party = field(init=False)
    authy_id: str = ""
    linked: Linked = field(default_factory=Linked)
    cursor: str = ""
    read: int = 0
    enrollment_id: str = ""
    approval_id: str = ""

    def __post_init__(self) -> None:
        self.party = self.partner.speaks(self.partner.client.credential)

    def turn(self, seconds: float = STEP_SECONDS) -> None:
        self.service.clock.turn(seconds=seconds)

    async def refused(self, call: Any) -> Exchange:
        """Make a call that has to fail, at a time of its own."""
        try:
            await call
        except grpc.aio.AioRpcError:
            self.turn()
            return self.party.exchanges[-1]
        raise AssertionError("this call was to be refused")

    async def enroll(self) -> None:
        """With wrong codes first."""
        calls = self.party.enrollments
        request = enrollment_pb2.CreateEnrollmentRequest(
            custom_user_id=self.custom_user_id, require_code=True, request_id=f"{self.custom_user_id} begins"
        )
        made = await calls.CreateEnrollment(request)
        self.enrollment_id = made.enrollment.enrollment_id
        self.turn()
        offer = await self.phone.open(made.qr.uri)
        self.turn()
        self.linked = await self.phone.accept(offer)
        watch: Any = calls.WatchEnrollment(
            enrollment_pb2.WatchEnrollmentRequest(enrollment_id=self.enrollment_id)
        )
        await anext(watch)
        confirm = enrollment_pb2.ConfirmEnrollmentRequest(enrollment_id=self.enrollment_id, code="000")
        self.turn()
        await self.refused(calls.ConfirmEnrollment(confirm))
        confirm.code = await self.phone.code(self.linked)
        self.authy_id = (await calls.ConfirmEnrollment(confirm)).enrollment.authy_id
        async for _ in watch:
            pass
        self.turn()
        request.request_id = ""
        await self.refused(calls.CreateEnrollment(request))
        cancel = enrollment_pb2.CancelEnrollmentRequest(enrollment_id=self.enrollment_id)
        await self.refused(calls.CancelEnrollment(cancel))

    async def check(self, code: str) -> verification_pb2.VerifyCodeResponse:
        request = verification_pb2.VerifyCodeRequest(authy_id=self.authy_id, code=code)
        answered: verification_pb2.VerifyCodeResponse = await self.party.verification.VerifyCode(request)
        return answered

    async def unlock(self) -> None:
        await self.party.users.UnlockUser(user_pb2.UnlockUserRequest(authy_id=self.authy_id))
        self.turn()

    async def use_codes(self) -> None:
        """Right, again, wrong until the user is locked; sent, and sent too often."""
        code = await self.phone.code(self.linked)
        # Of six digits, or they would be no guesses; and other ones than another user types.
        wrong = [f"{(int(code) + index) % 1_000_000:06d}" for index in range(1, 7)]
        for each in (code, code, *wrong[:5]):
            await self.check(each)
            self.turn(1.013)
        await self.refused(self.check(wrong[5]))
        await self.unlock()
        send = verification_pb2.SendCodeRequest(authy_id=self.authy_id, force=True)
        await self.party.verification.SendCode(send)
        await self.refused(self.party.verification.SendCode(send))
        await self.service.due()
        await self.check(await self.service.text_code())
        self.turn()
        await self.party.verification.CreateBackupCodes(
            verification_pb2.CreateBackupCodesRequest(authy_id=self.authy_id)
        )

    async def ask(self, way: str = "", seconds: int = 0) -> approval_pb2.Approval:
        request = approval_pb2.CreateApprovalRequest(
            authy_id=self.authy_id,
            message=f"{self.custom_user_id} {way}?",
            ttl=Duration(seconds=seconds) if seconds else None,
        )
        asked: approval_pb2.Approval = (await self.party.approvals.CreateApproval(request)).approval
        self.approval_id = asked.approval_id
        self.turn(1.013)
        return asked

    async def use_approvals(self) -> None:
        """Approved, denied, expired, called off, reported."""
        for way in ("approved", "denied", "expired", "canceled", "fraud"):
            asked = await self.ask(way)
            question = await self.phone.question()
            if way == "approved":
                await self.phone.approve(question, asked.match_number)
            elif way == "denied":
                await self.phone.deny(question)
            elif way == "expired":
                self.turn()
                await self.service.due()
            elif way == "canceled":
                cancel = approval_pb2.CancelApprovalRequest(approval_id=asked.approval_id)
                await self.party.approvals.CancelApproval(cancel)
                await self.unlock()
            else:
                await self.phone.report_fraud(question)
            watch = approval_pb2.WatchApprovalRequest(approval_id=asked.approval_id)
            async for _ in self.party.approvals.WatchApproval(watch):
                pass
            self.turn()
        await self.refused(self.ask("frozen"))
        await self.unlock()

    async def ask_for_nothing(self) -> None:
        """What nobody has, and what cannot be read."""
        users = self.party.users
        await self.refused(users.GetUser(user_pb2.GetUserRequest(authy_id="1000000")))
        await self.refused(users.GetUser(user_pb2.GetUserRequest(custom_user_id="x" * 129)))
        await self.refused(users.ListUsers(user_pb2.ListUsersRequest(page_token="none")))
        await users.GetUser(user_pb2.GetUserRequest(custom_user_id=self.custom_user_id))

    async def live(self) -> None:
        """All of it."""
        await self.enroll()
        await self.use_codes()
        await self.use_approvals()
        await self.ask_for_nothing()

    async def news(self) -> list[event_pb2.Event]:
        """What the feed says of this user since it was last asked."""
        found: list[event_pb2.Event] = []
        # On PostgreSQL what has happened is read once all that was under way by then has ended.
        while True:
            request = event_pb2.ListEventsRequest(cursor=self.cursor or "earliest", page_size=1000)
            page = await self.partner.feed.events.ListEvents(request)
            self.cursor, self.read = page.cursor, self.read + len(page.events)
            found += page.events
            if self.read >= await recorded(self.service, self.partner.application):
                return [each for each in found if self.is_about(each)]

    def is_about(self, event: event_pb2.Event) -> bool:
        """Whether an event is about this user."""
        match event.WhichOneof("subject"):
            case "approval":
                return event.approval.authy_id == self.authy_id
            case "enrollment":
                return event.enrollment.custom_user_id == self.custom_user_id
            case _:
                return event.user.authy_id == self.authy_id

    @property
    def heard(self) -> list[Exchange]:
        """All about this user: of the feed the events that are, without where they stand in it."""
        own = []
        for exchange in self.partner.feed.exchanges:
            if exchange.method.endswith("ListEvents"):
                found = event_pb2.ListEventsResponse.FromString(exchange.messages[0])
                page = event_pb2.ListEventsResponse(events=filter(self.is_about, found.events))
                own.append(Exchange(exchange.method, exchange.sent, [page.SerializeToString()]))
        return self.party.exchanges + own

    async def view(self) -> dict[str, Any]:
        """What every call answers the site about this user, without what is new with each call."""
        users, seen = self.party.users, {}
        for key in ({"authy_id": self.authy_id}, {"custom_user_id": self.custom_user_id}):
            await self._try(users.GetUser(user_pb2.GetUserRequest(**key)))
            seen[f"GetUser by {next(iter(key))}"] = self.party.exchanges[-1].answer
        listed = await users.ListUsers(user_pb2.ListUsersRequest())
        seen["ListUsers"] = ("", *[str(each) for each in listed.users if each.authy_id == self.authy_id])
        request = enrollment_pb2.CreateEnrollmentRequest(custom_user_id=self.custom_user_id)
        await self._try(self.party.enrollments.CreateEnrollment(request))
        seen["CreateEnrollment"] = self.party.exchanges[-1].code, self.party.exchanges[-1].details
        await self._try(self.check("000"))
        seen["VerifyCode"] = self.party.exchanges[-1].answer
        await self._try(self._ask_and_take_back())
        seen["CreateApproval"] = self.party.exchanges[-1].code, self.party.exchanges[-1].details
        await self._try(users.UnlockUser(user_pb2.UnlockUserRequest(authy_id=self.authy_id)))
        seen["UnlockUser"] = self.party.exchanges[-1].answer
        seen["events"] = tuple(each.type for each in await self.news())
        return seen

    async def _ask_and_take_back(self) -> None:
        request = approval_pb2.CreateApprovalRequest(authy_id=self.authy_id, message="Log in?")
        asked = (await self.party.approvals.CreateApproval(request)).approval
        cancel = approval_pb2.CancelApprovalRequest(approval_id=asked.approval_id)
        await self.party.approvals.CancelApproval(cancel)

    async def _try(self, call: Any) -> None:
        with suppress(grpc.aio.AioRpcError):
            await call
