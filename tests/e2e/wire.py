"""The ear on the wire: a party whose channel keeps every byte that it sends and receives."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from authy_grpc.v1.account_pb2_grpc import AccountServiceStub
from authy_grpc.v1.application_pb2_grpc import ApplicationServiceStub
from authy_grpc.v1.approval_pb2_grpc import ApprovalServiceStub
from authy_grpc.v1.authenticator_pb2_grpc import AuthenticatorServiceStub
from authy_grpc.v1.credential_pb2_grpc import CredentialServiceStub
from authy_grpc.v1.enrollment_pb2_grpc import EnrollmentServiceStub
from authy_grpc.v1.event_pb2_grpc import EventServiceStub
from authy_grpc.v1.user_pb2_grpc import UserServiceStub
from authy_grpc.v1.verification_pb2_grpc import VerificationServiceStub
from authy_grpc.v1.webhook_pb2_grpc import DeliveryServiceStub, WebhookServiceStub

# For each call; streams too, which a test leaves sooner.
_SECONDS = 60.0
REQUEST_ID = "x-request-id"
Metadata = list[tuple[str, str | bytes]]
# Makes a party by its credential.
Speaks = Callable[[str], "Party"]


@dataclass
class Exchange:
    """One call, in the bytes that crossed the wire.

    Attributes:
        metadata: before and behind the messages, and with an error: its details too.
        code: name of the status.
        details: text of the status.
    """

    method: str
    sent: bytes
    messages: list[bytes] = field(default_factory=list)
    metadata: Metadata = field(default_factory=list)
    code: str = "OK"
    details: str = ""

    @property
    def received(self) -> bytes:
        """All that came back."""
        pieces = [*self.messages, self.details.encode()]
        pieces += [key.encode() + b": " + _bytes(value) for key, value in self.metadata]
        return b"\n".join(pieces)

    @property
    def request_id(self) -> str:
        """By which the operator finds it in the log."""
        return next((_bytes(value).decode() for key, value in self.metadata if key == REQUEST_ID), "")

    @property
    def answer(self) -> tuple[Any, ...]:
        """All that came back, but the id of the call, which is never the same."""
        told = [(key, value) for key, value in self.metadata if key != REQUEST_ID]
        return self.code, self.details, self.messages, told


class Party:
    """Somebody who calls: what the generated stubs need of a channel, and the stubs of all services.

    Args:
        channel: to the service.
        credential: sent with each call that brings none.
    """

    def __init__(self, channel: grpc.aio.Channel, credential: str = "") -> None:
        self.exchanges: list[Exchange] = []
        self.credential = credential
        self._channel = channel
        stub: Any = self
        self.account = AccountServiceStub(stub)
        self.application = self.applications = ApplicationServiceStub(stub)
        self.approvals = ApprovalServiceStub(stub)
        self.authenticator = AuthenticatorServiceStub(stub)
        self.enrollments = EnrollmentServiceStub(stub)
        self.events = EventServiceStub(stub)
        self.users = UserServiceStub(stub)
        self.verification = VerificationServiceStub(stub)
        self.webhooks = WebhookServiceStub(stub)
        self.deliveries = DeliveryServiceStub(stub)
        self.credentials = CredentialServiceStub(stub)

    @property
    def received(self) -> bytes:
        """All that this party ever received."""
        return b"\n".join(exchange.received for exchange in self.exchanges)

    def unary_unary(
        self, path: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Callable[..., Any]:
        """Makes what a stub calls for one answer."""
        inner: Any = self._channel.unary_unary(path)

        async def call(request: Any, metadata: Any = None, **_: Any) -> Any:
            exchange = self._begin(path, _encoded(request, request_serializer))
            made: Any = inner(exchange.sent, timeout=_SECONDS, metadata=self._metadata(metadata))
            try:
                message = await made
            except grpc.aio.AioRpcError as error:
                _fail(exchange, error)
                raise
            exchange.messages.append(message)
            exchange.metadata += [*await made.initial_metadata(), *await made.trailing_metadata()]
            return response_deserializer(message) if response_deserializer else message

        return call

    def unary_stream(
        self, path: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Callable[..., "Stream"]:
        """Makes what a stub calls for a stream."""
        inner: Any = self._channel.unary_stream(path)

        def call(request: Any, metadata: Any = None, **_: Any) -> Stream:
            exchange = self._begin(path, _encoded(request, request_serializer))
            made = inner(exchange.sent, timeout=_SECONDS, metadata=self._metadata(metadata))
            return Stream(made, exchange, response_deserializer)

        return call

    async def send(self, path: str, request: Message | bytes, messages: int = 1) -> Exchange:
        """Calls any method, and takes what comes: an error too, and of a stream the first messages."""
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        stream = self.unary_stream(path)(raw)
        try:
            while len(stream.exchange.messages) < messages:
                await anext(stream)
        except (StopAsyncIteration, grpc.aio.AioRpcError):
            pass
        else:
            # Of one answer the status comes behind it.
            await stream.finish()
        return stream.exchange

    def _begin(self, method: str, sent: bytes) -> Exchange:
        exchange = Exchange(method, sent)
        self.exchanges.append(exchange)
        return exchange

    def _metadata(self, own: Iterable[tuple[str, str | bytes]] | None) -> grpc.aio.Metadata:
        pairs = list(own or ())
        if self.credential and "authorization" not in {key for key, _ in pairs}:
            pairs.append(("authorization", f"Bearer {self.credential}"))
        return grpc.aio.Metadata(*pairs)


class Stream:
    """The answers of an open stream."""

    def __init__(self, call: Any, exchange: Exchange, decode: Callable[[bytes], Any] | None) -> None:
        self.exchange = exchange
        self._call = call
        self._decode = decode or (lambda message: message)
        self._begun = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            message = await self._call.read()
            if message is grpc.aio.EOF:
                await self._end()
                raise StopAsyncIteration
        except grpc.aio.AioRpcError as error:
            _fail(self.exchange, error)
            raise
        if not self._begun:
            self._begun = True
            self.exchange.metadata += [*await self._call.initial_metadata()]
        self.exchange.messages.append(message)
        return self._decode(message)

    async def finish(self) -> None:
        """Take what is left of a call with one answer; hang up on a stream that goes on."""
        if _streams(self.exchange.method):
            self.cancel()
        else:
            async for _ in self:
                pass

    def cancel(self) -> None:
        """Hang up."""
        self._call.cancel()

    async def _end(self) -> None:
        if not self._begun:
            self.exchange.metadata += [*await self._call.initial_metadata()]
        self.exchange.metadata += [*await self._call.trailing_metadata()]


def _streams(method: str) -> bool:
    return method.rpartition("/")[2].startswith(("Watch", "Lease"))


def _encoded(request: Any, serialize: Callable[[Any], bytes] | None) -> bytes:
    return request if isinstance(request, bytes) else serialize(request)  # type: ignore[misc]


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _fail(exchange: Exchange, error: grpc.aio.AioRpcError) -> None:
    exchange.code = error.code().name
    exchange.details = error.details() or ""
    exchange.metadata = [*error.initial_metadata(), *error.trailing_metadata()]
