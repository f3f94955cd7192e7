"""What a browser is told of an enrollment or an approval: one word a state, and nothing of the user."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.client import AsyncClient, Client, ReceiptError, sse
from authy_grpc.client.browser import approval_answer, enrollment_answer, last_revision
from authy_grpc.v1 import approval_pb2, enrollment_pb2
from authy_grpc.v1.approval_pb2 import Approval, Detail, WatchApprovalRequest, WatchApprovalResponse
from authy_grpc.v1.enrollment_pb2 import Enrollment, WatchEnrollmentRequest, WatchEnrollmentResponse
from authy_grpc.v1.user_pb2 import SiteKey
from tests.client.conftest import API_KEY, Refuse, Serve
from tests.threads import Event

CANARY = "CANARY"
KEY = SiteKey(kid="CANARYkid", jwk='{"x":"CANARYjwk"}', create_time=Timestamp(seconds=1))
ENROLLMENT = Enrollment(
    enrollment_id="enr_CANARY", custom_user_id="CANARYuser", authy_id="CANARYid", keys=[KEY]
)
APPROVAL = Approval(
    approval_id="apr_CANARY",
    authy_id="CANARYid",
    message="CANARYmessage",
    details=[Detail(label="CANARYlabel", value="CANARYvalue")],
    match_number="CANARYnumber",
    receipt="CANARYreceipt",
    hidden_details={"CANARYname": "CANARYhidden"},
)
ENROLLMENTS = ["pending", "scanned", "awaiting_code", "completed", "rejected", "expired", "canceled"]
ENDS = {"completed", "rejected", "expired", "canceled", "approved", "denied", "fraud", "wrong_number"}


def enrollment(state: int, revision: int = 1) -> Enrollment:
    made = Enrollment()
    made.CopyFrom(ENROLLMENT)
    made.state, made.revision = state, revision  # type: ignore[assignment]
    return made


def approval(state: str, reason: str = "UNSPECIFIED", revision: int = 1) -> Approval:
    made = Approval()
    made.CopyFrom(APPROVAL)
    made.state = approval_pb2.ApprovalState.Value(f"APPROVAL_STATE_{state}")
    made.deny_reason = approval_pb2.DenyReason.Value(f"DENY_REASON_{reason}")
    made.revision = revision
    return made


APPROVALS = {
    "pending": approval("PENDING"),
    "approved": approval("APPROVED"),
    "denied": approval("DENIED", "CANCELED_BY_USER"),
    "fraud": approval("DENIED", "FRAUD"),
    "wrong_number": approval("DENIED", "MATCH_NUMBER"),
    "expired": approval("EXPIRED"),
    "canceled": approval("CANCELED"),
}


def told(lines: list[str]) -> list[tuple[str, dict[str, str]]]:
    """The events of a stream: their ids, and what they say."""
    found = []
    for block in "".join(lines).split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in fields:
            found.append((fields.get("id", ""), json.loads(fields["data"])))
    return found


def collect(kind: str, states: list[Any], done: Any = None) -> list[str]:
    """All lines of a plain or an async stream of states."""
    if kind == "sync":
        return list(sse(iter(states), done))

    async def watch() -> AsyncGenerator[Any, None]:
        for state in states:
            yield state

    async def go() -> list[str]:
        return [line async for line in sse(watch(), done)]

    return asyncio.run(go())


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_each_state_is_one_word(kind: str) -> None:
    for number, word in enumerate(ENROLLMENTS, start=1):
        assert told(collect(kind, [enrollment(number, 5)])) == [("5", {"state": word})]
    for word, state in APPROVALS.items():
        assert told(collect(kind, [state])) == [("1", {"state": word})]


def test_the_stream_ends_with_the_state_that_ends_it(kind: str) -> None:
    later = enrollment(1, 9)
    for number, word in enumerate(ENROLLMENTS, start=1):
        heard = told(collect(kind, [enrollment(number), later]))
        assert len(heard) == (1 if word in ENDS else 2)


def test_nothing_of_the_user_reaches_a_browser(kind: str) -> None:
    for state in [*APPROVALS.values(), *map(enrollment, range(1, 8))]:
        # The search finds it where it is.
        assert CANARY in str(state) and b"CANARYid" in state.SerializeToString()
        assert CANARY not in "".join(collect(kind, [state]))
    assert CANARY in "".join(collect(kind, [APPROVALS["approved"]], lambda state: f"/{state.authy_id}"))


def test_the_answers_hold_nothing_of_the_user_either() -> None:
    for number in range(1, 8):
        answer = enrollment_answer(
            enrollment(number), events="/e", link="https://a/#x", image="/i", next="/n"
        )
        assert CANARY not in json.dumps(answer)
        assert ("link" in answer) == (number == enrollment_pb2.ENROLLMENT_STATE_PENDING)
        assert ("next" in answer) == (number == enrollment_pb2.ENROLLMENT_STATE_COMPLETED)
    awaits = enrollment(enrollment_pb2.ENROLLMENT_STATE_AWAITING_CODE)
    assert "link" in enrollment_answer(awaits, events="/e", link="otpauth://totp/x", image="/i")
    for word, state in APPROVALS.items():
        answer = approval_answer(state, events="/e", next="/n")
        # The number is for the person, while it is asked for.
        assert (answer.pop("number", "") == "CANARYnumber") == (word == "pending")
        assert ("next" in answer) == (word == "approved")
        assert CANARY not in json.dumps(answer)


def test_the_sites_own_function_comes_before_the_browser_is_told(kind: str) -> None:
    seen: list[str] = []

    def keep(state: Any) -> str:
        seen.append(state.authy_id)
        return "/welcome"

    [(_, completed)] = told(collect(kind, [enrollment(4)], keep))
    assert completed == {"state": "completed", "next": "/welcome"}
    [(_, approved)] = told(collect(kind, [APPROVALS["approved"]], keep))
    assert approved == {"state": "approved", "next": "/welcome"}
    assert seen == ["CANARYid", "CANARYid"]
    for word in ENDS - {"completed", "approved"}:
        state = APPROVALS.get(word) or enrollment(ENROLLMENTS.index(word) + 1)
        collect(kind, [state], keep)
    assert len(seen) == 2


def test_a_receipt_that_does_not_verify_is_told_as_failed(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(state: Approval) -> str:
        raise ReceiptError("kid: no key of this user")

    assert told(collect(kind, [APPROVALS["approved"]], refuse)) == [("1", {"state": "failed"})]
    assert "kid: no key of this user" in caplog.text and CANARY not in caplog.text


def test_a_fault_of_the_sites_function_ends_the_stream_before_the_browser_is_told(kind: str) -> None:
    def fault(state: Approval) -> str:
        raise OSError("the site's database is away")

    with pytest.raises(OSError, match="away"):
        collect(kind, [APPROVALS["approved"]], fault)


async def test_a_coroutine_may_be_the_sites_function() -> None:
    async def keep(state: Approval) -> str:
        await asyncio.sleep(0)
        return "/in"

    async def watch() -> AsyncGenerator[Approval, None]:
        yield APPROVALS["approved"]

    lines = [line async for line in sse(watch(), keep)]
    assert told(lines)[0][1] == {"state": "approved", "next": "/in"}
    with pytest.raises(TypeError, match="AsyncClient"):
        list(sse(iter([APPROVALS["approved"]]), keep))  # type: ignore[arg-type]


async def test_a_quiet_stream_has_comments() -> None:
    closed = asyncio.Event()

    async def watch() -> AsyncGenerator[Enrollment, None]:
        try:
            yield enrollment(1)
            await asyncio.Event().wait()
        finally:
            closed.set()

    lines: list[str] = []
    async with aclosing(sse(watch(), heartbeat=0.01)) as stream:
        async for line in stream:
            lines.append(line)
            if lines[-2:] == [":\n\n", ":\n\n"]:
                break
    # A browser that has gone ends the watcher.
    assert closed.is_set()
    assert lines[0] == "retry: 3000\n\n" and len(told(lines)) == 1


def test_a_heartbeat_of_the_service_is_a_comment_for_a_thread(serve: Serve) -> None:
    canceled = Event()

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Iterator[Any]:
        assert request.heartbeat
        context.add_callback(canceled.set)
        yield WatchEnrollmentResponse()
        yield WatchEnrollmentResponse(enrollment=enrollment(2, 3))
        yield WatchEnrollmentResponse()
        canceled.wait()

    with Client(serve(WatchEnrollment=watch), API_KEY) as site:
        # Without being asked for them, a watcher keeps heartbeats to itself.
        quiet = site.watch_enrollment("enr_1")
        assert next(quiet).revision == 3
        quiet.close()
        canceled.wait()
        canceled.clear()
        lines = sse(site.watch_enrollment("enr_1", heartbeats=True))
        heard = [next(lines) for _ in range(4)]
        lines.close()
        canceled.wait()
    assert heard[1] == ":\n\n" == heard[3]
    assert told(heard) == [("3", {"state": "scanned"})]


async def test_a_browser_goes_on_after_what_it_has_seen(serve: Serve) -> None:
    asked: list[int] = []

    def watch(request: WatchApprovalRequest, context: grpc.ServicerContext) -> Iterator[Any]:
        asked.append(request.after_revision)
        yield WatchApprovalResponse(approval=approval("DENIED", "FRAUD", revision=8))

    async with AsyncClient(serve(WatchApproval=watch), API_KEY) as site:
        lines = [line async for line in sse(site.watch_approval("apr_1", last_revision("7")))]
    assert asked == [7]
    assert told(lines) == [("8", {"state": "fraud"})]
    assert [last_revision(text) for text in (None, "", "x", "-1", "٣", " 12 ", "9" * 40)] == [
        0, 0, 0, 0, 0, 12, 0,
    ]  # fmt: skip


def test_what_the_service_refuses_is_not_told_to_a_browser(
    serve: Serve, refuse: Refuse, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = iter([("BAD_CREDENTIAL", "UNAUTHENTICATED"), ("NOT_FOUND", "NOT_FOUND")])

    def watch(request: WatchApprovalRequest, context: grpc.ServicerContext) -> Any:
        refuse(context, *next(reasons))

    target = serve(WatchApproval=watch)
    caplog.set_level(logging.WARNING)
    with Client(target, API_KEY) as site:
        assert told(list(sse(site.watch_approval("apr_1")))) == []
        assert "UNAUTHENTICATED" in caplog.text

    async def go() -> list[str]:
        async with AsyncClient(target, API_KEY) as site:
            return [line async for line in sse(site.watch_approval("apr_1"))]

    assert told(asyncio.run(go())) == [("", {"state": "canceled"})]


def test_the_client_needs_no_framework() -> None:
    code = "import sys, authy_grpc.client.browser; print({'django', 'flask', 'starlette'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "set()\n"
