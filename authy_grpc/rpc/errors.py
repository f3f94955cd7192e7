"""Turns what a call raises into its status: the only place that names a gRPC status."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc_status import rpc_status
from structlog.typing import FilteringBoundLogger

from authy_grpc.domain import errors
from authy_grpc.rpc.call import Call

DOMAIN = "authy_grpc"
REQUEST_ID_KEY = "x-request-id"


def _nothing(_: Any) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Answer:
    """What the caller is told for one kind of refusal.

    Attributes:
        reason: name of the ErrorReason, without its prefix.
        sentence: fixed text that says what to do.
        metadata: the ErrorInfo's metadata, from the refusal.
    """

    code: StatusCode
    reason: str
    sentence: str
    metadata: Callable[[Any], Mapping[str, str]] = _nothing


_BAD, _WHO, _STATE = StatusCode.INVALID_ARGUMENT, StatusCode.UNAUTHENTICATED, StatusCode.FAILED_PRECONDITION
_MUCH, _GONE, _NOT_NOW = StatusCode.RESOURCE_EXHAUSTED, StatusCode.NOT_FOUND, StatusCode.UNAVAILABLE
_EXISTS, _DENIED, _RANGE = StatusCode.ALREADY_EXISTS, StatusCode.PERMISSION_DENIED, StatusCode.OUT_OF_RANGE

ANSWERS: dict[type[errors.Refusal], Answer] = {
    errors.BadField: Answer(_BAD, "BAD_FIELD", "Some fields are not valid: fix the fields listed."),
    errors.BadSignature: Answer(
        _BAD,
        "BAD_SIGNATURE",
        "A signature, key or receipt does not verify: make a new one as the contract describes.",
    ),
    errors.ForbiddenAddress: Answer(
        _BAD, "FORBIDDEN_ADDRESS", "This address may not be called: use a public https address."
    ),
    errors.BadCredential: Answer(
        _WHO,
        "BAD_CREDENTIAL",
        "Send `authorization: Bearer` with a credential that is neither revoked nor expired.",
    ),
    errors.ClockSkew: Answer(
        _WHO,
        "CLOCK_SKEW",
        "The time in the proof is off: make a new proof with `server_time`.",
        lambda refusal: {"server_time": str(refusal.server_time)},
    ),
    errors.CodeRejected: Answer(
        _BAD, "CODE_REJECTED", "The code is wrong or was used before: ask for a new one."
    ),
    errors.MissingScope: Answer(
        _DENIED,
        "MISSING_SCOPE",
        "The credential is not for this call: use one that has the `scope` named in the metadata.",
        lambda refusal: {"scope": refusal.scope},
    ),
    errors.NotFound: Answer(_GONE, "NOT_FOUND", "Not found, or not yours: check the id."),
    errors.UserExists: Answer(
        _EXISTS,
        "USER_EXISTS",
        "This `custom_user_id` already has a user: delete it or set `replace_existing`.",
    ),
    errors.RequestIdReused: Answer(
        _EXISTS,
        "REQUEST_ID_REUSED",
        "This `request_id` was already used for another request: choose a new one.",
    ),
    errors.WrongState: Answer(
        _STATE,
        "WRONG_STATE",
        "The current `state` does not allow this: read it again.",
        lambda refusal: {"state": refusal.state},
    ),
    errors.FactorUnavailable: Answer(
        _STATE,
        "FACTOR_UNAVAILABLE",
        "The user cannot use this factor: offer another one of the user's `factors`.",
    ),
    errors.PushFrozen: Answer(
        _STATE,
        "PUSH_FROZEN",
        "Too many approvals were refused: use another factor, or wait where a time is given.",
    ),
    errors.NewDevicesOff: Answer(
        _STATE, "NEW_DEVICES_OFF", "The account accepts no new devices: change that on one of its devices."
    ),
    errors.DeviceHeld: Answer(
        _STATE, "DEVICE_HELD", "This device may not do this yet: approve it on another device, or wait."
    ),
    errors.UserLocked: Answer(
        _MUCH, "USER_LOCKED", "Wrong codes have locked the user: use another factor, UnlockUser, or wait."
    ),
    errors.RateLimited: Answer(_MUCH, "RATE_LIMITED", "Too many requests: try again after the time given."),
    errors.Quota: Answer(
        _MUCH,
        "QUOTA",
        "The limit of these is reached: remove one first.",
        lambda refusal: {"limit": str(refusal.limit)},
    ),
    errors.CursorExpired: Answer(
        _RANGE, "CURSOR_EXPIRED", "The cursor is no longer valid: start from `earliest`."
    ),
    errors.RequestTimeout: Answer(
        StatusCode.DEADLINE_EXCEEDED,
        "REQUEST_TIMEOUT",
        "The request did not arrive in time and nothing was done: try again.",
    ),
    errors.BackendUnavailable: Answer(
        _NOT_NOW,
        "BACKEND",
        "Something that this service needs is unavailable and nothing was decided: try again.",
    ),
    errors.Draining: Answer(
        _NOT_NOW,
        "DRAINING",
        "This server is stopping or has ended the stream: try again from the last cursor or revision.",
    ),
}
INTERNAL = Answer(
    StatusCode.INTERNAL, "INTERNAL", "Internal error of this service: tell its operator the `request_id`."
)
# They say nothing but what they are, and how long to wait.
_CONSTANT = (errors.BadCredential, errors.RateLimited, errors.RequestTimeout, errors.Draining)
_UNIMPLEMENTED = "This server does not have this method: ask its operator for a newer version."


def to_status(refusal: errors.Refusal) -> status_pb2.Status:
    """The rich status of a refusal."""
    answer = ANSWERS[type(refusal)]
    details: list[Message] = []
    if isinstance(refusal, errors.Blames):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.field, description=violation.description, reason=violation.reason
            )
            for violation in refusal.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if isinstance(refusal, errors.Waits) and refusal.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(refusal.retry_after)
        details.append(retry)
    return _status(answer, answer.metadata(refusal), details)


def _converted(refusal: errors.Refusal) -> grpc.Status:
    """The status as gRPC takes it. What a flood is refused with is always the same, and made once."""
    if isinstance(refusal, _CONSTANT):
        return _made_once(ANSWERS[type(refusal)].reason, getattr(refusal, "retry_after", None))
    return rpc_status.to_status(to_status(refusal))


@lru_cache(maxsize=64)
def _made_once(reason: str, retry_after: timedelta | None) -> grpc.Status:
    kind: type[errors.Refusal] = next(each for each in _CONSTANT if ANSWERS[each].reason == reason)
    return rpc_status.to_status(to_status(kind() if retry_after is None else kind(retry_after)))


def _status(answer: Answer, metadata: Mapping[str, str], details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=answer.code.value[0], message=answer.sentence)
    for detail in (
        error_details_pb2.ErrorInfo(reason=answer.reason, domain=DOMAIN, metadata=metadata),
        *details,
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


class Errors:
    """Ends calls that raise.

    Args:
        log: where unexpected exceptions go, without their text.
        abort_timeout: how long a status may wait for a peer that reads nothing.
    """

    def __init__(self, log: FilteringBoundLogger, *, abort_timeout: timedelta = timedelta(seconds=5)) -> None:
        self._log = log
        self._abort_timeout = abort_timeout.total_seconds()

    async def end(self, call: Call, error: BaseException) -> NoReturn:
        """Tell the caller what a call raised.

        Raises:
            AbortError: the call has its status.
            CancelledError: its caller has gone.
        """
        try:
            await self._tell(call, error)
        except asyncio.CancelledError:
            if not call.reason:
                call.code = "CANCELLED"
            raise

    async def _tell(self, call: Call, error: BaseException) -> NoReturn:
        match error:
            case grpc.aio.AbortError():
                call.code = call.context.code().name  # of a library's servicer, such as health
                raise error
            case errors.Refusal():
                call.reason = ANSWERS[type(error)].reason
                await self._abort(call, _converted(error))
            case grpc.aio.InternalError():
                # grpc raises it of what it could not send: the peer hung up at this very moment.
                raise asyncio.CancelledError from None
            case asyncio.CancelledError() if _is_cancelled():
                raise error
            case NotImplementedError() if call.context.code() is StatusCode.UNIMPLEMENTED:
                # A method that a servicer inherits from the generated code sets its status and raises this.
                unimplemented = status_pb2.Status(
                    code=StatusCode.UNIMPLEMENTED.value[0], message=_UNIMPLEMENTED
                )
                await self._abort(call, rpc_status.to_status(unimplemented))
            case _:
                # A task of our own that was cancelled, too: let out, it would leave the peer hanging.
                await self._unexpected(call, error)

    async def _unexpected(self, call: Call, error: BaseException) -> NoReturn:
        self._log.error("call failed", method=call.method, request_id=call.request_id, exc_info=error)
        call.reason = INTERNAL.reason
        status = _status(INTERNAL, {"request_id": call.request_id}, [])
        await self._abort(call, rpc_status.to_status(status))

    async def _abort(self, call: Call, converted: grpc.Status) -> NoReturn:
        """End the call: raises AbortError.

        A status is sent after what was written before: one that reads nothing would be waited for for ever.
        """
        call.code = converted.code.name
        trailing = (*converted.trailing_metadata, (REQUEST_ID_KEY, call.request_id))
        try:
            async with asyncio.timeout(self._abort_timeout):
                await call.context.abort(converted.code, converted.details, trailing)
        except TimeoutError:
            # The status stands in line; grpc takes no other exception from here without a complaint.
            raise asyncio.CancelledError from None
        raise AssertionError("abort raises")


def _is_cancelled() -> bool:
    """Whether the task of the call itself is cancelled, and not one that it waits for."""
    task = asyncio.current_task()
    return task is None or bool(task.cancelling())
