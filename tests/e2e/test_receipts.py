"""A receipt is taken from the device that was asked, over what was asked, in its one form."""

import asyncio
from collections.abc import Awaitable, Callable
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
from authy_grpc.service.answer import Answers
from authy_grpc.service.caller import Device as Caller
from authy_grpc.store.tables import DeviceRow
from authy_grpc.store.vault import Vault
from authy_grpc.v1 import approval_pb2 as pb
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest
from authy_grpc.v1.user_pb2 import SiteKey, User
from tests import rows
from tests.counterfeiting import Mint, flips, sign
from tests.forging import Device, twin
from tests.harness import Service, Site
from tests.household import Household
from tests.rushing import other, told

Figure = Callable[[int, int], int]
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
        shown.state, shown.revision, shown.receipt = pb.APPROVAL_STATE_APPROVED, 2, receipt
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
        feed = await told(site, 1, "approval.*")
        about = [each.type for each in feed if each.approval.approval_id == self.asked.approval_id]
        assert about == ["approval.pending"]
        wrong = self.receipt(match_number=other(self.asked.match_number))
        assert await own.respond(self.asked.approval_id, wrong.sign(self.private)) == ("PENDING", 2)
        genuine = self.receipt().sign(self.private)
        assert self.believed(genuine)
        assert await own.respond(self.asked.approval_id, genuine) == ("APPROVED", 0)


async def ask(
    home: Household,
    user: User | None = None,
    site: Site | None = None,
    device: Device | None = None,
    **fields: Any,
) -> Asked:
    """Ask a user, with texts that tempt whoever parses them."""
    site, user = site or home.site, user or await home.user()
    request = pb.CreateApprovalRequest(
        authy_id=user.authy_id,
        message='Pay 5 € to "Żółw" \\ Co?',
        details=[pb.Detail(label="To", value="A\\B"), pb.Detail(label="Amount", value='"5"')],
        hidden_details={"order": "7"},
        **fields,
    )
    asked = (await site.client.approvals.CreateApproval(request)).approval
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
    # The control: a signature made as theirs are, over what they were made of, is believed.
    assert stands.believed(sign(mint.header, mint.payload, stands.private))
    await stands.is_untouched()


async def test_no_receipt_is_taken_elsewhere(home: Household) -> None:
    """Swapped between devices, users, sites, people and questions."""
    earlier, stands = await ask(home), await ask(home)
    own, approval_id, genuine = home.own, stands.asked.approval_id, stands.receipt()
    bob = (await own.accept((await home.begin("bob")).qr.uri)).site_id
    eve = (await home.stranger.accept((await home.begin("eve")).qr.uri)).site_id
    elsewhere = await home.service.site("Elsewhere")
    request = CreateEnrollmentRequest(custom_user_id="ada")
    there = await own.accept((await elsewhere.client.enrollments.CreateEnrollment(request)).qr.uri)
    signers = {
        "the second device": home.second.site_keys[home.site_id],
        "the key for another user": own.site_keys[bob],
        "the key for another site": own.site_keys[there.site_id],
        "a stranger": home.stranger.site_keys[eve],
        "the signing key": own.signing,
        "the agreement key": own.agreement,
    }
    for name, private in signers.items():
        named = replace(genuine, kid=keys.thumbprint(keys.public_point(private)))
        # A site knows a device by its key alone: which one has sent the receipt, it is not told.
        is_a_key_of_this_user = name == "the second device"
        for text, believed in (
            (genuine.sign(private), False),
            (named.sign(stands.private), False),
            (named.sign(private), is_a_key_of_this_user),
        ):
            assert await own.respond(approval_id, text) == ("BAD_SIGNATURE", 0), name
            assert stands.believed(text) is believed, name
    others = {
        "of another user": await ask(home, await home.user("bob")),
        "of another site": await ask(home, await home.user("ada", elsewhere), elsewhere),
        "of another person": await ask(home, await home.user("eve"), device=home.stranger),
        "that was replaced": earlier,
    }
    for name, asked in others.items():
        text = replace(genuine, question=asked.question).sign(stands.private)
        assert await own.respond(approval_id, text) == ("BAD_SIGNATURE", 0), name
        assert not stands.believed(text), name
        # And what answers this one answers none of those.
        why = "NOT_FOUND" if name == "of another person" else "BAD_SIGNATURE"
        assert await own.respond(asked.asked.approval_id, genuine.sign(stands.private)) == (why, 0), name
    for device, why in (
        (home.second, "BAD_SIGNATURE"),
        (home.stranger, "NOT_FOUND"),
        (home.waiting, "DEVICE_HELD"),
    ):
        assert await device.respond(approval_id, genuine.sign(stands.private)) == (why, 0)
    await stands.is_untouched()


