"""What is another's looks like what does not exist, byte for byte, whatever is called and whoever calls."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.service.caller import Site as SiteCaller
from authy_grpc.v1 import (
    application_pb2,
    approval_pb2,
    enrollment_pb2,
    event_pb2,
    user_pb2,
    verification_pb2,
    webhook_pb2,
)
from tests.e2e.cast import Partner, partner
from tests.e2e.methods import NO, NO_USER, REQUESTS, URL, no_token, path, served_to
from tests.e2e.wire import Exchange, Party
from tests.harness import Service

OTHER_NUMBER = "+4915112345679"


@dataclass(frozen=True)
class Names:
    """By what a site names things: those of another site, or of nobody."""

    authy_id: str = NO_USER
    custom_user_id: str = "nobody"
    code: str = "000000"
    enrollment_id: str = f"enr_{NO}"
    approval_id: str = f"apr_{NO}"
    cursor: str = ""
    page_token: str = ""
    webhook_id: str = f"whk_{NO}"
    event_id: str = f"evt_{NO}"
    delivery_token: str = ""
    request_id: str = ""


def enrollment(name: str) -> Callable[[Names], list[Message]]:
    return lambda at: [getattr(enrollment_pb2, f"{name}Request")(enrollment_id=at.enrollment_id)]


def approval(name: str) -> Callable[[Names], list[Message]]:
    return lambda at: [getattr(approval_pb2, f"{name}Request")(approval_id=at.approval_id)]


def webhook(name: str, **fields: Any) -> Callable[[Names], list[Message]]:
    return lambda at: [getattr(webhook_pb2, f"{name}Request")(webhook_id=at.webhook_id, **fields)]


SITE_CALLS: dict[str, Callable[[Names], list[Message]]] = {
    "ApplicationService/GetCurrentApplication": lambda at: [
        REQUESTS["ApplicationService/GetCurrentApplication"]
    ],
    "ApprovalService/CreateApproval": lambda at: [
        approval_pb2.CreateApprovalRequest(authy_id=at.authy_id, message="Log in?", request_id=request_id)
        for request_id in ("", at.request_id)
    ],
    "ApprovalService/GetApproval": approval("GetApproval"),
    "ApprovalService/WatchApproval": lambda at: [
        approval_pb2.WatchApprovalRequest(approval_id=at.approval_id, after_revision=after)
        for after in (0, 1)
    ],
    "ApprovalService/CancelApproval": approval("CancelApproval"),
    "EnrollmentService/CreateEnrollment": lambda at: [
        enrollment_pb2.CreateEnrollmentRequest(
            custom_user_id=at.custom_user_id, replace_existing=replaces, request_id=request_id
        )
        for replaces, request_id in ((False, ""), (True, ""), (False, at.request_id))
    ],
    "EnrollmentService/GetEnrollment": enrollment("GetEnrollment"),
    "EnrollmentService/WatchEnrollment": lambda at: [
        enrollment_pb2.WatchEnrollmentRequest(enrollment_id=at.enrollment_id, after_revision=after)
        for after in (0, 1)
    ],
    "EnrollmentService/ConfirmEnrollment": lambda at: [
        enrollment_pb2.ConfirmEnrollmentRequest(enrollment_id=at.enrollment_id, code=at.code)
    ],
    "EnrollmentService/CancelEnrollment": enrollment("CancelEnrollment"),
    "EventService/WatchEvents": lambda at: [event_pb2.WatchEventsRequest(cursor=at.cursor)],
    "EventService/ListEvents": lambda at: [event_pb2.ListEventsRequest(cursor=at.cursor)],
    "UserService/GetUser": lambda at: [
        user_pb2.GetUserRequest(authy_id=at.authy_id),
        user_pb2.GetUserRequest(custom_user_id=at.custom_user_id),
    ],
    "UserService/ListUsers": lambda at: [user_pb2.ListUsersRequest(page_token=at.page_token)],
    "UserService/DeleteUser": lambda at: [user_pb2.DeleteUserRequest(authy_id=at.authy_id)],
    "UserService/UnlockUser": lambda at: [user_pb2.UnlockUserRequest(authy_id=at.authy_id)],
    "VerificationService/VerifyCode": lambda at: [
        verification_pb2.VerifyCodeRequest(authy_id=at.authy_id, code=code, request_id=request_id)
        for code in (at.code, "000000")
        for request_id in ("", at.request_id)
    ],
    "VerificationService/SendCode": lambda at: [
        verification_pb2.SendCodeRequest(authy_id=at.authy_id, force=True, request_id=request_id)
        for request_id in ("", at.request_id)
    ],
    "VerificationService/CreateBackupCodes": lambda at: [
        verification_pb2.CreateBackupCodesRequest(authy_id=at.authy_id)
    ],
    "WebhookService/CreateWebhook": lambda at: [REQUESTS["WebhookService/CreateWebhook"]],
    "WebhookService/ListWebhooks": lambda at: [webhook_pb2.ListWebhooksRequest()],
    "WebhookService/UpdateWebhook": lambda at: [
        webhook_pb2.UpdateWebhookRequest(
            webhook=webhook_pb2.Webhook(
                webhook_id=at.webhook_id, url=URL, state=webhook_pb2.WEBHOOK_STATE_ENABLED
            ),
            update_mask=FieldMask(paths=[each]),
        )
        for each in ("url", "types", "state")
    ],
    "WebhookService/RotateWebhookSecret": webhook("RotateWebhookSecret"),
    "WebhookService/TestWebhook": webhook("TestWebhook"),
    "WebhookService/ListDeliveries": lambda at: [
        webhook_pb2.ListDeliveriesRequest(webhook_id=at.webhook_id, page_token=token)
        for token in ("", at.delivery_token)
    ],
    "WebhookService/Redeliver": lambda at: [
        webhook_pb2.RedeliverRequest(webhook_id=at.webhook_id, event_id=at.event_id),
        webhook_pb2.RedeliverRequest(webhook_id=at.webhook_id, failed_since=Timestamp(seconds=1)),
    ],
    # The last one: there is nothing to ask for after it.
    "WebhookService/DeleteWebhook": webhook("DeleteWebhook"),
}
# Whoever asks names nothing of anybody's.
NAMELESS = {
    "ApplicationService/GetCurrentApplication",
    "WebhookService/CreateWebhook",
    "WebhookService/ListWebhooks",
}


@dataclass
class Theirs:
    """A site that has everything, and what its things are called."""

    partner: Partner
    names: list[Names]
    code: str

    @property
    def party(self) -> Party:
        """What the site receives."""
        return self.partner.client

    @property
    def ids(self) -> set[str]:
        """What nobody else may ever see."""
        found = {each.authy_id for each in self.names} | {each.enrollment_id for each in self.names}
        found |= {each.approval_id for each in self.names} | {self.partner.application.application_id}
        found |= {self.names[0].webhook_id, self.names[0].event_id}
        return found - {NO_USER, f"enr_{NO}", f"apr_{NO}"}

    async def seen(self, service: Service) -> list[Message]:
        """All that the site sees of itself."""
        found: list[Any] = [
            await self.party.application.GetCurrentApplication(
                application_pb2.GetCurrentApplicationRequest()
            ),
            await self.party.users.ListUsers(user_pb2.ListUsersRequest()),
            *await self.partner.listed(service),
            await self.party.webhooks.ListWebhooks(webhook_pb2.ListWebhooksRequest()),
            await self.party.webhooks.ListDeliveries(
                webhook_pb2.ListDeliveriesRequest(webhook_id=self.names[0].webhook_id)
            ),
        ]
        for names in self.names:
            if names.enrollment_id != f"enr_{NO}":
                request = enrollment_pb2.GetEnrollmentRequest(enrollment_id=names.enrollment_id)
                found.append(await self.party.enrollments.GetEnrollment(request))
            if names.approval_id != f"apr_{NO}":
                asked = approval_pb2.GetApprovalRequest(approval_id=names.approval_id)
                found.append(await self.party.approvals.GetApproval(asked))
        return found


async def busy_site(service: Service) -> Theirs:
    """A site with things in every state."""
    site = await partner(service, "Theirs")
    party, phone = site.client, await service.phone(OTHER_NUMBER)
    made = await party.webhooks.CreateWebhook(webhook_pb2.CreateWebhookRequest(url=URL))
    webhook_id = made.webhook.webhook_id
    completed, linked = await service.enroll(site.site, phone, "grace", request_id="once")
    await service.enroll(site.site, phone, "grace the second")
    pending = await site.begin("pending")
    awaiting = await site.begin("awaiting", require_code=True)
    await phone.accept(await phone.open(awaiting.qr.uri))
    canceled = await site.begin("canceled")
    await party.enrollments.CancelEnrollment(
        enrollment_pb2.CancelEnrollmentRequest(enrollment_id=canceled.enrollment.enrollment_id)
    )
    approvals = []
    for answers in (True, False):
        ask = approval_pb2.CreateApprovalRequest(
            authy_id=completed.authy_id, message="Pay?", request_id=f"once{answers}"
        )
        asked = (await party.approvals.CreateApproval(ask)).approval
        approvals.append(asked.approval_id)
        if answers:
            await phone.approve(await phone.question(), asked.match_number)
    feed = await party.events.ListEvents(event_pb2.ListEventsRequest(cursor="earliest", page_size=1))
    page = await party.users.ListUsers(user_pb2.ListUsersRequest(page_size=1))
    code = await phone.code(linked)
    posts = await party.webhooks.ListDeliveries(
        webhook_pb2.ListDeliveriesRequest(webhook_id=webhook_id, page_size=1)
    )
    user = Names(
        authy_id=completed.authy_id,
        custom_user_id="grace",
        code=code,
        enrollment_id=completed.enrollment_id,
        approval_id=approvals[0],
        cursor=feed.cursor,
        page_token=page.next_page_token,
        webhook_id=webhook_id,
        event_id=posts.deliveries[0].event_id,
        delivery_token=posts.next_page_token,
        request_id="once",
    )
    enrollments = [each.enrollment for each in (pending, awaiting, canceled)]
    others = [replace(user, enrollment_id=each.enrollment_id) for each in enrollments]
    return Theirs(site, [user, replace(user, approval_id=approvals[1]), *others], code)


def nobodys(names: Names) -> Names:
    """As well formed, and nobody's."""
    return Names(
        cursor=no_token(len(names.cursor)),
        page_token=no_token(len(names.page_token)),
        delivery_token=no_token(len(names.delivery_token)),
        code=names.code,
        request_id=f"{names.request_id} never",
    )


