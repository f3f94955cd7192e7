"""Typed errors of failed calls, made from a status and its google.rpc details."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "authy_grpc"


class AuthyError(Exception):
    """A call that failed. It never carries a credential.

    Attributes:
        code: the gRPC status code.
        reason: an `ErrorReason` without its prefix, such as `USER_LOCKED`; empty where the failure is the
            transport's or the caller's own.
        message: what the service or the transport says, for a person to read.
        retry_delay: how long until it is worth trying again; None where nothing says so.
        metadata: what the contract says goes with the reason, such as `state` or `limit`.
        fields: (field, description) for each field that breaks a limit.
        request_id: what finds an INTERNAL error in the operator's log; empty otherwise.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str = "",
        message: str = "",
        retry_delay: timedelta | None = None,
        metadata: Mapping[str, str] | None = None,
        fields: Sequence[tuple[str, str]] = (),
        request_id: str = "",
    ) -> None:
        super().__init__(code, reason, message, retry_delay, metadata, fields, request_id)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_delay = retry_delay
        self.metadata = dict(metadata or {})
        self.fields = list(fields)
        self.request_id = request_id

    def __str__(self) -> str:
        faults = "".join(f"; {field}: {description}" for field, description in self.fields)
        message = self.message.removesuffix(".") if faults else self.message
        return f"{self.reason or self.code.name}: {message}{faults}"


class BadField(AuthyError):
    """Fields break the limits of the contract: `fields` names each."""


class BadSignature(AuthyError):
    """A signature or receipt does not verify."""


class ForbiddenAddress(AuthyError):
    """A webhook address that must not be called."""


class BadCredential(AuthyError):
    """The API key is unknown, revoked or expired."""


class CodeRejected(AuthyError):
    """A wrong or used-up code."""


class MissingScope(AuthyError):
    """The API key is good, and not for this call: `metadata["scope"]` is what it lacks."""


class NotFound(AuthyError):
    """No such thing, or not this site's: the two look the same."""


class UserExists(AuthyError):
    """`custom_user_id` has an active user."""


class RequestIdReused(AuthyError):
    """`request_id` was used for another request."""


class WrongState(AuthyError):
    """The state does not allow it: `metadata["state"]`."""


class FactorUnavailable(AuthyError):
    """The user cannot use this factor."""


class PushFrozen(AuthyError):
    """Too many approvals were refused; `retry_delay` is None where time alone does not lift it."""


class UserLocked(AuthyError):
    """Wrong codes have locked the user; `retry_delay` is None where time alone does not lift it."""


class RateLimited(AuthyError):
    """Asked too often: `retry_delay`."""


class Quota(AuthyError):
    """No more of these: `metadata["limit"]`."""


class CursorExpired(AuthyError):
    """The cursor is older than what is kept: start from `earliest`."""


class Unavailable(AuthyError):
    """The service, or something that it needs, is out of reach."""


class Internal(AuthyError):
    """A fault of the service: `request_id` finds it in the operator's log."""


class Canceled(AuthyError):
    """The caller's own end: the client was closed, or the stream canceled. Never what the service says."""

    def __init__(self) -> None:
        super().__init__(grpc.StatusCode.CANCELLED, message="the client was closed, or the stream canceled")


class DeadlineExceeded(AuthyError):
    """No answer in time; what was asked may have been done."""


# Reasons that only an authenticator meets have no class of their own.
BY_REASON: Mapping[str, type[AuthyError]] = {
    "BAD_FIELD": BadField,
    "BAD_SIGNATURE": BadSignature,
    "FORBIDDEN_ADDRESS": ForbiddenAddress,
    "BAD_CREDENTIAL": BadCredential,
    "CLOCK_SKEW": AuthyError,
    "CODE_REJECTED": CodeRejected,
    "MISSING_SCOPE": MissingScope,
    "REGISTRATION_PROOF": AuthyError,
    "NOT_FOUND": NotFound,
    "USER_EXISTS": UserExists,
    "REQUEST_ID_REUSED": RequestIdReused,
    "WRONG_STATE": WrongState,
    "FACTOR_UNAVAILABLE": FactorUnavailable,
    "PUSH_FROZEN": PushFrozen,
    "NEW_DEVICES_OFF": AuthyError,
    "DEVICE_HELD": AuthyError,
    "USER_LOCKED": UserLocked,
    "RATE_LIMITED": RateLimited,
    "QUOTA": Quota,
    "CURSOR_EXPIRED": CursorExpired,
    "BACKEND": Unavailable,
    "DRAINING": Unavailable,
    "REQUEST_TIMEOUT": DeadlineExceeded,
    "INTERNAL": Internal,
}

BY_CODE: Mapping[grpc.StatusCode, type[AuthyError]] = {
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_call(failure: grpc.RpcError) -> AuthyError:
    """Returns the typed error for a failed call, of grpc or of grpc.aio."""
    call = cast(grpc.Call, failure)
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    for detail in _details(call):
        for target in (info, retry, bad):
            if detail.TypeName() == target.DESCRIPTOR.full_name:
                _read(target, detail.value)
    ours = info.domain == DOMAIN
    reason = info.reason if ours else ""
    metadata = dict(info.metadata) if ours else {}
    kind = BY_REASON.get(reason) or BY_CODE.get(call.code(), AuthyError)
    return kind(
        call.code(),
        reason,
        call.details() or "",
        _delay(retry),
        metadata,
        [(violation.field, violation.description) for violation in bad.field_violations],
        metadata.get("request_id", ""),
    )


def _details(call: grpc.Call) -> Sequence[Any]:
    # Not rpc_status.from_call: it raises where a proxy has touched the text of the status.
    status = status_pb2.Status()
    for key, value in call.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            _read(status, value if isinstance(value, bytes) else value.encode())
    return list(status.details)


def _read(message: Message, data: bytes) -> None:
    try:
        message.ParseFromString(data)
    except DecodeError:
        message.Clear()


def _delay(retry: error_details_pb2.RetryInfo) -> timedelta | None:
    if not retry.HasField("retry_delay"):
        return None
    try:
        delay: timedelta = retry.retry_delay.ToTimedelta()
    except (OverflowError, ValueError):
        return None
    return max(delay, timedelta(0))
