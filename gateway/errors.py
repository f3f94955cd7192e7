"""Errors over HTTP: `google.rpc.Status` as JSON, its HTTP code and its headers."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from gateway.encode import dump, encoder

DOMAIN = "authy_grpc"
JSON = b"application/json"
Header = tuple[bytes, bytes]
# Many bad fields are told, not all: an answer stays small.
MOST = 20

# By google/rpc/code.proto.
HTTP: dict[int, int] = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}
_BAD_FIELD = "Some fields are not valid: fix the fields listed."
_INTERNAL = "Internal error of this gateway: tell its operator the `request_id`."


class Failure(Exception):
    """A call that is answered with an error.

    Attributes:
        status: what the body says.
        http: the HTTP code.
        headers: beside those that the status brings by itself.
        request_id: by which the operator finds it; empty where nothing was called.
    """

    def __init__(
        self,
        status: status_pb2.Status,
        *,
        http: int = 0,
        headers: Sequence[Header] = (),
        request_id: str = "",
    ) -> None:
        super().__init__(status.code)
        self.status = status
        self.http = http or HTTP.get(status.code, 500)
        self.headers = tuple(headers)
        self.request_id = request_id

    @property
    def code(self) -> str:
        """The gRPC code's name."""
        return str(code_pb2.Code.Name(self.status.code)) if self.status.code in HTTP else "UNKNOWN"

    @property
    def reason(self) -> str:
        """The reason of its ErrorInfo; empty where it has none."""
        info = error_details_pb2.ErrorInfo()
        return next((info.reason for each in self.status.details if each.Unpack(info)), "")

    @property
    def body(self) -> bytes:
        """The status as JSON."""
        return dump(
            {
                "code": self.status.code,
                "message": self.status.message,
                "details": [_detail(each) for each in self.status.details],
            }
        )

    def all_headers(self) -> list[Header]:
        """The headers of the answer, but those of its body."""
        found = list(self.headers)
        if self.status.code == code_pb2.UNAUTHENTICATED:
            found.append((b"www-authenticate", b"Bearer"))
        if (seconds := _retry_seconds(self.status)) is not None:
            found.append((b"retry-after", str(seconds).encode()))
        if self.request_id:
            found.append((b"x-request-id", self.request_id.encode()))
        return found


def bad(violations: Sequence[tuple[str, str]], http: int = 400, *headers: Header) -> Failure:
    """What a request is told whose fields are wrong.

    Args:
        violations: each field's path, and what is wrong with it; never its value.
        http: the HTTP code.
        headers: of the answer.
    """
    found = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=name, description=text)
            for name, text in violations[:MOST]
        ]
    )
    status = make(code_pb2.INVALID_ARGUMENT, _BAD_FIELD, "BAD_FIELD", found)
    return Failure(status, http=http, headers=headers)


def make(code: int, message: str, reason: str = "", *details: Message, **metadata: str) -> status_pb2.Status:
    """A status of this gateway's own. Where the contract has no reason for it, it carries none."""
    status = status_pb2.Status(code=code, message=message)
    if reason:
        status.details.add().Pack(
            error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
        )
    for detail in details:
        status.details.add().Pack(detail)
    return status


def no_path(*, slash: bool = False) -> Failure:
    """What an address is told that leads nowhere.

    Args:
        slash: whether it would lead somewhere without the slash at its end.
    """
    message = "Nothing is at this address: see /docs, or /openapi.json."
    if slash:
        message = "Nothing is at this address: leave out the slash at its end, or see /docs, /openapi.json."
    return Failure(make(code_pb2.NOT_FOUND, message, "NOT_FOUND"))


def no_method(allowed: Sequence[str]) -> Failure:
    """What an HTTP method is told that this address does not have."""
    listed = ", ".join(allowed)
    return bad([("method", f"must be one of {listed}")], 405, (b"allow", listed.encode()))


def no_request() -> Failure:
    """What is told of bytes that are no HTTP request."""
    return bad([("request", "must be an HTTP/1.1 request")], 400, (b"connection", b"close"))


def internal(request_id: str) -> Failure:
    """What is told of a fault that nobody expected."""
    return Failure(
        make(code_pb2.INTERNAL, _INTERNAL, "INTERNAL", request_id=request_id), request_id=request_id
    )


def _detail(packed: Any) -> dict[str, Any]:
    make_one = _DETAILS.get(packed.TypeName())
    if make_one is None:
        found: dict[str, Any] = json_format.MessageToDict(packed)
        return found
    detail = make_one()
    packed.Unpack(detail)
    return {"@type": packed.type_url, **encoder(detail.DESCRIPTOR)(detail)}


_DETAILS: dict[str, Callable[[], Any]] = {
    f"google.rpc.{each.__name__}": each
    for each in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
}


def _retry_seconds(status: status_pb2.Status) -> int | None:
    retry = error_details_pb2.RetryInfo()
    for each in status.details:
        if each.Unpack(retry):
            return max(0, math.ceil(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9))
    return None
