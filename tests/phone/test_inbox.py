"""Questions as the phone shows them, and answers as the service and a site would check them."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2

from authy_grpc.domain import receipts
from authy_grpc.phone import Phone, PhoneError, Question
from authy_grpc.v1 import authenticator_pb2
from authy_grpc.v1.approval_pb2 import APPROVAL_STATE_APPROVED, APPROVAL_STATE_DENIED
from tests.threads import PATIENCE

ORIGIN = "http://127.0.0.1:8080"

pytestmark = pytest.mark.asyncio


@pytest.fixture
def asked(clock: Any) -> Question:
    now = clock.millis() // 1000
    return Question(
        approval_id="apr_1",
        authy_id="1234567",
        site_id="sit_1",
        site='The "Shop"',
        origin="https://shop.example",
        message="Log in? \\o/ \N{SNOWMAN}",
        details=(("From", "Zürich"),),
        match_digits=6,
        user_verification=True,
        created=now,
        expires=now + 90,
        nonce="A" * 22,
    )


def envelope(asked: Question, **other: Any) -> authenticator_pb2.PendingApproval:
    fields = {
        "approval_id": asked.approval_id,
        "site_id": asked.site_id,
        "question": asked.write(),
    }
    return authenticator_pb2.PendingApproval(**{**fields, **other})


def message(clock: Any, *envelopes: Any, **other: Any) -> authenticator_pb2.WatchInboxResponse:
    return authenticator_pb2.WatchInboxResponse(approvals=envelopes, server_time=clock.stamp(), **other)


async def answered(phone: Phone, service: Any, answer: Callable[[], Any]) -> receipts.Receipt:
    """Answers, checks the signature by the key that the site has, and returns the receipt."""
    service.add_site("sit_1")
    response = await answer()
    (request,) = service.called("RespondApproval")
    signed = receipts.read(request.receipt)
    receipts.verify(signed, service.site_keys["sit_1"])
    approved = signed.receipt.decision is receipts.Decision.APPROVE
    assert response.state == (APPROVAL_STATE_APPROVED if approved else APPROVAL_STATE_DENIED)
    return signed.receipt


async def test_the_inbox_shows_what_the_question_says(
    phone: Phone, service: Any, clock: Any, asked: Question
) -> None:
    service.feed.put_nowait(message(clock))
    service.feed.put_nowait(
        message(clock, envelope(asked), sites_revision=1, devices_revision=2, activity_revision=3)
    )
    service.feed.put_nowait(None)
    first, second = [pending async for pending in phone.inbox()]
    assert len(first) == 0
    assert list(second) == [asked] and second.refused == ()
    assert (second.sites_revision, second.devices_revision, second.activity_revision) == (1, 2, 3)


@pytest.mark.parametrize(
    "other",
    [
        {"approval_id": "apr_2"},
        {"site_id": "sit_2"},
        {"question": b""},
        {"question": b"{}"},
        {"question": b"\xff"},
    ],
)
async def test_a_question_that_is_not_its_envelopes_is_refused(
    phone: Phone, service: Any, clock: Any, asked: Question, other: dict[str, Any]
) -> None:
    good = replace(asked, approval_id="apr_9")
    bad = envelope(asked, **other)
    service.feed.put_nowait(message(clock, bad, envelope(good)))
    service.feed.put_nowait(message(clock, envelope(asked)))
    service.feed.put_nowait(None)
    pending, control = [pending async for pending in phone.inbox()]
    assert pending.questions == (good,) and pending.refused == (bad.approval_id,)
    assert control.questions == (asked,)


async def test_another_spelling_of_a_question_is_refused(
    phone: Phone, service: Any, clock: Any, asked: Question
) -> None:
    spelled = asked.write().replace("ü".encode(), b"\\u00fc")
    assert spelled != asked.write()
    service.feed.put_nowait(message(clock, envelope(asked, question=spelled)))
    service.feed.put_nowait(None)
    (pending,) = [pending async for pending in phone.inbox()]
    assert pending.questions == () and pending.refused == ("apr_1",)


async def test_approving_adds_a_key_first_and_signs_all_that_was_asked(
    phone: Phone, service: Any, clock: Any, asked: Question
) -> None:
    receipt = await answered(
        phone, service, lambda: phone.approve(asked, match_number="012345", user_verified=True)
    )
    assert [name for name, _ in service.calls][-2:] == ["AddSiteKey", "RespondApproval"]
    assert receipt.question == asked.write()
    assert (receipt.match_number, receipt.user_verified) == ("012345", True)
    assert receipt.time == clock.millis() // 1000
    assert service.called("RespondApproval")[0].approval_id == "apr_1"


async def test_denying(phone: Phone, service: Any, asked: Question) -> None:
    receipt = await answered(phone, service, lambda: phone.deny(asked))
    assert (receipt.decision, receipt.match_number) == (receipts.Decision.DENY, "")
    assert not receipt.user_verified


async def test_reporting_fraud(phone: Phone, service: Any, asked: Question) -> None:
    receipt = await answered(phone, service, lambda: phone.report_fraud(asked, user_verified=True))
    assert (receipt.decision, receipt.user_verified) == (receipts.Decision.REPORT_FRAUD, True)


async def test_what_is_no_number_is_not_signed(phone: Phone, service: Any, asked: Question) -> None:
    service.add_site("sit_1")
    with pytest.raises(PhoneError, match="digits alone"):
        await phone.approve(asked, match_number='1","x":"')
    assert service.called("RespondApproval") == []


@pytest.mark.parametrize("typed", ["12345", "0123456", "01234x"])
async def test_what_cannot_be_the_number_costs_no_try(
    phone: Phone, service: Any, asked: Question, typed: str
) -> None:
    with pytest.raises(PhoneError, match="digits alone, here 6"):
        await phone.approve(asked, match_number=typed)
    assert service.called("RespondApproval") == []


async def test_a_number_is_signed_as_the_site_shows_it_however_it_is_typed(
    phone: Phone, service: Any, asked: Question
) -> None:
    receipt = await answered(phone, service, lambda: phone.approve(asked, "\u0660\uff11\u200b2-345 "))
    assert receipt.match_number == "012345"


async def test_the_key_of_the_enrollment_answers(phone: Phone, service: Any, asked: Question) -> None:
    await phone.accept(await phone.open(f"{ORIGIN}/app/#/e/AAAAAAAAAAAAAAAAAAAAAA"))
    await answered(phone, service, lambda: phone.approve(asked, "012345"))
    assert service.called("AddSiteKey") == []


async def test_waiting_for_a_question(phone: Phone, service: Any, clock: Any, asked: Question) -> None:
    service.feed.put_nowait(message(clock))
    service.feed.put_nowait(message(clock, envelope(asked)))
    assert await phone.question() == asked


async def test_who_stops_reading_hangs_up(phone: Phone, service: Any, clock: Any, asked: Question) -> None:
    service.feed.put_nowait(message(clock, envelope(asked)))
    async for _ in phone.inbox():
        assert not service.hung_up.is_set()
        break
    await asyncio.wait_for(service.hung_up.wait(), PATIENCE)
    service.hung_up.clear()
    service.feed.put_nowait(message(clock, envelope(asked)))
    await phone.question()
    await asyncio.wait_for(service.hung_up.wait(), PATIENCE)


async def test_the_time_of_a_receipt_follows_the_inbox(
    phone: Phone, service: Any, clock: Any, asked: Question
) -> None:
    service_clock = type(clock)()
    service_clock.turn(seconds=40)
    service.feed.put_nowait(message(service_clock, envelope(asked)))
    await phone.question()
    receipt = await answered(phone, service, lambda: phone.approve(asked, "012345"))
    assert receipt.time == service_clock.millis() // 1000


async def test_a_message_that_waited_does_not_turn_the_clock_back(
    phone: Phone, service: Any, clock: Any, asked: Question
) -> None:
    service.feed.put_nowait(message(clock, envelope(asked)))
    clock.turn(seconds=50)
    await phone.question()
    receipt = await answered(phone, service, lambda: phone.approve(asked, "012345"))
    assert receipt.time == clock.millis() // 1000


@pytest.mark.parametrize("reason", ["DRAINING", "BAD_CREDENTIAL"])
async def test_a_stream_that_ends_with_server_or_session_is_opened_again(
    phone: Phone, service: Any, clock: Any, asked: Question, refusal: Any, reason: str
) -> None:
    service.feed.put_nowait(message(clock))
    service.feed.put_nowait(refusal(code_pb2.UNAVAILABLE, reason))
    service.feed.put_nowait(message(clock, envelope(asked)))
    service.feed.put_nowait(None)
    assert [len(pending) async for pending in phone.inbox()] == [0, 1]
    assert len(service.called("WatchInbox")) == 2
    assert len(service.called("CreateSession")) == (2 if reason == "BAD_CREDENTIAL" else 1)


async def test_a_token_that_is_refused_twice_is_an_error(phone: Phone, service: Any, refusal: Any) -> None:
    no = refusal(code_pb2.UNAUTHENTICATED, "BAD_CREDENTIAL")
    service.refusals["WatchInbox"] = [no, no]
    with pytest.raises(PhoneError) as caught:
        await phone.question()
    assert caught.value.reason == "BAD_CREDENTIAL"
    assert len(service.called("WatchInbox")) == 2


async def test_what_the_service_refuses_is_an_error(phone: Phone, service: Any, refusal: Any) -> None:
    service.refusals["WatchInbox"] = [refusal(code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED")]
    with pytest.raises(PhoneError) as caught:
        await phone.question()
    assert caught.value.reason == "RATE_LIMITED"
    assert len(service.called("WatchInbox")) == 1


def cut(code: grpc.StatusCode) -> Any:
    """Ends a call as proxies do: without an ErrorInfo."""

    async def act(context: Any) -> None:
        await context.abort(code, "<html>cut</html>")

    return act


async def test_the_inbox_goes_on_whatever_the_road_says(
    phone: Phone, service: Any, clock: Any, asked: Question, refusal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    codes = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
    draining = refusal(code_pb2.UNAVAILABLE, "DRAINING")
    for code in codes:
        service.feed.put_nowait(message(clock))
        service.feed.put_nowait(cut(code))
    for _ in range(3):  # by a proxy, the server that stops may be met again
        service.feed.put_nowait(draining)
    service.feed.put_nowait(message(clock, envelope(asked)))
    service.feed.put_nowait(None)
    with caplog.at_level(logging.WARNING, "authy_grpc.phone"):
        assert [len(pending) async for pending in phone.inbox()] == [0] * len(codes) + [1]
    assert [code for code, line in zip(codes, caplog.messages, strict=True) if code.name not in line] == []


@pytest.mark.parametrize("code", ["UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED"])
async def test_a_wrong_address_is_told_at_once(phone: Phone, service: Any, code: str) -> None:
    service.refusals["WatchInbox"] = [cut(grpc.StatusCode[code])]
    with pytest.raises(PhoneError) as caught:
        await phone.question()
    assert caught.value.code is grpc.StatusCode[code]
    assert len(service.called("WatchInbox")) == 1


async def test_an_inbox_that_the_service_ends_has_no_question(phone: Phone, service: Any) -> None:
    service.feed.put_nowait(None)
    with pytest.raises(PhoneError, match="ended"):
        await phone.question()


async def test_activity_is_read_page_by_page(phone: Phone, service: Any) -> None:
    assert [activity.type for activity in await phone.activity()] == [f"number.{n}" for n in range(5)]
    assert [activity.type for activity in await phone.activity(limit=3)] == [f"number.{n}" for n in range(3)]
    assert [request.page_size for request in service.called("ListActivity")] == [100, 98, 96, 3, 1]
