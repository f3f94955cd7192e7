"""Takes every call from its metadata to its end, over gRPC or within this process: `Chain.serve`.

All methods are registered with gRPC as request-streaming ones: gRPC calls a unary handler with the request,
and so waits for a stranger's message, and keeps its bytes, before anybody has asked who calls. Here the
request is read behind auth. On the wire it is the same: clients and reflection see unary methods.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from authy_grpc.domain.errors import BadField, Draining, Refusal
from authy_grpc.rpc.access import Need
from authy_grpc.rpc.auth import Auth
from authy_grpc.rpc.call import Call, Context, Read
from authy_grpc.rpc.errors import Errors
from authy_grpc.rpc.observe import Observe
from authy_grpc.rpc.receive import Receive
from authy_grpc.rpc.validate import Validate

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# A request, or what makes it: asked behind auth. It may wait, and its refusals become the call's status.
Given: TypeAlias = Message | Callable[[], Message | Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Method:
    """What differs by method, prepared once.

    Attributes:
        name: its full name, such as `/authy_grpc.v1.UserService/GetUser`.
        streams: whether the answer is a stream. Its handler writes by `context.write` and is no generator.
        need: what is asked of the caller.
        behavior: the servicer's own method.
        encode: what is made of its answer.
    """

    name: str
    streams: bool
    need: Need
    behavior: Callable[[Any, Context], Awaitable[Any]]
    encode: Callable[[Any], Any]


class Chain:
    """The one way in.

    Attributes:
        late: how many calls came after `close`.
    """

    def __init__(
        self, *, observe: Observe, errors: Errors, auth: Auth, receive: Receive, validate: Validate
    ) -> None:
        self._observe = observe
        self._errors = errors
        self._auth = auth
        self._receive = receive
        self._validate = validate
        self.late = 0
        self._closed = False
        self._open: set[Call] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def serve(self, method: Method, context: Context, read: Read) -> Any:
        """Serve one call.

        Args:
            method: of the call.
            context: what gRPC, or the channel within this process, knows of it.
            read: reads its request.

        Returns:
            the answer, encoded; None of a stream, which has been written.

        Raises:
            AbortError: it ended with an error, and its caller is told so.
            CancelledError: its caller has gone.
        """
        call = Call(method.name, context, read, method.streams)
        self._enter(call)
        self._observe.begin(call)
        with call:
            try:
                await self._auth(call, method.need)
                request = await self._receive(call)
                self._validate(request)
                if self._closed and call.caller is not None:
                    raise Draining
                answer = await method.behavior(request, context)
                if method.streams:
                    return None
                call.response = answer
                return method.encode(answer)
            except (Exception, asyncio.CancelledError) as error:
                await self._errors.end(call, error)
            finally:
                self._observe.end(call)
                self._leave(call)

    def wrap(self, name: str, handler: Handler) -> Handler:
        """A method as gRPC takes it. Unary answers are encoded in the chain."""
        encode, decode = _coding(name, handler)
        method = self._method(name, handler, encode)
        read = partial(_from_wire, decode)

        async def enter(_: Any, context: Context) -> Any:
            return await self.serve(method, context, read)

        if method.streams:
            return grpc.stream_stream_rpc_method_handler(enter, None, encode)
        return grpc.stream_unary_rpc_method_handler(enter, None, None)

    def local(self, name: str, handler: Handler) -> Callable[[Given, Any], Awaitable[Any]]:
        """A method for a caller in this process, who brings a message and takes one.

        A function without arguments that answers the message, plain or `async`, may be given for it: it is
        called behind auth. What it raises becomes the call's status where it is a `Refusal`; anything else
        is BAD_FIELD to the log, and kept as the `unmade` of the context.
        """
        method = self._method(name, handler, _as_it_is)

        async def enter(given: Given, context: Any) -> Any:
            return await self.serve(method, context, partial(_from_caller, given))

        return enter

    def _method(self, name: str, handler: Handler, encode: Callable[[Any], Any]) -> Method:
        streams = handler.response_streaming
        behavior: Any = handler.unary_stream if streams else handler.unary_unary
        return Method(name, streams, self._auth.need(name), behavior, encode)

    def _enter(self, call: Call) -> None:
        if self._closed:
            self.late += 1
            return
        self._open.add(call)
        self._idle.clear()

    def _leave(self, call: Call) -> None:
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


async def _from_wire(decode: Callable[[bytes], Message], context: Context) -> Message | None:
    """The message of a call, decoded inside the chain: gRPC would tell the peer an exception's text."""
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


def _coding(name: str, handler: Handler) -> tuple[Callable[[Any], bytes], Callable[[bytes], Message]]:
    encode, decode = handler.response_serializer, handler.request_deserializer
    if encode is None or decode is None:
        raise TypeError(f"{name} has no message types")
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
