"""A scenario that leaves nothing out: all that can be done, and all that can go wrong."""

from contextlib import suppress
from typing import Any

from authy_grpc.phone import PhoneError
from authy_grpc.phone.scan import read_token
from authy_grpc.v1 import (
    account_pb2,
    approval_pb2,
    enrollment_pb2,
    user_pb2,
    verification_pb2,
)
from tests.e2e.breaking import Broken, broken
from tests.e2e.cast import Partner, new_phone, owner, told
from tests.e2e.planting import (
    DATABASE,
    FEED_TWO,
    NUMBER,
    ODD,
    ONE,
    OTHER,
    OWNERS,
    PHONE,
    SECOND,
    SITE,
    STRANGER,
    TEXTS,
    TWO,
    Opening,
    refused,
)
from tests.e2e.wire import Party
from tests.harness import ORIGIN


class Story(Opening):
    """The scenario as a whole."""

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
        await self.post()
        for site in (self.one, self.two):
            await refused(site.client.users.GetUser(user_pb2.GetUserRequest(authy_id=self.user.authy_id)))
            await site.read_feed(self.service)


async def _all(phone: Any) -> list[Any]:
    async for pending in phone.inbox():
        return list(pending.questions)
    return []
