"""What is another's looks like what does not exist, byte for byte, whatever is called and whoever calls."""

import base64
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.message import Message

from authy_grpc.domain import keys, receipts
from authy_grpc.phone import Offer, Phone, PhoneError
from authy_grpc.phone.scan import read_token
from authy_grpc.phone.state import new_key
from authy_grpc.service.caller import Device as DeviceCaller
from authy_grpc.service.caller import Site as SiteCaller
from authy_grpc.v1 import (
    account_pb2,
    application_pb2,
    approval_pb2,
    authenticator_pb2,
    enrollment_pb2,
    event_pb2,
    user_pb2,
    verification_pb2,
)
from tests.e2e.methods import NO, NO_TOKEN, NO_USER, REQUESTS, path, served_to
from tests.e2e.wire import Exchange, Party
from tests.harness import ORIGIN, Service, Site

OTHER_NUMBER = "+4915112345679"


def no_token(length: int) -> str:
    """What has the form of a page token or a cursor, and was never given out."""
    return base64.urlsafe_b64encode(os.urandom(length)).decode()[:length]


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
    request_id: str = ""


def enrollment(name: str) -> Callable[[Names], list[Message]]:
    return lambda at: [getattr(enrollment_pb2, f"{name}Request")(enrollment_id=at.enrollment_id)]


def approval(name: str) -> Callable[[Names], list[Message]]:
    return lambda at: [getattr(approval_pb2, f"{name}Request")(approval_id=at.approval_id)]


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
}


@dataclass
class Theirs:
    """A site that has everything, and what its things are called."""

    site: Site
    party: Party
    phone: Phone
    names: list[Names]
    code: str

    @property
    def ids(self) -> set[str]:
        """What nobody else may ever see."""
        found = {each.authy_id for each in self.names} | {each.enrollment_id for each in self.names}
        found |= {each.approval_id for each in self.names} | {self.site.application.application_id}
        return found - {NO_USER, f"enr_{NO}", f"apr_{NO}"}

    async def seen(self) -> list[Message]:
        """All that the site sees of itself."""
        found: list[Any] = [
            await self.party.application.GetCurrentApplication(
                application_pb2.GetCurrentApplicationRequest()
            ),
            await self.party.users.ListUsers(user_pb2.ListUsersRequest()),
            await self.party.events.ListEvents(event_pb2.ListEventsRequest(cursor="earliest", page_size=999)),
        ]
        for names in self.names:
            if names.enrollment_id != f"enr_{NO}":
                request = enrollment_pb2.GetEnrollmentRequest(enrollment_id=names.enrollment_id)
                found.append(await self.party.enrollments.GetEnrollment(request))
            if names.approval_id != f"apr_{NO}":
                asked = approval_pb2.GetApprovalRequest(approval_id=names.approval_id)
                found.append(await self.party.approvals.GetApproval(asked))
        found[2].cursor = ""  # sealed anew each time
        return found


async def partner(service: Service, name: str) -> tuple[Site, Party]:
    """A site all of whose bytes are kept."""
    site = await service.site(name)
    party = Party(service.channel(), site.api_key)
    return replace(site, client=party), party  # type: ignore[arg-type]


async def begin(party: Party, **fields: Any) -> enrollment_pb2.CreateEnrollmentResponse:
    request = enrollment_pb2.CreateEnrollmentRequest(**fields)
    made: enrollment_pb2.CreateEnrollmentResponse = await party.enrollments.CreateEnrollment(request)
    return made


async def busy_site(service: Service) -> Theirs:
    """A site with things in every state."""
    site, party = await partner(service, "Theirs")
    phone = await service.phone(OTHER_NUMBER)
    completed, linked = await service.enroll(site, phone, "grace", request_id="once")
    await service.enroll(site, phone, "grace the second")
    pending = await begin(party, custom_user_id="pending")
    awaiting = await begin(party, custom_user_id="awaiting", require_code=True)
    await phone.accept(await phone.open(awaiting.qr.uri))
    canceled = await begin(party, custom_user_id="canceled")
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
    user = Names(
        authy_id=completed.authy_id,
        custom_user_id="grace",
        code=code,
        enrollment_id=completed.enrollment_id,
        approval_id=approvals[0],
        cursor=feed.cursor,
        page_token=page.next_page_token,
        request_id="once",
    )
    enrollments = [each.enrollment for each in (pending, awaiting, canceled)]
    others = [replace(user, enrollment_id=each.enrollment_id) for each in enrollments]
    return Theirs(site, party, phone, [user, replace(user, approval_id=approvals[1]), *others], code)


def nobodys(names: Names) -> Names:
    """As well formed, and nobody's."""
    return Names(
        cursor=no_token(len(names.cursor)),
        page_token=no_token(len(names.page_token)),
        code=names.code,
        request_id=f"{names.request_id} never",
    )