def compared(name: str, exchange: Exchange) -> tuple[Any, ...]:
    """What has to be the same. What is made anew has an id and secrets of its own."""
    if name == "WebhookService/CreateWebhook":
        new = webhook_pb2.CreateWebhookResponse.FromString(exchange.messages[0])
        new.webhook.webhook_id = new.secret = ""
        return (new.SerializeToString(deterministic=True), *exchange.answer[3:])
    if name != "EnrollmentService/CreateEnrollment" or exchange.code != "OK":
        return exchange.answer
    made = enrollment_pb2.CreateEnrollmentResponse.FromString(exchange.messages[0])
    made.enrollment.enrollment_id = made.enrollment.custom_user_id = ""
    made.qr.uri = str(len(made.qr.uri))
    return (made.SerializeToString(deterministic=True), *exchange.answer[3:])


async def test_another_sites_things_are_as_if_there_were_none(service: Service) -> None:
    theirs = await busy_site(service)
    ours = await partner(service, "Ours")
    party = ours.client
    await service.enroll(ours.site, await service.phone(), "ada")
    assert served_to(service, SiteCaller) == set(SITE_CALLS)  # a method that is not covered

    before, texts = await theirs.seen(service), len(service.carrier.texts)
    party.exchanges.clear()
    done: set[tuple[str, bytes]] = set()
    for names in theirs.names:
        for name, requests in SITE_CALLS.items():
            pairs = zip(requests(names), requests(nobodys(names)), strict=True)
            for of_theirs, of_nobody in pairs:
                if (asked := (name, of_theirs.SerializeToString())) in done:
                    continue
                done.add(asked)
                known = await party.send(path(name), of_theirs)
                unknown = await party.send(path(name), of_nobody)
                assert compared(name, known) == compared(name, unknown), name
                assert known.request_id != unknown.request_id
    refused = {each.code for each in party.exchanges}
    assert refused == {"OK", "NOT_FOUND", "INVALID_ARGUMENT"}

    await service.due()
    assert await theirs.seen(service) == before and len(service.carrier.texts) == texts
    for secret in theirs.ids:
        assert secret.encode() not in party.received
        assert secret.encode() in theirs.party.received  # the search would have found it
    verified = await theirs.party.verification.VerifyCode(
        verification_pb2.VerifyCodeRequest(authy_id=theirs.names[0].authy_id, code=theirs.code)
    )
    assert verified.result == verification_pb2.CodeResult.CODE_RESULT_ACCEPTED


