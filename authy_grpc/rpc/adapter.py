"""Runs every call inside the concerns of the transport (middleware), over gRPC or within this process.

    metadata -> observe -> errors -> auth -> receive -> validate -> handler

A concern is an asynchronous context manager over a `Call`; the first given is the outermost. All methods are
registered with gRPC as request-streaming ones: gRPC calls a unary handler with the request, and so waits for
a stranger's message, and keeps its bytes, before anybody has asked who calls. Here the request is read when
it is first asked for, behind auth. On the wire it is the same: clients and reflection see unary methods.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from authy_grpc.domain.errors import BadField, Draining, Refusal, RequestTimeout
from authy_grpc.service.caller import Caller, Nobody

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# Reads the request of a call; None where the caller has ended without one.
Read = Callable[[Context], Awaitable[Message | None]]
# A request, or what makes it: asked behind auth. It may wait, and its refusals become the call's status.
Given: TypeAlias = Message | Callable[[], Message | Awaitable[Message]]
# Seconds. gRPC says of a caller that has hung up, too, that no message comes, and cancels the call later.
_HANGING_UP = 0.1


class Call:
    """One call on its way through the concerns.

    Attributes:
        method: its full name, such as `/authy_grpc.v1.UserService/GetUser`.
        streams: whether the answer is a stream.
        request_id: 16 hexadecimal digits, set by observe.
        caller: set by auth; None until then, and where nobody has to be known.
        code: name of the gRPC status that the call ends with, set by errors.
        reason: reason of the error that it ends with; empty where it ends well.
        response: the answer of a unary call that ends well; else None.
    """

    __slots__ = (
        "_ended_by",
        "_read",
        "_request",
        "_wait",
        "caller",
        "code",
        "context",
        "method",
        "reason",
        "request_id",
        "response",
        "streams",
    )

    def __init__(self, method: str, context: Context, read: Read, streams: bool):
        self.method = method
        self.context = context
        self.streams = streams
        self.request_id = ""
        self.caller: Caller | None = None
        self.code = "OK"
        self.reason = ""
        self.response: Message | None = None
        self._read = read
        self._request: Message | None = None
        self._wait: asyncio.Timeout | None = None
        self._ended_by: Refusal | None = None

    async def receive(self, seconds: float | None = None) -> Message:
        """The request, which is read and decoded when it is first asked for.

        Args:
            seconds: how long to wait for it; None for as long as the peer takes.

        Raises:
            BadField: there is no message, more than one, or the bytes are none of this method.
            RequestTimeout: it has not come in time.
        """
        if self._request is None:
            self._wait = asyncio.timeout(seconds)
            try:
                async with self._wait:
                    self._request = await self._read(self.context)
            except TimeoutError:
                if not self._wait.expired():
                    raise
                raise self._ended_by or RequestTimeout from None
            finally:
                self._wait = None
            if self._request is None:
                await asyncio.sleep(_HANGING_UP)
                raise BadField.one("request", "is missing: send one message")
        return self._request

    @property
    def request(self) -> Message | None:
        """The request; None where the call ended before it was read."""
        return self._request

    def stop_waiting(self, refusal: Refusal) -> None:
        """End the call with a refusal if it still waits for its request."""
        if self._wait is not None and self._ended_by is None:
            self._ended_by = refusal
            self._wait.reschedule(asyncio.get_running_loop().time())

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


Concern = Callable[[Call], AbstractAsyncContextManager[None]]
Step = Callable[[Call], Awaitable[Any]]


def _around(concern: Concern, inner: Step) -> Step:
    async def step(call: Call) -> Any:
        async with concern(call):
            return await inner(call)

    return step


async def _from_wire(decode: Callable[[bytes], Message], context: Context) -> Message | None:
    """The message of a call, decoded inside the concerns: gRPC would tell the peer an exception's text."""
    raw = await context.read()
    if raw is grpc.aio.EOF:
        return None
    try:
        return decode(raw)
    except DecodeError as error:
        raise BadField.one("request", "is not a message of this method") from error