def compared(name: str, exchange: Exchange) -> tuple[Any, ...]:
    """What has to be the same. An enrollment that is made anew has an id and a token of its own."""
    if name != "EnrollmentService/CreateEnrollment" or exchange.code != "OK":
        return exchange.answer
    made = enrollment_pb2.CreateEnrollmentResponse.FromString(exchange.messages[0])
    made.enrollment.enrollment_id = made.enrollment.custom_user_id = ""
    made.qr.uri = str(len(made.qr.uri))
    return (made.SerializeToString(deterministic=True), *exchange.answer[3:])


async def test_another_sites_things_are_as_if_there_were_none(service: Service) -> None:
    theirs = await busy_site(service)
    site, party = await partner(service, "Ours")
    await service.enroll(site, await service.phone(), "ada")
    assert served_to(service, SiteCaller) == set(SITE_CALLS)  # a method that is not covered

    before, texts = await theirs.seen(), len(service.carrier.texts)
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
    assert await theirs.seen() == before and len(service.carrier.texts) == texts
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
        if name in ("ApplicationService/GetCurrentApplication", "UserService/DeleteUser"):
            continue
        for own, of_nobody in zip(requests(theirs.names[0]), requests(nobodys(theirs.names[0])), strict=True):
            answers = [compared(name, await theirs.party.send(path(name), each)) for each in (own, of_nobody)]
            if answers[0] != answers[1]:
                differing.add(name)
    assert differing == set(SITE_CALLS) - {
        "ApplicationService/GetCurrentApplication",
        "UserService/DeleteUser",
    }


async def test_request_ids_of_two_sites_have_nothing_in_common(service: Service) -> None:
    phone = await service.phone()
    parties = []
    for name in ("Theirs", "Ours"):
        site, party = await partner(service, name)
        made, linked = await service.enroll(site, phone, name, request_id="same")
        parties.append((party, made.authy_id, linked, name))
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


@dataclass(frozen=True)
class Things:
    """By what a device names things: those of another account, or of nobody."""

    device_id: str = f"dev_{NO}"
    held_device_id: str = f"dev_{NO}"
    site_id: str = f"sit_{NO}"
    approval_id: str = f"apr_{NO}"
    token: str = NO_TOKEN
    question: receipts.Question | None = None
    page_token: str = ""
    verification_id: str = f"pvn_{NO}"


@dataclass
class Caller:
    """A phone that asks for what is not its owner's."""

    phone: Phone
    party: Party

    async def respond(self, at: Things) -> None:
        assert at.question is not None
        key = new_key()
        receipt = receipts.Receipt(
            kid=keys.thumbprint(keys.public_point(key)),
            decision=receipts.Decision.DENY,
            match_number="",
            user_verified=False,
            time=at.question.created,
            question=at.question.write(),
        )
        request = authenticator_pb2.RespondApprovalRequest(
            approval_id=at.approval_id, receipt=receipt.sign(key)
        )
        await self.phone._session.call(self.party.authenticator.RespondApproval, request)

    async def activity(self, at: Things) -> None:
        request = authenticator_pb2.ListActivityRequest(page_token=at.page_token)
        await self.phone._session.call(self.party.authenticator.ListActivity, request)

    async def session(self, at: Things) -> None:
        request = account_pb2.CreateSessionRequest(device_id=at.device_id)
        session = self.phone._session
        await session._prove(
            self.party.account.CreateSession,
            "AccountService/CreateSession",
            request,
            (),
            token="",
        )

    async def register(self, at: Things) -> None:
        signing, agreement = new_key(), new_key()
        points = keys.public_point(signing), keys.public_point(agreement)
        request = account_pb2.RegisterDeviceRequest(
            verification_id=at.verification_id,
            code="0",
            name="Pocket",
            signing_key=points[0],
            agreement_key=points[1],
            signature=keys.sign(signing, keys.registration_message(at.verification_id, *points)),
        )
        await self.party.account.RegisterDevice(request, metadata=())


def site(at: Things) -> authenticator_pb2.Site:
    return authenticator_pb2.Site(site_id=at.site_id, code_digits=6, code_period_seconds=30)


def offer(at: Things) -> Offer:
    return Offer(at.token, "", "", datetime.now(UTC))


DEVICE_CALLS: dict[str, Callable[[Caller, Things], Awaitable[Any]]] = {
    "AccountService/UpdateDevice": lambda me, at: me.phone.rename_device(at.device_id, "Mine"),
    "AccountService/ApproveDevice": lambda me, at: me.phone.approve_device(at.held_device_id, "000000"),
    "AccountService/RevokeDevice": lambda me, at: me.phone.revoke_device(at.device_id),
    "AuthenticatorService/OpenEnrollment": lambda me, at: me.phone.open(f"{ORIGIN}/app/#/e/{at.token}"),
    "AuthenticatorService/AcceptEnrollment": lambda me, at: me.phone.accept(offer(at)),
    "AuthenticatorService/RejectEnrollment": lambda me, at: me.phone.reject(offer(at)),
    "AuthenticatorService/AddSiteKey": lambda me, at: me.phone.add_key(site(at)),
    "AuthenticatorService/UpdateSite": lambda me, at: me.phone.rename_site(site(at), "Mine"),
    "AuthenticatorService/RemoveSite": lambda me, at: me.phone.remove_site(site(at)),
    "AuthenticatorService/RespondApproval": lambda me, at: me.respond(at),
    "AuthenticatorService/ListActivity": lambda me, at: me.activity(at),
    # These two are of callers without a token.
    "AccountService/CreateSession": lambda me, at: me.session(at),
    "AccountService/RegisterDevice": lambda me, at: me.register(at),
}
# They name nothing, and answer what is the caller's own.
NAMELESS = {
    "AccountService/GetAccount",
    "AccountService/UpdateAccount",
    "AccountService/DeleteAccount",
    "AccountService/ListDevices",
    "AccountService/DeleteSession",
    "AuthenticatorService/ListSites",
    "AuthenticatorService/WatchInbox",
}
# A logo is shown to whoever enrolls.
PUBLIC = {"AuthenticatorService/GetLogo"}


