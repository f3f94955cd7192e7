"""Owns how a call passes the concerns of the transport: one gRPC interceptor around all of them.

A concern is an asynchronous context manager over a `Call`. The first given is the outermost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from authy_grpc.domain.errors import BadField, Draining
from authy_grpc.service.caller import Caller, Nobody

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


class Call:
    """One call on its way through the concerns.

    Attributes:
        method: its full name, such as `/authy_grpc.v1.UserService/GetUser`.
        streams: whether the answer is a stream.
        request_id: 16 hexadecimal digits, set by observe.
        caller: set by auth; None until then, and where nobody has to be known.
        code: name of the gRPC status that the call ends with, set by errors.
        reason: reason of the error that it ends with; empty where it ends well.
    """

    __slots__ = (
        "_decode",
        "_request",
        "caller",
        "code",
        "context",
        "method",
        "reason",
        "request_id",
        "streams",
    )

    def __init__(
        self,
        method: str,
        context: Context,
        request: Message | bytes,
        decode: Callable[[bytes], Message],
        streams: bool,
    ):
        self.method = method
        self.context = context
        self.streams = streams
        self.request_id = ""
        self.caller: Caller | None = None
        self.code = "OK"
        self.reason = ""
        self._request = request
        self._decode = decode

    @property
    def request(self) -> Message:
        """The request, decoded when it is first asked for: here, so that bad bytes are refused as all else.

        Raises:
            BadField: the bytes are no such message.
        """
        if isinstance(self._request, bytes):
            try:
                self._request = self._decode(self._request)
            except DecodeError as error:
                raise BadField.one("request", "is not a message of this method") from error
        return self._request

    @property
    def caller_id(self) -> str:
        """What a log may say of the caller: the id of its key or device, or what it is."""
        caller = self.caller
        if caller is None or isinstance(caller, Nobody):
            return ""
        own = getattr(caller, "api_key_id", None) or getattr(caller, "device_id", None)
        return own or type(caller).__name__.lower()


Concern = Callable[[Call], AbstractAsyncContextManager[None]]
Step = Callable[[Call], Awaitable[Any]]


def _around(concern: Concern, inner: Step) -> Step:
    async def step(call: Call) -> Any:
        async with concern(call):
            return await inner(call)

    return step


def _reflecting(handler: Handler) -> Handler:
    """The handler of reflection: what is no message is read as an empty one, which it calls invalid itself.

    gRPC would answer UNKNOWN with the text of an exception.
    """

    behavior: Any = handler.stream_stream
    read: Any = handler.request_deserializer

    def decode(raw: bytes) -> Any:
        try:
            return read(raw)
        except DecodeError:
            return read(b"")

    return grpc.stream_stream_rpc_method_handler(behavior, decode, handler.response_serializer)


def _as_it_is(message: Any) -> Any:
    return message


class Chain(grpc.aio.ServerInterceptor):
    """Runs unary and server-streaming methods inside the concerns.

    Unknown methods pass untouched, and those that take a stream (reflection) but for how they are decoded. A
    stream's handler is a coroutine that writes by `context.write`, not a generator.

    Args:
        concerns: the outermost first.

    Attributes:
        late: how many calls came after `close`.
    """

    def __init__(self, *concerns: Concern) -> None:
        self._concerns = concerns
        self._wrapped: dict[str, Handler] = {}
        self.late = 0
        self._closed = False
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrap = _reflecting if handler.request_streaming else partial(self.wrap, method)
            wrapped = self._wrapped[method] = wrap(handler)
        return wrapped

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler of a method inside the concerns.

        Messages are decoded inside them, and unary answers encoded too: gRPC would tell the peer the text
        of an exception there.
        """
        streams, encode = handler.response_streaming, handler.response_serializer
        if encode is None:
            raise TypeError(f"{method} has no message types")
        enter = self._entrance(method, handler, encode)
        if streams:
            return grpc.unary_stream_rpc_method_handler(enter, None, encode)
        return grpc.unary_unary_rpc_method_handler(enter, None, None)

    def local(self, method: str, handler: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
        """A method inside the concerns, for who brings a message and takes one."""
        return self._entrance(method, handler, _as_it_is)

    def _entrance(
        self, method: str, handler: Handler, encode: Callable[[Any], Any]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        streams, decode = handler.response_streaming, handler.request_deserializer
        behavior: Any = handler.unary_stream if streams else handler.unary_unary
        if decode is None:
            raise TypeError(f"{method} has no message types")

        async def answer(call: Call) -> Any:
            if self._closed and call.caller is not None:
                raise Draining
            response = await behavior(call.request, call.context)
            return None if streams else encode(response)

        run: Step = answer
        for concern in reversed(self._concerns):
            run = _around(concern, run)

        async def enter(request: Any, context: Context) -> Any:
            call = Call(method, context, request, decode, streams)
            if self._closed:
                self.late += 1
                return await run(call)
            self._active += 1
            self._idle.clear()
            try:
                return await run(call)
            finally:
                self._active -= 1
                if self._active == 0:
                    self._idle.set()

        return enter

    def close(self) -> None:
        """Refuse calls that come from now on with DRAINING; health, which knows no caller, goes on."""
        self._closed = True

    async def idle(self) -> None:
        """Wait until every call that was accepted has ended, its clean-up included."""
        await self._idle.wait()