async def test_the_comparison_sees_what_is_ones_own(service: Service) -> None:
    """The control: the same calls by the site itself are answered otherwise."""
    theirs = await busy_site(service)
    differing = set()
    for name, requests in SITE_CALLS.items():
        if name in NAMELESS or name == "UserService/DeleteUser":
            continue
        for own, of_nobody in zip(requests(theirs.names[0]), requests(nobodys(theirs.names[0])), strict=True):
            answers = [compared(name, await theirs.party.send(path(name), each)) for each in (own, of_nobody)]
            if answers[0] != answers[1]:
                differing.add(name)
    assert differing == set(SITE_CALLS) - NAMELESS - {"UserService/DeleteUser"}


async def test_request_ids_of_two_sites_have_nothing_in_common(service: Service) -> None:
    phone = await service.phone()
    parties = []
    for name in ("Theirs", "Ours"):
        site = await partner(service, name)
        made, linked = await service.enroll(site.site, phone, name, request_id="same")
        parties.append((site.client, made.authy_id, linked, name))
    answered: list[list[Any]] = []
    for party, authy_id, linked, name in parties:
        service.clock.turn(seconds=61)
        code = await phone.code(linked)
        calls: Iterable[Awaitable[Any]] = (
            party.verification.VerifyCode(
                verification_pb2.VerifyCodeRequest(authy_id=authy_id, code=code, request_id="same")
            ),
            party.verification.SendCode(
                verification_pb2.SendCodeRequest(authy_id=authy_id, force=True, request_id="same")
            ),
            party.approvals.CreateApproval(
                approval_pb2.CreateApprovalRequest(authy_id=authy_id, message=name, request_id="same")
            ),
        )
        answered.append([await each for each in calls])
    verified, sent, asked = zip(*answered, strict=True)
    accepted = verification_pb2.CodeResult.CODE_RESULT_ACCEPTED
    assert [each.result for each in verified] == [accepted, accepted]
    assert sent[0].sent and sent[1].sent and sent[0].expire_time != sent[1].expire_time
    assert asked[0].approval.approval_id != asked[1].approval.approval_id
    assert [each.approval.message for each in asked] == ["Theirs", "Ours"]