async def recorded_phone(service: Service, number: str, name: str) -> tuple[Phone, Party]:
    """A phone all of whose bytes are kept."""
    party = Party(service.channel())
    phone = Phone(party, origin=ORIGIN, clock=service.clock)  # type: ignore[arg-type]
    await phone.register(await phone.start(number), await service.text_code(), name)
    return phone, party


async def busy_account(service: Service) -> tuple[Phone, Party, list[Things], set[str]]:
    """An account with things in every state, what they are called, and what nobody else may see."""
    phone, party = await recorded_phone(service, OTHER_NUMBER, "Theirs")
    site, client = await partner(service, "Both")
    completed, linked = await service.enroll(site, phone, "grace")
    service.clock.turn(seconds=31)
    held, _ = await recorded_phone(service, OTHER_NUMBER, "Waiting")
    service.clock.turn(seconds=31)
    pending_verification = await phone.start(OTHER_NUMBER)
    tokens = []
    for custom_user_id, accepts in (("opened", False), ("awaiting", True)):
        made = await begin(client, custom_user_id=custom_user_id, require_code=True)
        opened = await phone.open(made.qr.uri)
        tokens.append(opened.token)
        if accepts:
            await phone.accept(opened)
    used = await begin(client, custom_user_id="used")
    tokens.append(read_token(used.qr.uri, ORIGIN))
    await phone.accept(await phone.open(used.qr.uri))
    ask = approval_pb2.CreateApprovalRequest(authy_id=completed.authy_id, message="Pay?")
    asked = (await client.approvals.CreateApproval(ask)).approval
    question = await phone.question()
    page = await phone._session.call(
        party.authenticator.ListActivity, authenticator_pb2.ListActivityRequest(page_size=1)
    )
    things = Things(
        device_id=phone.device_id,
        held_device_id=held.device_id,
        site_id=linked.site_id,
        approval_id=asked.approval_id,
        question=question,
        page_token=page.next_page_token,
        verification_id=pending_verification.verification_id,
    )
    assert page.next_page_token
    secrets = {phone.device_id, held.device_id, linked.site_id, asked.approval_id, OTHER_NUMBER, "Theirs"}
    return phone, party, [replace(things, token=token) for token in tokens], secrets


async def refused(me: Caller, name: str, at: Things) -> Exchange:
    """The answer to a call; it must be the one that was meant."""
    with pytest.raises((PhoneError, Exception)):
        await DEVICE_CALLS[name](me, at)
    exchange = me.party.exchanges[-1]
    assert exchange.method == path(name)
    return exchange


async def test_another_accounts_things_are_as_if_there_were_none(service: Service) -> None:
    theirs, their_party, things, secrets = await busy_account(service)
    me = Caller(*await recorded_phone(service, "+4915112345670", "Mine"))
    of_devices = served_to(service, DeviceCaller)
    assert of_devices == (set(DEVICE_CALLS) | NAMELESS | PUBLIC) & of_devices
    assert not NAMELESS & set(DEVICE_CALLS)

    before = await theirs.sites(), await theirs.devices(), await theirs.activity()
    for at in things:
        nobodys = replace(
            Things(),
            question=at.question,
            page_token=no_token(len(at.page_token)),
            token=no_token(22)[:21] + "A",
        )
        for name in DEVICE_CALLS:
            known, unknown = await refused(me, name, at), await refused(me, name, nobodys)
            assert known.answer == unknown.answer, name
            assert known.code in ("NOT_FOUND", "INVALID_ARGUMENT", "UNAUTHENTICATED"), name
            service.clock.turn(seconds=1)
    me.party.credential = me.phone._session._token
    for name in sorted(NAMELESS, key=lambda name: name == "AccountService/DeleteSession"):
        if REQUESTS[name].DESCRIPTOR.fields_by_name.get("proof"):
            continue
        assert (await me.party.send(path(name), REQUESTS[name])).code == "OK"
    for secret in secrets:
        assert secret.encode() not in me.party.received, secret
        assert secret.encode() in their_party.received or secret == OTHER_NUMBER
    after = await theirs.sites(), await theirs.devices(), await theirs.activity()
    assert [list(map(str, each)) for each in before] == [list(map(str, each)) for each in after]
    assert (await theirs.account()).phone_number == OTHER_NUMBER
    question = await theirs.question()
    assert question.approval_id == things[0].approval_id
