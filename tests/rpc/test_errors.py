"""What a client, and the log, learn of what went wrong."""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest
from google.protobuf.message import Message

from authy_grpc.domain import errors
from authy_grpc.logs import describe
from authy_grpc.rpc.errors import ANSWERS, INTERNAL, to_status
from authy_grpc.server import Service
from authy_grpc.v1 import application_pb2, application_pb2_grpc, errors_pb2

NAME = "authy_grpc.v1.ApplicationService"
BEARER = (("authorization", "Bearer op_1"),)
SECRET = "+15005550006"
# Reasons of calls and settings that this server does not have yet.
LATER = {"REGISTRATION_PROOF"}


def leaves(kind: type[errors.Refusal] = errors.Refusal) -> Iterator[type[errors.Refusal]]:
    for each in kind.__subclasses__():
        if each.__subclasses__():
            yield from leaves(each)
        elif each.__module__ == errors.__name__:
            yield each


def test_every_refusal_and_every_reason_has_one_answer() -> None:
    assert set(ANSWERS) == set(leaves())
    reasons = [answer.reason for answer in (*ANSWERS.values(), INTERNAL)]
    assert len(reasons) == len(set(reasons))
    known = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name}
    assert set(reasons) == known - {"UNSPECIFIED"} - LATER


def test_every_sentence_is_one_and_fixed() -> None:
    for answer in (*ANSWERS.values(), INTERNAL):
        assert answer.sentence.endswith(".") and len(answer.sentence) < 120


SAMPLES: list[tuple[errors.Refusal, str, str, dict[str, str], float | None]] = [
    (errors.BadField.one("name", "is required"), "INVALID_ARGUMENT", "BAD_FIELD", {}, None),
    (errors.ForbiddenAddress.one("name", "is private"), "INVALID_ARGUMENT", "FORBIDDEN_ADDRESS", {}, None),
    (errors.BadSignature(), "INVALID_ARGUMENT", "BAD_SIGNATURE", {}, None),
    (errors.BadCredential(), "UNAUTHENTICATED", "BAD_CREDENTIAL", {}, None),
    (errors.ClockSkew(1234), "UNAUTHENTICATED", "CLOCK_SKEW", {"server_time": "1234"}, None),
    (errors.CodeRejected(), "INVALID_ARGUMENT", "CODE_REJECTED", {}, None),
    (errors.MissingScope("ENROLL"), "PERMISSION_DENIED", "MISSING_SCOPE", {"scope": "ENROLL"}, None),
    (errors.NotFound(), "NOT_FOUND", "NOT_FOUND", {}, None),
    (errors.UserExists(), "ALREADY_EXISTS", "USER_EXISTS", {}, None),
    (errors.RequestIdReused(), "ALREADY_EXISTS", "REQUEST_ID_REUSED", {}, None),
    (errors.WrongState("EXPIRED"), "FAILED_PRECONDITION", "WRONG_STATE", {"state": "EXPIRED"}, None),
    (errors.FactorUnavailable(), "FAILED_PRECONDITION", "FACTOR_UNAVAILABLE", {}, None),
    (errors.PushFrozen(timedelta(minutes=15)), "FAILED_PRECONDITION", "PUSH_FROZEN", {}, 900.0),
    (errors.PushFrozen(), "FAILED_PRECONDITION", "PUSH_FROZEN", {}, None),
    (errors.NewDevicesOff(), "FAILED_PRECONDITION", "NEW_DEVICES_OFF", {}, None),
    (errors.DeviceHeld(), "FAILED_PRECONDITION", "DEVICE_HELD", {}, None),
    (errors.UserLocked(timedelta(seconds=30)), "RESOURCE_EXHAUSTED", "USER_LOCKED", {}, 30.0),
    (errors.RateLimited(timedelta(seconds=1.5)), "RESOURCE_EXHAUSTED", "RATE_LIMITED", {}, 1.5),
    (errors.Quota(10), "RESOURCE_EXHAUSTED", "QUOTA", {"limit": "10"}, None),
    (errors.CursorExpired(), "OUT_OF_RANGE", "CURSOR_EXPIRED", {}, None),
    (errors.BackendUnavailable(), "UNAVAILABLE", "BACKEND", {}, None),
    (errors.Draining(), "UNAVAILABLE", "DRAINING", {}, None),
    (errors.RequestTimeout(), "DEADLINE_EXCEEDED", "REQUEST_TIMEOUT", {}, None),
]


def test_the_samples_are_all() -> None:
    assert {type(sample[0]) for sample in SAMPLES} == set(ANSWERS)