async def test_no_flipped_bit_is_taken(home: Household, figure: Figure) -> None:
    stands = await ask(home)
    genuine, draw = stands.mint().genuine, Random(7)
    answers = await asyncio.gather(
        *[home.own.respond(stands.asked.approval_id, text) for text in flips(genuine, 300, draw)]
    )
    assert set(answers) <= REFUSED
    # Beyond these the wire would only take time.
    respond = await beside_the_wire(home)
    for text in flips(genuine, figure(300, 100_000), draw):
        assert not stands.believed(text)
        with pytest.raises(BadSignature):
            await respond(stands.asked.approval_id, text)
    await stands.is_untouched()


async def beside_the_wire(home: Household) -> Callable[[str, str], Awaitable[Any]]:
    """How the device answers the service itself, on the same database."""
    database, clock = home.service.core.database, home.service.clock
    vault = Vault(home.service.secrets.keyset)
    answers = Answers(database=database, vault=vault)
    row = await database.read(lambda tx: rows.one(tx, DeviceRow, home.own.device_id))
    device = Caller(row.account_id, row.device_id, "ses_1", held=False, expire_time=clock())
    return lambda approval_id, receipt: answers.respond(device, approval_id, receipt)


async def test_the_second_signature_of_an_answer_is_the_same_answer(home: Household) -> None:
    """Anybody can make one (r, n - s): it verifies, says nothing else, and counts once."""
    stands = await ask(home)
    receipts = [
        stands.receipt(match_number=other(stands.asked.match_number)).sign(stands.private),
        stands.receipt().sign(stands.private),
    ]
    for receipt, answer in zip(receipts, (("PENDING", 2), ("APPROVED", 0)), strict=True):
        head, _, signature = receipt.rpartition(".")
        second = f"{head}.{base64url(twin(base64url_decode(signature)))}"
        assert second != receipt
        for text in (receipt, second, receipt):
            assert await home.own.respond(stands.asked.approval_id, text) == answer
    assert stands.believed(second)


async def test_an_approval_needs_the_verification_that_was_asked_for(home: Household) -> None:
    stands = await ask(home, require_user_verification=True)
    without = stands.receipt().sign(stands.private)
    assert await home.own.respond(stands.asked.approval_id, without) == ("BAD_SIGNATURE", 0)
    assert not stands.believed(without)
    verified = stands.receipt(user_verified=True).sign(stands.private)
    assert stands.believed(verified)
    assert await home.own.respond(stands.asked.approval_id, verified) == ("APPROVED", 0)


@pytest.mark.parametrize("decision", [Decision.DENY, Decision.REPORT_FRAUD])
async def test_a_denial_is_no_approval(home: Household, decision: Decision) -> None:
    stands = await ask(home)
    denial = stands.receipt(decision=decision, match_number="").sign(stands.private)
    assert not stands.believed(denial)
    assert await home.own.respond(stands.asked.approval_id, denial) == ("DENIED", 0)
    genuine = stands.receipt().sign(stands.private)
    assert await home.own.respond(stands.asked.approval_id, genuine) == ("WRONG_STATE", 0)
    assert await home.own.respond(stands.asked.approval_id, denial) == ("DENIED", 0)


async def test_a_key_that_was_revoked_answers_nothing_more(home: Household) -> None:
    stands = await ask(home)
    made = await home.begin("ada", replace_existing=True)
    old = stands.private
    await home.own.accept(made.qr.uri)
    assert await home.own.respond(stands.asked.approval_id, stands.receipt().sign(old)) == (
        "BAD_SIGNATURE",
        0,
    )
    # Its new key answers what was asked before it came.
    assert await home.own.respond(stands.asked.approval_id, stands.receipt().sign(stands.private)) == (
        "APPROVED",
        0,
    )
    home.service.clock.turn(seconds=1)
    later = await ask(home)
    kid = keys.thumbprint(keys.public_point(old))
    assert not later.believed(later.receipt(kid=kid).sign(old))
