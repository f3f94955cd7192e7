"""One call on its way through the chain: who makes it, its message when it is asked for, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from typing import Any, Self, TypeAlias

import grpc.aio
from google.protobuf.message import Message

from authy_grpc import logs
from authy_grpc.domain.errors import BadField, Refusal
from authy_grpc.service.caller import Caller, Nobody

Context = grpc.aio.ServicerContext[Any, Any]
# Reads the request of a call; None where the caller has ended without one.
Read: TypeAlias = Callable[[Context], Awaitable[Message | None]]
# Seconds. gRPC says of a caller that has hung up, too, that no message comes, and cancels the call later.
_HANGING_UP = 0.1

# Who makes the call that is served now; None where nobody has to be known.
current_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


class Call:
    """One call. While it is entered, log lines carry its id, and its caller is `current_caller`.

    Attributes:
        method: its full name, such as `/authy_grpc.v1.UserService/GetUser`.
        streams: whether the answer is a stream.
        request_id: 16 hexadecimal digits.
        began: when, by the monotonic clock, in seconds.
        caller: None until who calls is settled, and where nobody has to be known.
        code: name of the gRPC status that the call ends with.
        reason: reason of the error that it ends with; empty where it ends well.
        request: None until it is read.
        response: the answer of a unary call that ends well; else None.
    """

    __slots__ = (
        "_caller_before", "_ended_by", "_id_before", "_read", "_task", "began", "caller", "code", "context",
        "method", "reason", "request", "request_id", "response", "streams",
    )  # fmt: skip

    def __init__(self, method: str, context: Context, read: Read, streams: bool):
        self.method = method
        self.context = context
        self.streams = streams
        self.request_id = ""
        self.began = 0.0
        self.caller: Caller | None = None
        self.code = "OK"
        self.reason = ""
        self.request: Message | None = None
        self.response: Message | None = None
        self._read = read
        self._task: asyncio.Task[Any] | None = None
        self._ended_by: Refusal | None = None

    def __enter__(self) -> Self:
        self._id_before: Token[str] = logs.request_id.set(self.request_id)
        self._caller_before: Token[Caller | None] = current_caller.set(None)
        return self

    def __exit__(self, *_: object) -> None:
        current_caller.reset(self._caller_before)
        logs.request_id.reset(self._id_before)

    async def receive(self) -> Message:
        """Read and decode the request.

        Raises:
            BadField: there is no message, more than one, or the bytes are none of this method.
            Refusal: that of `stop_waiting`.
        """
        self._task = task = asyncio.current_task()
        try:
            self.request = await self._read(self.context)
        except asyncio.CancelledError:
            # As asyncio.timeout does it, which costs a timer for each call.
            if self._ended_by is None or task is None or task.uncancel():
                raise
            raise self._ended_by from None
        finally:
            self._task = None
        if self.request is None:
            await asyncio.sleep(_HANGING_UP)
            raise BadField.one("request", "is missing: send one message")
        return self.request

    def stop_waiting(self, refusal: Refusal) -> None:
        """End the call with a refusal if it still waits for its request."""
        if self._task is not None and self._ended_by is None:
            self._ended_by = refusal
            self._task.cancel()

    @property
    def caller_id(self) -> str:
        """What a log may say of the caller: the id of its key or device, or what it is."""
        caller = self.caller
        if caller is None or isinstance(caller, Nobody):
            return ""
        for name in ("api_key_id", "device_id", "operator_key_id"):
            if own := getattr(caller, name, ""):
                return str(own)
        return type(caller).__name__.lower()
