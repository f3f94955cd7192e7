"""Questions and answers over the wire: the site's four calls, and the phone's three."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from authy_grpc.client import AuthyError
from authy_grpc.phone import PhoneError
from authy_grpc.phone.inbox import Pending
from authy_grpc.v1.approval_pb2 import (
    ApprovalState,
    CancelApprovalRequest,
    CreateApprovalRequest,
    DenyReason,
    Detail,
    GetApprovalRequest,
)
from tests.harness import Service

_PENDING = ApprovalState.APPROVAL_STATE_PENDING
_DENIED = ApprovalState.APPROVAL_STATE_DENIED
_CANCELED = ApprovalState.APPROVAL_STATE_CANCELED
_EXPIRED = ApprovalState.APPROVAL_STATE_EXPIRED


async def test_a_site_reads_back_what_it_asked(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    approvals = site.client.approvals
    request = CreateApprovalRequest(
        authy_id=enrollment.authy_id,
        message="Pay?",
        details=[Detail(label="Sum", value="12 EUR"), Detail(label="To", value="")],
        hidden_details={"order": "17"},
        ttl=Duration(seconds=120),
        match_digits=8,
        require_user_verification=True,
    )

    asked = (await approvals.CreateApproval(request)).approval

    assert (asked.message, list(asked.details)) == (request.message, list(request.details))
    assert dict(asked.hidden_details) == {"order": "17"}
    assert asked.expire_time.ToDatetime() - asked.create_time.ToDatetime() == timedelta(minutes=2)
    assert (asked.state, asked.revision, asked.require_user_verification) == (_PENDING, 1, True)
    assert len(asked.match_number) == 8
    assert not asked.HasField("respond_time")
    found = await approvals.GetApproval(GetApprovalRequest(approval_id=asked.approval_id))
    assert found.approval == asked
    question = await phone.question()
    assert (question.message, question.details) == ("Pay?", (("Sum", "12 EUR"), ("To", "")))


async def _next(inbox: AsyncIterator[Pending], count: int) -> Pending:
    """The next message with so many questions: one without news may come before it."""
    async for pending in inbox:
        if len(pending) == count:
            return pending
    raise AssertionError("the inbox ended")


async def test_the_inbox_shows_what_waits_and_clears(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    request = CreateApprovalRequest(authy_id=enrollment.authy_id, message="Log in?")
    async with aclosing(phone.inbox()) as inbox:
        assert len(await anext(inbox)) == 0
        asked = (await site.client.approvals.CreateApproval(request)).approval
        (question,) = await _next(inbox, 1)
        assert question.approval_id == asked.approval_id
        service.clock.turn(seconds=1)
        await phone.deny(question)
        await _next(inbox, 0)
    assert [each.type for each in await phone.activity(1)] == ["approval.denied"]


async def test_a_wrong_number_leaves_tries_and_the_last_denies(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    request = CreateApprovalRequest(authy_id=enrollment.authy_id, message="Log in?")
    asked = (await site.client.approvals.CreateApproval(request)).approval
    question = await phone.question()
    outcomes = []
    for by in (1, 2, 3):
        typed = f"{(int(asked.match_number) + by) % 10**6:06d}"
        answer = await phone.approve(question, typed)
        outcomes.append((answer.state, answer.attempts_remaining))
    assert outcomes == [(_PENDING, 2), (_PENDING, 1), (_DENIED, 0)]
    with pytest.raises(PhoneError) as late:
        await phone.approve(question, asked.match_number)
    assert late.value.reason == "WRONG_STATE"
    found = await site.client.approvals.GetApproval(GetApprovalRequest(approval_id=asked.approval_id))
    assert found.approval.deny_reason == DenyReason.DENY_REASON_MATCH_NUMBER
    assert found.approval.receipt == ""


async def test_a_site_takes_a_question_back_and_one_runs_out(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    approvals = site.client.approvals
    request = CreateApprovalRequest(authy_id=enrollment.authy_id, message="Log in?")

    first = (await approvals.CreateApproval(request)).approval
    cancel = CancelApprovalRequest(approval_id=first.approval_id)
    canceled = (await approvals.CancelApproval(cancel)).approval
    assert (canceled.state, canceled.match_number) == (_CANCELED, first.match_number)
    assert (await approvals.CancelApproval(cancel)).approval == canceled

    second = (await approvals.CreateApproval(request)).approval
    watch = site.client.watch_approval(second.approval_id)
    states = [(await anext(watch)).state]
    service.clock.turn(seconds=90)
    await service.due()
    states += [each.state async for each in watch]
    assert states == [_PENDING, _EXPIRED]
    with pytest.raises(AuthyError) as late:
        await approvals.CancelApproval(CancelApprovalRequest(approval_id=second.approval_id))
    assert (late.value.reason, late.value.metadata["state"]) == ("WRONG_STATE", "EXPIRED")


async def test_a_frozen_user_is_told_until_when(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    request = CreateApprovalRequest(authy_id=enrollment.authy_id, message="Log in?")
    for _ in range(3):
        await site.client.approvals.CreateApproval(request)
        await phone.deny(await phone.question())
    with pytest.raises(AuthyError) as frozen:
        await site.client.approvals.CreateApproval(request)
    assert frozen.value.reason == "PUSH_FROZEN"
    assert frozen.value.retry_delay == timedelta(minutes=15)
