"""What every call goes through: the credential, a deadline, and retries of what is safe alone."""

from collections import Counter
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from authy_grpc.client import AuthyError, DeadlineExceeded, RateLimited, Unavailable
from authy_grpc.client.retry import Backoff
from authy_grpc.v1.application_pb2 import CreateApiKeyRequest, CreateApiKeyResponse
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, CreateEnrollmentResponse
from authy_grpc.v1.user_pb2 import GetUserRequest, GetUserResponse
from tests.threads import Event

SERVICES = {
    "enrollments": "EnrollmentService",
    "users": "UserService",
    "verification": "VerificationService",
    "approvals": "ApprovalService",
    "events": "EventService",
    "applications": "ApplicationService",
}
SAFE = {
    "CreateEnrollment",
    "GetEnrollment",
    "CancelEnrollment",
    "GetUser",
    "ListUsers",
    "VerifyCode",
    "SendCode",
    "CreateApproval",
    "GetApproval",
    "CancelApproval",
    "ListEvents",
    "GetApplication",
    "GetCurrentApplication",
    "ListApplications",
    "ListApiKeys",
}
ALL = [
    (attribute, method.name, GetMessageClass(method.input_type))
    for attribute, name in SERVICES.items()
    for method in descriptor_pool.Default().FindServiceByName(f"authy_grpc.v1.{name}").methods
    if not method.server_streaming
]


def test_only_what_is_safe_is_called_twice(serve: Any, refuse: Any, caller: Any) -> None:
    calls: Counter[str] = Counter()

    def handler(name: str) -> Any:
        def handle(request: Any, context: grpc.ServicerContext) -> None:
            calls[name] += 1
            refuse(context, "BACKEND")

        return handle

    target = serve(**{name: handler(name) for _, name, _ in ALL})
    for attribute, name, request in ALL:
        # The last tries have milliseconds left, by grpc's own clock: a busy server is too late for them.
        with pytest.raises((Unavailable, DeadlineExceeded)):
            caller.call(target, attribute, name, request())
    assert {name for _, name, _ in ALL} > SAFE
    assert {name for name, count in calls.items() if count > 10} == SAFE
    assert {name for name, count in calls.items() if count == 1} == set(calls) - SAFE


def test_an_answer_that_is_lost_with_its_connection_is_not_asked_for_again(serve: Any, caller: Any) -> None:
    keys = []

    def create(request: CreateApiKeyRequest, context: grpc.ServicerContext) -> CreateApiKeyResponse:
        keys.append(request.name)
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        return CreateApiKeyResponse()

    target = serve(CreateApiKey=create)
    with pytest.raises(Unavailable):
        caller.call(target, "applications", "CreateApiKey", CreateApiKeyRequest(name="one"))
    assert keys == ["one"]
    assert caller.sleeps == []


def test_a_retry_keeps_its_request_id_and_another_call_gets_another(
    serve: Any, refuse: Any, caller: Any
) -> None:
    ids = []

    def create(request: CreateEnrollmentRequest, context: grpc.ServicerContext) -> CreateEnrollmentResponse:
        ids.append(request.request_id)
        if len(ids) in (1, 2):
            refuse(context, "DRAINING")
        return CreateEnrollmentResponse()

    target = serve(CreateEnrollment=create)
    request = CreateEnrollmentRequest(custom_user_id="u1")
    caller.call(target, "enrollments", "CreateEnrollment", request)
    caller.call(target, "enrollments", "CreateEnrollment", request)
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert all(len(value) == 32 for value in ids)
    assert request == CreateEnrollmentRequest(custom_user_id="u1")


def test_a_request_id_of_the_callers_own_stays(serve: Any, caller: Any) -> None:
    ids = []

    def create(request: CreateEnrollmentRequest, context: grpc.ServicerContext) -> CreateEnrollmentResponse:
        ids.append(request.request_id)
        return CreateEnrollmentResponse()

    target = serve(CreateEnrollment=create)
    caller.call(target, "enrollments", "CreateEnrollment", CreateEnrollmentRequest(request_id="mine"))
    assert ids == ["mine"]


@pytest.mark.parametrize("code", ["INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED", "UNKNOWN", "CANCELLED"])
def test_nothing_but_unavailable_is_tried_again(serve: Any, refuse: Any, caller: Any, code: str) -> None:
    calls = []

    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        calls.append(request)
        refuse(context, "RATE_LIMITED", code, retry=timedelta(seconds=1))

    with pytest.raises(RateLimited):
        caller.call(serve(GetUser=get), "users", "GetUser", GetUserRequest())
    assert len(calls) == 1


def test_waits_double_with_jitter_beyond_what_the_service_asks(serve: Any, refuse: Any, caller: Any) -> None:
    retries = [None, timedelta(seconds=2), None]

    def get(request: GetUserRequest, context: grpc.ServicerContext) -> GetUserResponse:
        if retries:
            refuse(context, "BACKEND", retry=retries.pop(0))
        return GetUserResponse()

    caller.call(serve(GetUser=get), "users", "GetUser", GetUserRequest())
    first, second, third = caller.sleeps
    assert 0.05 <= first <= 0.1
    assert 2.1 <= second <= 2.2
    assert 0.2 <= third <= 0.4


def test_jitter_takes_off_up_to_half() -> None:
    full, half = Backoff(lambda count: b"\x00" * count), Backoff(lambda count: b"\xff" * count)
    for _ in range(20):
        assert half.wait() == pytest.approx(full.wait() / 2)
    assert full.wait() == 30.0


def test_tries_and_waits_share_one_deadline(serve: Any, refuse: Any, caller: Any) -> None:
    remaining = []

    def get(request: GetUserRequest, context: grpc.ServicerContext) -> None:
        remaining.append(context.time_remaining())
        refuse(context, "BACKEND", retry=timedelta(seconds=4))

    caller.now = 1000.0
    with pytest.raises(Unavailable):
        caller.call(serve(GetUser=get), "users", "GetUser", GetUserRequest())
    assert len(caller.sleeps) == 2
    assert [round(seconds) for seconds in remaining] == [10, 6, 2]


def test_a_call_has_a_deadline_and_may_have_its_own(serve: Any, caller: Any) -> None:
    asked = Event()

    def get(request: GetUserRequest, context: grpc.ServicerContext) -> GetUserResponse:
        # False where the call has ended before.
        if not context.add_callback(asked.set):
            asked.set()
        asked.wait()
        return GetUserResponse()

    with pytest.raises(DeadlineExceeded) as caught:
        caller.call(serve(GetUser=get), "users", "GetUser", GetUserRequest(), timeout=1)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.reason == ""
    assert asked.wait(5)


def test_the_credential_goes_with_calls_and_streams(serve: Any, refuse: Any, caller: Any) -> None:
    seen = []

    def note(request: Any, context: grpc.ServicerContext) -> None:
        seen.append(
            [value for key, value in context.invocation_metadata() if key in ("authorization", "x-mine")]
        )
        refuse(context, "NOT_FOUND", "NOT_FOUND")

    target = serve(GetUser=note, WatchApproval=note)
    with pytest.raises(AuthyError):
        caller.call(target, "users", "GetUser", GetUserRequest(), metadata=(("x-mine", "1"),))
    with pytest.raises(AuthyError):
        caller.take(1, target, "watch_approval", "apr_1")
    assert seen == [["1", "Bearer ak_CANARY0KEY"], ["Bearer ak_CANARY0KEY"]]
