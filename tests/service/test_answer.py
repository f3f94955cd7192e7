"""Devices answer: which receipts count, what they bring about, and which count for nothing."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from authy_grpc.domain import keys, receipts
from authy_grpc.domain.approval import ApprovalState, DenyReason
from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.domain.errors import BadSignature, NotFound, WrongState
from authy_grpc.domain.receipts import Decision, Question
from authy_grpc.service.answer import Answered
from authy_grpc.store.tables import ApprovalRow, DeviceRow, LinkRow, SiteKeyRow
from tests.asking import Desk, Link, wrong
from tests.clock import TurnedClock

_S = ApprovalState
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
async def desk(database_url: str, clock: TurnedClock) -> AsyncIterator[Desk]:
    async with Desk.opened(database_url, clock) as opened:
        yield opened


async def test_an_approval_leaves_a_receipt_that_the_site_checks_by_itself(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    asked = await desk.ask(link)
    desk.clock.turn(seconds=20)
    receipt = await desk.receipt(link, device, asked)

    answered = await desk.answers.respond(device, asked.approval.approval_id, receipt)

    assert answered == Answered(_S.APPROVED)
    approval = (await desk.approvals.get(site, asked.approval.approval_id)).approval
    assert (approval.state, approval.deny_reason, approval.receipt) == (_S.APPROVED, None, receipt)
    assert approval.respond_time == desk.clock()
    signed = receipts.read(approval.receipt)
    receipts.verify(signed, keys.public_point(link.keys[device.device_id]))
    assert signed.receipt.match_number == asked.match_number
    assert (await desk.row(LinkRow, link.site_id)).last_verify_time == desk.clock()
    assert (await desk.feed(site))[-1].body == approval


@pytest.mark.parametrize(
    ("decision", "reason"),
    [(Decision.DENY, DenyReason.CANCELED_BY_USER), (Decision.REPORT_FRAUD, DenyReason.FRAUD)],
)
async def test_a_refusal_leaves_a_receipt_too(desk: Desk, decision: Decision, reason: DenyReason) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    asked = await desk.ask(link)
    receipt = await desk.receipt(link, device, asked, decision)
    assert await desk.answers.respond(device, asked.approval.approval_id, receipt) == Answered(_S.DENIED)
    approval = (await desk.approvals.get(site, asked.approval.approval_id)).approval
    assert (approval.deny_reason, approval.receipt) == (reason, receipt)
    assert (await desk.row(LinkRow, link.site_id)).last_verify_time is None


@pytest.mark.parametrize(("digits", "tries"), [(2, 1), (5, 1), (6, 3), (8, 3)])
async def test_wrong_numbers_deny_in_the_end(desk: Desk, digits: int, tries: int) -> None:
    site = await desk.site(match_digits=digits)
    link, device = await desk.user(site)
    asked = await desk.ask(link)
    left = [
        await desk.respond(link, device, asked, number=wrong(asked.match_number, by))
        for by in range(1, tries + 1)
    ]
    assert left == [
        *(Answered(_S.PENDING, tries - each) for each in range(1, tries)),
        Answered(_S.DENIED),
    ]
    approval = (await desk.approvals.get(site, asked.approval.approval_id)).approval
    assert (approval.state, approval.deny_reason) == (_S.DENIED, DenyReason.MATCH_NUMBER)
    assert (approval.receipt, approval.revision) == ("", 2)
    with pytest.raises(WrongState, match="DENIED"):
        await desk.respond(link, device, asked)
    assert (await desk.row(LinkRow, link.site_id)).push_misses == 2


async def test_the_right_number_still_counts_after_two_wrong_ones_on_any_device(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    tablet = await desk.device(device.account_id, "Tablet")
    await desk.key(link, tablet)
    asked = await desk.ask(link)
    await desk.respond(link, device, asked, number=wrong(asked.match_number))
    last = await desk.respond(link, tablet, asked, number=wrong(asked.match_number))
    assert last == Answered(_S.PENDING, 1)
    assert await desk.respond(link, device, asked) == Answered(_S.APPROVED)


@pytest.mark.parametrize("number", ["", "1", "000000000", "\uff11"])
async def test_numbers_of_another_length_are_wrong(desk: Desk, number: str) -> None:
    link, device = await desk.user(await desk.site())
    asked = await desk.ask(link)
    if number.isascii():
        assert await desk.respond(link, device, asked, number=number) == Answered(_S.PENDING, 2)
    else:
        with pytest.raises(ValueError, match="no place in a receipt"):
            await desk.respond(link, device, asked, number=number)


async def test_a_receipt_that_comes_again_is_answered_the_same_and_counts_once(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    asked = await desk.ask(link)
    approval_id = asked.approval.approval_id
    first = await desk.receipt(link, device, asked, number=wrong(asked.match_number))
    for _ in range(5):
        assert await desk.answers.respond(device, approval_id, first) == Answered(_S.PENDING, 2)
    # Anybody can make a second signature of one that is good: it is the same answer.
    head, payload, signature = first.split(".")
    r, s = base64url_decode(signature)[:32], base64url_decode(signature)[32:]
    other = base64url(r + (_ORDER - int.from_bytes(s)).to_bytes(32))
    assert await desk.answers.respond(device, approval_id, f"{head}.{payload}.{other}") == Answered(
        _S.PENDING, 2
    )

    good = await desk.receipt(link, device, asked)
    for _ in range(3):
        assert await desk.answers.respond(device, approval_id, good) == Answered(_S.APPROVED)
        assert await desk.answers.respond(device, approval_id, first) == Answered(_S.PENDING, 2)
    assert (await desk.types(site)).count("approval.approved") == 1
    assert len((await desk.inbox.list_activity(device, 0, ""))[0]) == 1


async def test_a_question_without_a_number_takes_none(desk: Desk) -> None:
    link, device = await desk.user(await desk.site(match_digits=0))
    asked = await desk.ask(link)
    with pytest.raises(BadSignature):
        await desk.respond(link, device, asked, number="1")
    assert await desk.respond(link, device, asked) == Answered(_S.APPROVED)


async def test_user_verification_is_needed_to_approve_where_it_is_asked_for(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    asked = await desk.ask(link, require_user_verification=True)
    with pytest.raises(BadSignature):
        await desk.respond(link, device, asked)
    assert await desk.respond(link, device, asked, user_verified=True) == Answered(_S.APPROVED)
    asked = await desk.ask(link, require_user_verification=True)
    assert await desk.respond(link, device, asked, Decision.DENY) == Answered(_S.DENIED)


@pytest.mark.parametrize(("seconds", "good"), [(-61, False), (-60, True), (150, True), (151, False)])
async def test_the_time_of_an_answer_is_that_of_its_question(desk: Desk, seconds: int, good: bool) -> None:
    link, device = await desk.user(await desk.site())
    asked = await desk.ask(link)
    created = Question.read(await desk.question(asked.approval.approval_id)).created
    receipt = await desk.receipt(link, device, asked, time=created + seconds)
    if good:
        assert await desk.answers.respond(device, asked.approval.approval_id, receipt) == Answered(
            _S.APPROVED
        )
    else:
        with pytest.raises(BadSignature):
            await desk.answers.respond(device, asked.approval.approval_id, receipt)


async def test_receipts_of_others_are_refused_and_count_for_nothing(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    tablet, keyless = await desk.device(device.account_id), await desk.device(device.account_id)
    await desk.key(link, tablet)
    twin = await desk.link(site, device.account_id, device)
    stranger_link, stranger = await desk.user(site)
    asked, of_twin = await desk.ask(link), await desk.ask(twin)
    approval_id = asked.approval.approval_id
    before = await desk.row(ApprovalRow, approval_id)
    good = await desk.receipt(link, device, asked)
    mine = link.keys[device.device_id]
    own_key = Link(
        site, link.site_id, link.authy_id, {device.device_id: stranger_link.keys[stranger.device_id]}
    )
    made_up = Link(site, "", "", {device.device_id: ec.generate_private_key(ec.SECP256R1())})
    changed = (await desk.question(approval_id)).replace(b"12 EUR", b"99 EUR")
    head, payload, signature = good.split(".")

    refused: list[tuple[Any, str]] = [
        # By another device of the account, and by one that has no key for the site.
        (device, await desk.receipt(link, tablet, asked)),
        (tablet, good),
        (keyless, good),
        # By a key of another link, of another account, and of nobody.
        (device, await desk.receipt(twin, device, asked)),
        (device, await desk.receipt(own_key, device, asked)),
        (device, await desk.receipt(made_up, device, asked)),
        # A good key's name over another key's signature.
        (device, await desk.receipt(made_up, device, asked, kid=keys.thumbprint(keys.public_point(mine)))),
        # Over another question, and over this one with other words.
        (device, await desk.receipt(link, device, of_twin)),
        (device, await desk.receipt(twin, device, of_twin)),
        (device, await desk.receipt(link, device, asked, question=changed)),
        # Not in its form.
        (device, good + "="),
        (device, f"{head}.{payload}.{signature[:-1]}"),
        (device, f"{head}.{payload}.{base64url(bytes(64))}"),
        (device, ""),
    ]
    for holder, receipt in refused:
        with pytest.raises(BadSignature):
            await desk.answers.respond(holder, approval_id, receipt)
    with pytest.raises(NotFound):
        await desk.answers.respond(stranger, approval_id, good)
    with pytest.raises(NotFound):
        await desk.answers.respond(device, "apr_00000000000000000000000000", good)

    after = await desk.row(ApprovalRow, approval_id)
    assert (after.state, after.answers, after.revision) == (before.state, before.answers, before.revision)
    assert await desk.answers.respond(device, approval_id, good) == Answered(_S.APPROVED)


@pytest.mark.parametrize("gone", ["device", "key"])
async def test_a_device_that_was_put_out_answers_no_more(desk: Desk, gone: str) -> None:
    link, device = await desk.user(await desk.site())
    asked = await desk.ask(link)
    receipt = await desk.receipt(link, device, asked)
    if gone == "device":
        await desk.change(DeviceRow, device.device_id, state="REVOKED")
    else:
        await desk.change(SiteKeyRow, link.kid(device), state="REVOKED", revoke_time=desk.clock())
    with pytest.raises(BadSignature):
        await desk.answers.respond(device, asked.approval.approval_id, receipt)


async def test_a_key_that_came_after_the_question_answers_it(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    tablet = await desk.device(device.account_id, "Tablet")
    asked = await desk.ask(link)
    await desk.key(link, tablet)
    assert await desk.respond(link, tablet, asked) == Answered(_S.APPROVED)


async def test_an_approval_lifts_what_wrong_codes_brought_about(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    until = desk.clock() + timedelta(hours=1)
    await desk.change(LinkRow, link.site_id, failures=12, locked_until=until)
    await desk.respond(link, device, await desk.ask(link))
    row = await desk.row(LinkRow, link.site_id)
    assert (row.failures, row.locked_until) == (0, None)
    assert (await desk.types(site))[-2:] == ["approval.approved", "user.unlocked"]


async def test_what_was_answered_stands_in_the_activity_of_the_account(desk: Desk) -> None:
    link, device = await desk.user(await desk.site())
    tablet = await desk.device(device.account_id, "Tablet")
    await desk.key(link, tablet)
    await desk.respond(link, device, await desk.ask(link), Decision.DENY)
    await desk.respond(link, tablet, await desk.ask(link))
    await desk.ask(link)
    desk.clock.turn(seconds=90)
    await desk.approvals.expire_due()

    found, _ = await desk.inbox.list_activity(device, 0, "")
    told = {(each.type, each.site_name, each.device_name) for each in found}
    assert told == {
        ("approval.denied", "Example", "Pocket"),
        ("approval.approved", "Example", "Tablet"),
        ("approval.expired", "Example", ""),
    }
    assert found[0].type == "approval.expired"
