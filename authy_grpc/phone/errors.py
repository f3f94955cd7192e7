"""Errors of a phone: the service's refusals, read from their details, and the phone's own."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_DOMAIN = "authy_grpc"


class PhoneError(Exception):
    """A call was refused or lost, or the phone itself refuses.

    Attributes:
        reason: of `errors.proto`, without prefix, such as `CODE_REJECTED`. Empty where the service gave none
            (it was not reached) and where the phone itself refuses.
        code: the gRPC status; None where the phone itself refuses.
        metadata: what the service says beside the reason, such as `state`.
        retry_delay: how long to wait before another try; None where the service names no time.
        fields: field, description and reason of each that breaks a limit; the reason is empty for most.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: grpc.StatusCode | None = None,
        metadata: dict[str, str] | None = None,
        retry_delay: timedelta | None = None,
        fields: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        faults = "".join(f"; {field}: {description}" for field, description, _ in fields)
        message = message.removesuffix(".") + faults if faults else message
        super().__init__(f"{reason}: {message}" if reason else message)
        self.reason = reason
        self.code = code
        self.metadata = metadata or {}
        self.retry_delay = retry_delay
        self.fields = list(fields)

    @classmethod
    def read(cls, error: grpc.aio.AioRpcError) -> "PhoneError":
        """Reads a failed call and the `google.rpc` details that came with it."""
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        bad = error_details_pb2.BadRequest()
        details = error.trailing_metadata().get(_DETAILS)
        if isinstance(details, bytes):
            # What proxies add need not be well made.
            with suppress(DecodeError):
                for detail in status_pb2.Status.FromString(details).details:
                    detail.Unpack(info)
                    detail.Unpack(retry)
                    detail.Unpack(bad)
        ours = info.domain == _DOMAIN
        return cls(
            error.details() or "no answer",
            reason=info.reason.removeprefix("ERROR_REASON_") if ours else "",
            code=error.code(),
            metadata=dict(info.metadata) if ours else {},
            retry_delay=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
            fields=[(each.field, each.description, each.reason) for each in bad.field_violations]
            if ours
            else (),
        )