async def _from_caller(given: Given, context: Any) -> Message:
    """The request of a call within this process, asked for now where it is made late."""
    try:
        made = given() if callable(given) else given
        return await made if inspect.isawaitable(made) else made
    except Refusal:
        raise
    except Exception as error:
        context.unmade = error
        raise BadField.one("request", "cannot be read") from error


def _as_it_is(message: Any) -> Any:
    return message


class Chain:
    """Runs unary and server-streaming methods inside the concerns.

    A stream's handler is a coroutine that writes by `context.write`, not a generator.

    Args:
        concerns: the outermost first.

    Attributes:
        late: how many calls came after `close`.
    """

    def __init__(self, *concerns: Concern) -> None:
        self._concerns = concerns
        self.late = 0
        self._closed = False
        self._open: set[Call] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler of a method inside the concerns, for gRPC. Unary answers are encoded in them too."""
        encode, decode = _coding(method, handler)
        run = self._inside(handler, encode)
        read = partial(_from_wire, decode)

        async def enter(_: Any, context: Context) -> Any:
            return await self._run(run, Call(method, context, read, handler.response_streaming))

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(enter, None, encode)
        return grpc.stream_unary_rpc_method_handler(enter, None, None)

    def local(self, method: str, handler: Handler) -> Callable[[Given, Any], Awaitable[Any]]:
        """A method inside the concerns, for a caller in this process, who brings a message and takes one.

        A function without arguments that answers the message, plain or `async`, may be given for it: it is
        called behind auth. What it raises becomes the call's status where it is a `Refusal`; anything else
        is BAD_FIELD to the log, and kept as the `unmade` of the context.
        """
        run = self._inside(handler, _as_it_is)

        async def enter(given: Given, context: Any) -> Any:
            call = Call(method, context, partial(_from_caller, given), handler.response_streaming)
            return await self._run(run, call)

        return enter

    def _inside(self, handler: Handler, encode: Callable[[Any], Any]) -> Step:
        streams = handler.response_streaming
        behavior: Any = handler.unary_stream if streams else handler.unary_unary

        async def answer(call: Call) -> Any:
            request = await call.receive()
            if self._closed and call.caller is not None:
                raise Draining
            response = call.response = await behavior(request, call.context)
            return None if streams else encode(response)

        run: Step = answer
        for concern in reversed(self._concerns):
            run = _around(concern, run)
        return run

    async def _run(self, run: Step, call: Call) -> Any:
        if self._closed:
            self.late += 1
            return await run(call)
        self._open.add(call)
        self._idle.clear()
        try:
            return await run(call)
        finally:
            self._open.discard(call)
            if not self._open:
                self._idle.set()

    def close(self) -> None:
        """Refuse with DRAINING what comes from now on, and calls whose message has not come.

        Health, which knows no caller, goes on.
        """
        self._closed = True
        for call in self._open:
            call.stop_waiting(Draining())

    async def idle(self) -> None:
        """Wait until every call that was accepted has ended, its clean-up included."""
        await self._idle.wait()


def _coding(method: str, handler: Handler) -> tuple[Callable[[Any], bytes], Callable[[bytes], Message]]:
    encode, decode = handler.response_serializer, handler.request_deserializer
    if encode is None or decode is None:
        raise TypeError(f"{method} has no message types")
    return encode, decode


class Methods(grpc.GenericRpcHandler):
    """The methods that generated code registers, by full name, each as `wrap` makes it.

    It is gRPC's one generic handler: of registered methods grpc.aio waits over all, for each call anew.

    Args:
        wrap: makes what is kept of a method's handler.
        add: registers the services on what it is given, as on a `grpc.aio` server.
    """

    def __init__(self, wrap: Callable[[str, Handler], Any], add: Callable[["Methods"], None]) -> None:
        self._wrap = wrap
        self.by_name: dict[str, Any] = {}
        add(self)

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Called by the generated code beside `add_registered_method_handlers`, which says as much."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """Called by the generated code: takes the methods of a service."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self.by_name[method] = self._wrap(method, handler)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """Called by gRPC for each call; what is not found is UNIMPLEMENTED."""
        return self.by_name.get(handler_call_details.method)
