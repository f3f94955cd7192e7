"""What is another account's looks like what does not exist, byte for byte, whatever device calls."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import pytest

from authy_grpc.domain import keys, receipts
from authy_grpc.phone import Offer, PhoneError
from authy_grpc.phone.scan import read_token
from authy_grpc.phone.state import new_key
from authy_grpc.service.caller import Device as DeviceCaller
from authy_grpc.v1 import (
    account_pb2,
    approval_pb2,
    authenticator_pb2,
)
from tests.e2e.cast import Owner, owner, partner
from tests.e2e.methods import NO, NO_TOKEN, REQUESTS, no_token, path, served_to
from tests.e2e.wire import Exchange
from tests.harness import ORIGIN, Service

OTHER_NUMBER = "+4915112345679"


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


class Caller(Owner):
    """A phone that asks for what is not its owner's."""

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
    "AccountService/AcknowledgeDevice": lambda me, at: me.phone.acknowledge_device(at.held_device_id),
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


async def busy_account(service: Service) -> tuple[Owner, list[Things], set[str]]:
    """An account with things in every state, what they are called, and what nobody else may see."""
    theirs = await owner(service, OTHER_NUMBER, "Theirs")
    phone, site = theirs.phone, await partner(service, "Both")
    completed, linked = await service.enroll(site.site, phone, "grace")
    service.clock.turn(seconds=31)
    held = (await owner(service, OTHER_NUMBER, "Waiting")).phone
    service.clock.turn(seconds=31)
    pending_verification = await phone.start(OTHER_NUMBER)
    tokens = []
    for custom_user_id, accepts in (("opened", False), ("awaiting", True)):
        made = await site.begin(custom_user_id, require_code=True)
        opened = await phone.open(made.qr.uri)
        tokens.append(opened.token)
        if accepts:
            await phone.accept(opened)
    used = await site.begin("used")
    tokens.append(read_token(used.qr.uri, ORIGIN))
    await phone.accept(await phone.open(used.qr.uri))
    ask = approval_pb2.CreateApprovalRequest(authy_id=completed.authy_id, message="Pay?")
    asked = (await site.client.approvals.CreateApproval(ask)).approval
    question = await phone.question()
    page = await phone._session.call(
        theirs.party.authenticator.ListActivity, authenticator_pb2.ListActivityRequest(page_size=1)
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
    return theirs, [replace(things, token=token) for token in tokens], secrets


async def refused(me: Caller, name: str, at: Things) -> Exchange:
    """The answer to a call; it must be the one that was meant."""
    with pytest.raises((PhoneError, grpc.aio.AioRpcError)):
        await DEVICE_CALLS[name](me, at)
    exchange = me.party.exchanges[-1]
    assert exchange.method == path(name)
    return exchange


async def test_another_accounts_things_are_as_if_there_were_none(service: Service) -> None:
    them, things, secrets = await busy_account(service)
    mine = await owner(service, "+4915112345670", "Mine")
    me, theirs = Caller(mine.phone, mine.party), them.phone
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
    me.party.credential = me.token
    for name in sorted(NAMELESS, key=lambda name: name == "AccountService/DeleteSession"):
        if REQUESTS[name].DESCRIPTOR.fields_by_name.get("proof"):
            continue
        assert (await me.party.send(path(name), REQUESTS[name])).code == "OK"
    for secret in secrets:
        assert secret.encode() not in me.party.received, secret
        assert secret.encode() in them.party.received or secret == OTHER_NUMBER
    after = await theirs.sites(), await theirs.devices(), await theirs.activity()
    assert [list(map(str, each)) for each in before] == [list(map(str, each)) for each in after]
    assert (await theirs.account()).phone_number == OTHER_NUMBER
    question = await theirs.question()
    assert question.approval_id == things[0].approval_id
