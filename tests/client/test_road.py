"""What proxies and networks do to calls and watchers: a status without our ErrorInfo is not the service's."""

import logging
import time
from itertools import count
from typing import Any

import grpc
import pytest

from authy_grpc.client import AuthyError, Client, DeadlineExceeded, Unavailable
from authy_grpc.v1.enrollment_pb2 import (
    ENROLLMENT_STATE_COMPLETED,
    ENROLLMENT_STATE_PENDING,
    Enrollment,
    WatchEnrollmentRequest,
    WatchEnrollmentResponse,
)
from authy_grpc.v1.event_pb2 import Event, ListEventsResponse, WatchEventsResponse
from authy_grpc.v1.user_pb2 import DeleteUserRequest, DeleteUserResponse, GetUserRequest, GetUserResponse
from tests.ports import free_port

CODES = [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
HOPELESS = ["UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED"]
PENDING = WatchEnrollmentResponse(enrollment=Enrollment(revision=1, state=ENROLLMENT_STATE_PENDING))
COMPLETED = WatchEnrollmentResponse(enrollment=Enrollment(revision=2, state=ENROLLMENT_STATE_COMPLETED))


def _abort(context: grpc.ServicerContext, code: str) -> None:
    context.abort(grpc.StatusCode[code], "<html>cut</html>")


def test_a_watcher_goes_on_whatever_the_road_says(
    serve: Any, refuse: Any, caller: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        asked.append((request.after_revision, request.heartbeat))
        if len(asked) == 1:
            yield PENDING
        else:
            yield WatchEnrollmentResponse()  # a heartbeat
        if len(asked) <= len(CODES):
            _abort(context, CODES[len(asked) - 1])
        if len(asked) == len(CODES) + 1:
            refuse(context, "NOT_FOUND", "NOT_FOUND", domain="proxy.example")
        yield COMPLETED

    with caplog.at_level(logging.WARNING, "authy_grpc.client"):
        states = caller.take(None, serve(WatchEnrollment=watch), "watch_enrollment", "enr_1")
    assert [state.revision for state in states] == [1, 2]
    assert asked == [(0, True)] + [(1, True)] * (len(CODES) + 1)
    assert len(caplog.records) == len(caller.sleeps) == len(CODES) + 1
    assert [code for code, line in zip(CODES, caplog.messages, strict=False) if code not in line] == []
    assert all(wait <= 0.1 for wait in caller.sleeps)


def test_a_feed_goes_on_whatever_the_road_says(serve: Any, caller: Any) -> None:
    asked = []

    def watch(request: Any, context: grpc.ServicerContext) -> Any:
        asked.append(request.cursor)
        yield WatchEventsResponse(cursor=str(len(asked)), event=Event(event_id=f"evt_{len(asked)}"))
        if len(asked) <= len(CODES):
            _abort(context, CODES[len(asked) - 1])

    taken = caller.take(len(CODES) + 1, serve(WatchEvents=watch), "watch_events", "0")
    assert [item.cursor for item in taken] == [str(number + 1) for number in range(len(CODES) + 1)]
    assert asked == [str(number) for number in range(len(CODES) + 1)]


@pytest.mark.parametrize("watcher", ["watch_enrollment", "watch_events"])
def test_a_watcher_gives_up_a_road_that_leads_nowhere_after_30_s(
    serve: Any, caller: Any, watcher: str
) -> None:
    codes = count()

    def end(request: Any, context: grpc.ServicerContext) -> Any:
        _abort(context, ("INTERNAL", "UNKNOWN", "CANCELLED", "UNAVAILABLE")[next(codes) % 4])

    caller.now = 1000.0
    target = serve(WatchEnrollment=end, WatchEvents=end)
    with pytest.raises(AuthyError) as caught:
        caller.take(None, target, watcher, "at")
    assert not caught.value.reason
    assert caller.now == pytest.approx(1030, abs=0.01)
    assert len(caller.sleeps) >= 8


@pytest.mark.parametrize("code", HOPELESS)
@pytest.mark.parametrize("watcher", ["watch_enrollment", "watch_approval", "watch_events"])
def test_a_wrong_address_is_told_at_once(serve: Any, caller: Any, watcher: str, code: str) -> None:
    def end(request: Any, context: grpc.ServicerContext) -> Any:
        _abort(context, code)

    target = serve(WatchEnrollment=end, WatchApproval=end, WatchEvents=end, ListEvents=end)
    with pytest.raises(AuthyError) as caught:
        caller.take(None, target, watcher, *([] if watcher == "watch_events" else ["at"]))
    assert caught.value.code.name == code
    assert caller.sleeps == []


def test_an_answer_of_the_service_says_that_the_address_is_right(
    serve: Any, refuse: Any, caller: Any
) -> None:
    """It drains for longer than a wrong address is tried for."""
    asked = []

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        asked.append(request)
        if len(asked) < 15:
            refuse(context, "DRAINING")
        if len(asked) == 15:
            _abort(context, "UNIMPLEMENTED")
        yield COMPLETED

    caller.now = 0.0
    assert len(caller.take(None, serve(WatchEnrollment=watch), "watch_enrollment", "enr_1")) == 1
    assert caller.now > 60


def test_a_stream_that_says_nothing_is_left(serve: Any, caller: Any) -> None:
    asked = []

    def watch(request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Any:
        asked.append(request.after_revision)
        if len(asked) == 1:
            yield PENDING
            while context.is_active():
                time.sleep(0.01)
        yield COMPLETED

    target = serve(WatchEnrollment=watch)
    assert len(caller.take(None, target, "watch_enrollment", "enr_1", silence=1)) == 2
    assert asked == [0, 1]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED"])
def test_a_safe_call_is_made_again_until_its_deadline(serve: Any, caller: Any, code: str) -> None:
    """The road fails for 9 of 10 seconds."""
    remaining = []

    def get(request: GetUserRequest, context: grpc.ServicerContext) -> GetUserResponse:
        remaining.append(context.time_remaining())
        if caller.now < 1009:
            _abort(context, code)
        return GetUserResponse()

    caller.now = 1000.0
    caller.call(serve(GetUser=get), "users", "GetUser", GetUserRequest())
    assert 1009 <= caller.now < 1010
    assert all(wait <= 1.0 for wait in caller.sleeps)
    assert remaining[-1] <= 1.1


def test_a_call_that_was_refused_unseen_is_made_again(serve: Any, caller: Any) -> None:
    calls = []

    def delete(request: DeleteUserRequest, context: grpc.ServicerContext) -> DeleteUserResponse:
        calls.append(request)
        if len(calls) < 4:
            context.abort(
                grpc.StatusCode.UNAVAILABLE,
                "Stream removed (RST_STREAM (Received RST_STREAM with error code 7))",
            )
        return DeleteUserResponse()

    caller.now = 1000.0
    caller.call(serve(DeleteUser=delete), "users", "DeleteUser", DeleteUserRequest())
    assert len(calls) == 4


def test_a_call_that_is_never_taken_ends_with_its_deadline(serve: Any, caller: Any) -> None:
    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        _abort(context, "UNAVAILABLE")

    caller.now = 1000.0
    # The last tries have milliseconds left, by grpc's own clock: a busy server is too late for them.
    with pytest.raises((Unavailable, DeadlineExceeded)):
        caller.call(serve(GetUser=get), "users", "GetUser", GetUserRequest())
    assert 1005 < caller.now <= 1010


@pytest.mark.parametrize("code", [code for code in CODES if code not in ("CANCELLED", "UNAVAILABLE")])
def test_what_may_have_been_done_is_not_done_again(serve: Any, caller: Any, code: str) -> None:
    calls = []

    def delete(request: DeleteUserRequest, context: grpc.ServicerContext) -> None:
        calls.append(request)
        _abort(context, code)

    with pytest.raises(AuthyError):
        caller.call(serve(DeleteUser=delete), "users", "DeleteUser", DeleteUserRequest())
    assert len(calls) == 1


def test_what_was_not_begun_is_made_again_whatever_it_is(serve: Any, refuse: Any, caller: Any) -> None:
    calls = []

    def delete(request: DeleteUserRequest, context: grpc.ServicerContext) -> DeleteUserResponse:
        calls.append(request)
        if len(calls) < 4:
            refuse(context, "DRAINING")
        return DeleteUserResponse()

    caller.call(serve(DeleteUser=delete), "users", "DeleteUser", DeleteUserRequest())
    assert len(calls) == 4


def test_a_call_waits_for_a_server_that_is_not_up_yet(serve: Any) -> None:
    """One that must not be made twice, too: without a connection it was not sent."""
    port = free_port()
    calls, waits = [], []

    def delete(request: DeleteUserRequest, context: grpc.ServicerContext) -> DeleteUserResponse:
        calls.append(request)
        return DeleteUserResponse()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            serve(port, DeleteUser=delete)
        time.sleep(seconds)

    with Client(f"127.0.0.1:{port}", "ak_1", sleep=sleep, timeout=30) as client:
        client.users.DeleteUser(DeleteUserRequest())
    assert len(calls) == 1
    assert len(waits) >= 3


def test_the_feed_begins_where_it_was_first_asked_for_across_the_road(serve: Any, caller: Any) -> None:
    asked = []

    def list_events(request: Any, context: grpc.ServicerContext) -> ListEventsResponse:
        return ListEventsResponse(cursor="7")

    def watch(request: Any, context: grpc.ServicerContext) -> Any:
        asked.append(request.cursor)
        if len(asked) < 3:
            _abort(context, "UNIMPLEMENTED")  # it has answered once
        yield WatchEventsResponse(cursor="8", event=Event(event_id="evt_8"))

    assert len(caller.take(1, serve(ListEvents=list_events, WatchEvents=watch), "watch_events")) == 1
    assert asked == ["7", "7", "7"]
