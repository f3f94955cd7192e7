"""Calls of any method with any bytes, many at once, and the verdict on each answer."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2

from authy_grpc.rpc.auth import NEEDS
from authy_grpc.rpc.errors import ANSWERS, DOMAIN
from authy_grpc.rpc.largest import largest_request
from tests.garbling import Attempt
from tests.harness import Service
from tests.reasons import LISTED

HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LIMIT = largest_request()
METADATA_LIMIT = 16 * 1024
_AT_ONCE = 64
_SECONDS = 60.0
# For those of which many have nothing to say.
_STREAM_SECONDS = 0.5
# Of health and reflection.
_OUTSIDE = frozenset({"BAD_FIELD", "NOT_FOUND", "RATE_LIMITED"})
_KNOWN = {(answer.code.name, answer.reason) for answer in ANSWERS.values()}
# Where nothing is out of reach and the server stays, these would hide a fault.
_AWAY = ("BACKEND", "DRAINING")


@dataclass(frozen=True)
class Answer:
    """How a call ended.

    Attributes:
        code: name of the status.
        reason: of the ErrorInfo; empty where there is none.
        wrong: what BadRequest says of each field that it names.
        message: the first answer; None where there is none.
    """

    code: str
    reason: str = ""
    wrong: dict[str, str] = field(default_factory=dict)
    message: bytes | None = None


async def ask(channel: grpc.aio.Channel, attempt: Attempt, stream_seconds: float = _SECONDS) -> Answer:
    """Make a call; of a stream read one message at most, for so long at most, and hang up."""
    metadata = grpc.aio.Metadata(*attempt.metadata)
    try:
        if _streams(attempt.path):
            stream: Any = channel.unary_stream(attempt.path)
            call = stream(attempt.request, timeout=stream_seconds, metadata=metadata)
            try:
                message = await call.read()
            finally:
                call.cancel()
            return Answer("OK", message=None if message is grpc.aio.EOF else message)
        unary: Any = channel.unary_unary(attempt.path)
        return Answer("OK", message=await unary(attempt.request, timeout=_SECONDS, metadata=metadata))
    except grpc.aio.AioRpcError as error:
        return _failed(error)


def _failed(error: grpc.aio.AioRpcError) -> Answer:
    reason, wrong = "", dict[str, str]()
    for key, value in error.trailing_metadata():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info) and info.domain == DOMAIN:
                reason = info.reason
            elif detail.Unpack(bad):
                wrong |= {each.field: each.description for each in bad.field_violations}
    return Answer(error.code().name, reason, wrong)


def _streams(name: str) -> bool:
    service, _, method = name.removeprefix("/").rpartition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method]
    return bool(found.server_streaming)


def flaw(attempt: Attempt, answer: Answer) -> str:
    """What is wrong with an answer, whatever was asked; empty where nothing is."""
    if answer.code in ("INTERNAL", "UNKNOWN"):
        return f"{answer.code} {answer.reason}"
    if answer.code == "OK":
        return ""
    if answer.reason:
        known = (answer.code, answer.reason) in _KNOWN and answer.reason not in _AWAY
        listed = answer.reason in LISTED.get(attempt.path, _OUTSIDE)
        return "" if known and listed else f"{answer.code} with {answer.reason}"
    return "" if _needs_no_reason(attempt, answer.code) else f"{answer.code} without a reason"


def _needs_no_reason(attempt: Attempt, code: str) -> bool:
    """What others than our servicers answer: grpc, before they hear of the call, and its reflection."""
    if code == "DEADLINE_EXCEEDED":
        return _streams(attempt.path)
    if code == "RESOURCE_EXHAUSTED":
        size = sum(len(key) + len(value) + 32 for key, value in attempt.metadata)
        return len(attempt.request) > LIMIT or size > METADATA_LIMIT - 1024
    if code == "UNIMPLEMENTED":
        return attempt.path not in NEEDS or attempt.path.rpartition("/")[2] in (
            "ChangePhone",
            "SetPushSubscription",
        )
    return attempt.path == REFLECTION


@dataclass
class Judge:
    """Makes calls and keeps count of what came.

    Attributes:
        answers: how often each end came: path, code, reason.
        flaws: what was wrong, with the call.
    """

    channel: grpc.aio.Channel
    answers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    flaws: list[tuple[str, Attempt]] = field(default_factory=list)

    async def try_all(self, attempts: Iterable[Attempt], at_once: int = _AT_ONCE) -> None:
        """Make all of these calls, so many at once; one after the other each stream is waited for."""
        waiting = iter(attempts)
        seconds = _STREAM_SECONDS if at_once > 1 else _SECONDS
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._some(waiting, seconds))

    async def _some(self, waiting: Iterator[Attempt], stream_seconds: float) -> None:
        for attempt in waiting:
            answer = await ask(self.channel, attempt, stream_seconds)
            self.answers[attempt.path, answer.code, answer.reason] += 1
            if wrong := flaw(attempt, answer):
                self.flaws.append((wrong, attempt))

    @property
    def ever_ok(self) -> set[str]:
        """The paths that were answered OK."""
        return {path for path, code, _ in self.answers if code == "OK"}

    def found(self) -> str:
        """The flaws, of each kind the first, so that each can be made again."""
        first = {(wrong, attempt.path): attempt for wrong, attempt in reversed(self.flaws)}
        return "\n".join(f"{wrong}: {attempt}" for (wrong, _), attempt in sorted(first.items(), key=str))


async def all_paths(service: Service) -> list[str]:
    """Every method that the server has, as it tells by reflection."""
    request = reflection_pb2.ServerReflectionRequest(list_services="*")
    answer = await ask(service.channel(), Attempt(REFLECTION, request.SerializeToString()))
    listed = reflection_pb2.ServerReflectionResponse.FromString(answer.message or b"")
    find = descriptor_pool.Default().FindServiceByName
    return sorted(
        f"/{each.name}/{method.name}"
        for each in listed.list_services_response.service
        for method in find(each.name).methods
    )