class Applications(application_pb2_grpc.ApplicationServiceServicer):
    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    async def ListApplications(self, request: Message, context: Any) -> Any:
        result = self.act()
        if asyncio.iscoroutine(result):
            await result
        return application_pb2.ListApplicationsResponse()


def partly(kind: Any, *arguments: Any) -> Any:
    """A servicer that has some of its methods."""
    return kind(*arguments)


async def attempt(
    transport: Any, act: Callable[[], Any], seconds: float = 20
) -> tuple[grpc.aio.AioRpcError, Any]:
    added = Service(
        NAME, partly(Applications, act), application_pb2_grpc.add_ApplicationServiceServicer_to_server
    )
    async with transport(added) as world:
        stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListApplications(
                application_pb2.ListApplicationsRequest(), metadata=BEARER, timeout=seconds
            )
        return caught.value, world


def raiser(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(("refusal", "code", "reason", "metadata", "seconds"), SAMPLES)
async def test_a_refusal_at_the_client(
    transport: Any, failure: Any, refusal: Any, code: str, reason: str, metadata: Any, seconds: Any
) -> None:
    error, world = await attempt(transport, raiser(refusal))
    found = failure(error)
    assert (found.code, found.reason, found.metadata, found.retry_seconds) == (
        code,
        reason,
        metadata,
        seconds,
    )
    assert found.message == ANSWERS[type(refusal)].sentence
    assert found.fields == (("name",) if isinstance(refusal, errors.Blames) else ())
    [line] = world.lines
    assert (line["code"], line["reason"], line["request_id"]) == (code, reason, found.request_id)


async def test_an_unexpected_exception_tells_its_text_to_nobody(transport: Any, failure: Any) -> None:
    raised: list[BaseException] = []

    def act() -> None:
        try:
            int(SECRET + "x")
        except ValueError as error:
            wrapped = RuntimeError(f"no account of {SECRET}")
            raised.append(wrapped)
            raise wrapped from error

    error, world = await attempt(transport, act)
    found = failure(error)
    assert (found.code, found.reason, found.message) == ("INTERNAL", "INTERNAL", INTERNAL.sentence)
    assert found.metadata == {"request_id": found.request_id} and found.request_id
    assert SECRET not in repr(error.details()) + repr(error.trailing_metadata()) + repr(error)
    fault, end = world.lines
    assert SECRET not in world.output.getvalue()
    assert SECRET in "".join(traceback.format_exception(raised[0]))  # the search would have found it
    assert [each["class"] for each in fault["errors"]] == ["builtins.RuntimeError", "builtins.ValueError"]
    assert any(
        frame.endswith(" act") and "test_errors.py:" in frame for frame in fault["errors"][0]["frames"]
    )
    assert fault["request_id"] == end["request_id"] == found.request_id
    assert (end["code"], end["reason"]) == ("INTERNAL", "INTERNAL")
    assert 'code="INTERNAL"' in world.metrics and SECRET not in world.metrics


async def test_a_task_of_our_own_that_was_cancelled_does_not_hang_the_peer(
    transport: Any, failure: Any
) -> None:
    async def act() -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    error, _ = await attempt(transport, act)
    assert failure(error).reason == "INTERNAL"


async def test_a_peer_that_hangs_up_while_something_is_sent_is_no_fault(transport: Any) -> None:
    # The peer, which has not gone here, is answered nothing.
    error, world = await attempt(transport, raiser(grpc.aio.InternalError()), seconds=1)
    assert error.code() is not grpc.StatusCode.INTERNAL
    [line] = world.lines
    assert (line["level"], line["event"], line["code"]) == ("info", "call", "CANCELLED")


async def test_not_implemented_from_inside_is_a_fault(transport: Any, failure: Any) -> None:
    error, _ = await attempt(transport, raiser(NotImplementedError(SECRET)))
    assert failure(error).reason == "INTERNAL" and SECRET not in (error.details() or "")


def test_groups_are_described_with_what_is_in_them() -> None:
    group = ExceptionGroup(SECRET, [ValueError(SECRET), errors.NotFound(SECRET)])
    classes = [each["class"] for each in describe(group)]
    assert classes == ["builtins.ExceptionGroup", "builtins.ValueError", "authy_grpc.domain.errors.NotFound"]
    assert SECRET not in repr(describe(group))


def test_a_loop_of_causes_ends() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert 2 <= len(describe(first)) <= 8


def test_a_status_has_one_error_info_first() -> None:
    for refusal, *_ in SAMPLES:
        kinds = [detail.type_url.rpartition(".")[2] for detail in to_status(refusal).details]
        assert kinds[0] == "ErrorInfo" and kinds.count("ErrorInfo") == 1
