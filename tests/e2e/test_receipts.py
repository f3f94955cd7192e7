"""A receipt is taken from the device that was asked, over what was asked, in its one form; by nobody else's word."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from authy_grpc.client import Decision, ReceiptError, verify_receipt
from authy_grpc.domain import keys
from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.domain.errors import BadSignature
from authy_grpc.domain.receipts import Question, Receipt
from authy_grpc.service import caller
from authy_grpc.service.answer import Answers
from authy_grpc.service.ending import Endings
from authy_grpc.store.account import Accounts
from authy_grpc.store.events import Events
from authy_grpc.store.tables import DeviceRow
from authy_grpc.store.vault import Vault
from authy_grpc.v1 import approval_pb2 as pb
from authy_grpc.v1.event_pb2 import ListEventsRequest
from authy_grpc.v1.user_pb2 import GetUserRequest, SiteKey
from tests.counterfeiting import Mint, flips
from tests.forging import Device, Household, twin
from tests.harness import Service, Site
from tests.rushing import other

Figure = Callable[[int, int], int]
APPROVED, DENIED = pb.APPROVAL_STATE_APPROVED, pb.APPROVAL_STATE_DENIED
REFUSED = {("BAD_SIGNATURE", 0), ("BAD_FIELD", 0)}


@dataclass
class Asked:
    """A question that stands: what the site has of it, and what the device."""

    home: Household
    asked: pb.Approval
    question: bytes
    keys: list[SiteKey]

    @property
    def private(self) -> EllipticCurvePrivateKey:
        return self.home.own.site_keys[self.home.site_id]

    def receipt(self, **fields: Any) -> Receipt:
        """What an approval says, or something else."""
        values: dict[str, Any] = {
            "kid": keys.thumbprint(keys.public_point(self.private)),
            "decision": Decision.APPROVE,
            "match_number": self.asked.match_number,
            "user_verified": False,
            "time": Question.read(self.question).created,
            "question": self.question,
        }
        return Receipt(**values | fields)

    def mint(self) -> Mint:
        question = Question.read(self.question)
        return Mint(self.receipt().sign(self.private), self.private, question.created, question.expires)

    def believed(self, receipt: str) -> bool:
        """Whether the site would take an approval with this receipt, as a lying service may show it one."""
        shown = pb.Approval()
        shown.CopyFrom(self.asked)
        shown.state, shown.revision, shown.receipt = APPROVED, 2, receipt
        try:
            verify_receipt(shown, self.asked, self.home.site.application.origin, self.keys)
        except ReceiptError:
            return False
        return True

    async def is_untouched(self) -> None:
        """The question stands as on the first day, with all its tries, and a genuine answer is taken."""
        site, own = self.home.site, self.home.own
        request = pb.GetApprovalRequest(approval_id=self.asked.approval_id)
        assert (await site.client.approvals.GetApproval(request)).approval == self.asked
        told = await site.client.events.ListEvents(ListEventsRequest(cursor="earliest", types=["approval.*"]))
        about = [each.type for each in told.events if each.approval.approval_id == self.asked.approval_id]
        assert about == ["approval.pending"]
        wrong = self.receipt(match_number=other(self.asked.match_number))
        assert await own.respond(self.asked.approval_id, wrong.sign(self.private)) == ("PENDING", 2)
        genuine = self.receipt().sign(self.private)
        assert self.believed(genuine)
        assert await own.respond(self.asked.approval_id, genuine) == ("APPROVED", 0)


async def ask(home: Household, authy_id: str = "", site: Site | None = None, device: Device | None = None) -> Asked:
    """Ask a user, with texts that tempt whoever parses them."""
    site, authy_id = site or home.site, authy_id or home.authy_id
    request = pb.CreateApprovalRequest(
        authy_id=authy_id,
        message='Pay 5 € to "Żółw" \\ Co?',
        details=[pb.Detail(label="To", value="A\\B"), pb.Detail(label="Amount", value='"5"')],
        hidden_details={"order": "7"},
    )
    asked = (await site.client.approvals.CreateApproval(request)).approval
    user = (await site.client.users.GetUser(GetUserRequest(authy_id=authy_id))).user
    waiting = await (device or home.own).questions()
    return Asked(home, asked, waiting[asked.approval_id], list(user.keys))


@pytest.fixture
async def home(service: Service) -> Household:
    home = await Household.of(service)
    await home.second.add_key(home.site_id)
    return home


async def test_no_counterfeit_is_taken_by_service_or_site(home: Household) -> None:
    stands = await ask(home)
    mint = stands.mint()
    forged = dict(mint.forged())
    answers = await asyncio.gather(
        *[home.own.respond(stands.asked.approval_id, text) for text in forged.values()]
    )
    assert {name: got for name, got in zip(forged, answers, strict=True) if got not in REFUSED} == {}
    assert [name for name, text in forged.items() if stands.believed(text)] == []
    for name, text in mint.untold():
        assert await home.own.respond(stands.asked.approval_id, text) in REFUSED, name
    assert len(forged) > 120
    await stands.is_untouched()


async def test_no_receipt_is_taken_elsewhere(home: Household) -> None:
    """Swapped between devices, links, sites, accounts and questions."""
    earlier, stands = await ask(home), await ask(home)
    own, approval_id = home.own, stands.asked.approval_id
    bob = (await own.accept((await home.begin("bob")).qr.uri)).site_id
    eve = (await home.stranger.accept((await home.begin("eve")).qr.uri)).site_id
    elsewhere = await home.service.site("Elsewhere")
    made = await elsewhere.client.enrollments.CreateEnrollment(home.request("ada"))
    there = (await own.accept(made.qr.uri)).site_id
    others = {
        "of another user": await ask(home, (await user(home.site, "bob")).authy_id),
        "of another site": await ask(home, (await user(elsewhere, "ada")).authy_id, elsewhere),
        "of another person": await ask(home, (await user(home.site, "eve")).authy_id, device=home.stranger),
        "that was replaced": earlier,
    }
    signers = {
        "the second device": home.second.site_keys[home.site_id],
        "the key for another user": own.site_keys[bob],
        "the key for another site": own.site_keys[there],
        "a stranger": home.stranger.site_keys[eve],
        "the signing key": own.signing,
        "the agreement key": own.agreement,
    }
    genuine = stands.receipt()
    for name, private in signers.items():
        kid = keys.thumbprint(keys.public_point(private))
        for text in (genuine.sign(private), replace(genuine, kid=kid).sign(private), replace(genuine, kid=kid).sign(stands.private)):
            assert await own.respond(approval_id, text) == ("BAD_SIGNATURE", 0), name
            # Of what the site has been told is a key of this user, it cannot tell whose device sent it.
            known = name == "the second device" and text.split(".")[0] != genuine.sign(private).split(".")[0]
            assert stands.believed(text) == (known and text == replace(genuine, kid=kid).sign(private)) or known
    for name, asked in others.items():
        text = asked.receipt(match_number=stands.asked.match_number).sign(stands.private)
        assert await own.respond(approval_id, text) == ("BAD_SIGNATURE", 0), name
        assert not stands.believed(text), name
        # And the genuine answer to this one answers none of those.
        answered = await own.respond(asked.asked.approval_id, genuine.sign(stands.private))
        assert answered == (("NOT_FOUND" if name == "of another person" else "BAD_SIGNATURE"), 0), name
    for device, why in ((home.second, "BAD_SIGNATURE"), (home.stranger, "NOT_FOUND")):
        assert await device.respond(approval_id, genuine.sign(stands.private)) == (why, 0)
    assert await home.waiting.respond(approval_id, genuine.sign(stands.private)) == ("DEVICE_HELD", 0)
    await stands.is_untouched()
