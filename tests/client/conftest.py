"""Real gRPC servers on loopback that answer as a test says, and a client of either kind to call them."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, NoReturn, Protocol

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from authy_grpc.client import AsyncClient, Client
from tests.threads import PATIENCE, Event

API_KEY = "ak_CANARY0KEY"
SERVICES = {
    "enrollments": "EnrollmentService",
    "users": "UserService",
    "verification": "VerificationService",
    "approvals": "ApprovalService",
    "events": "EventService",
    "applications": "ApplicationService",
}

Handler = Callable[[Any, grpc.ServicerContext], Any]


class Refuse(Protocol):
    """Ends a call as the service does: a status, an ErrorInfo and what goes with it."""

    def __call__(
        self,
        context: grpc.ServicerContext,
        reason: str,
        code: str = "UNAVAILABLE",
        *,
        retry: timedelta | None = None,
        fields: tuple[tuple[str, str], ...] = (),
        metadata: dict[str, str] | None = None,
        domain: str = "authy_grpc",
    ) -> NoReturn: ...


class Serve(Protocol):
    """Starts a server with these methods, the others UNIMPLEMENTED, and returns where it listens."""

    def __call__(self, _port: int = 0, **handlers: Handler) -> str: ...


def service(name: str) -> ServiceDescriptor:
    """Returns what the contract says of a service of a client's."""
    return descriptor_pool.Default().FindServiceByName(f"authy_grpc.v1.{SERVICES[name]}")


def _handler(method: MethodDescriptor, handle: Handler) -> Any:
    kind = (
        grpc.unary_stream_rpc_method_handler
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return kind(
        handle,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[grpc.Server] = []

    def start(_port: int = 0, **handlers: Handler) -> str:
        server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        for name in SERVICES:
            methods = {
                method.name: _handler(method, handlers.pop(method.name))
                for method in service(name).methods
                if method.name in handlers
            }
            generic = grpc.method_handlers_generic_handler(service(name).full_name, methods)
            server.add_generic_rpc_handlers((generic,))
        assert not handlers
        port = server.add_insecure_port(f"127.0.0.1:{_port}")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        assert server.stop(None).wait(PATIENCE)


@pytest.fixture
def refuse() -> Refuse:
    def abort(
        context: grpc.ServicerContext,
        reason: str,
        code: str = "UNAVAILABLE",
        *,
        retry: timedelta | None = None,
        fields: tuple[tuple[str, str], ...] = (),
        metadata: dict[str, str] | None = None,
        domain: str = "authy_grpc",
    ) -> NoReturn:
        status = status_pb2.Status(code=code_pb2.Code.Value(code), message="told to")
        info = error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata or {})
        status.details.add().Pack(info)
        if retry is not None:
            delay = error_details_pb2.RetryInfo()
            delay.retry_delay.FromTimedelta(retry)
            status.details.add().Pack(delay)
        if fields:
            bad = error_details_pb2.BadRequest()
            for name, description in fields:
                bad.field_violations.add(field=name, description=description)
            status.details.add().Pack(bad)
        context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort_with_status raises")

    return abort


@dataclass
class Caller:
    """A client of either kind, whose waits are noted and not waited.

    Attributes:
        kind: `sync` or `async`.
        sleeps: the waits, in seconds.
        now: the client's clock, which its waits alone turn; None: the real one.
    """

    kind: str
    sleeps: list[float] = field(default_factory=list)
    now: float | None = None

    def call(self, target: str, name: str, method: str, request: Any, **options: Any) -> Any:
        """Makes one call with a new client. `options` are those of the call."""
        if self.kind == "sync":
            with Client(target, API_KEY, sleep=self._sleep, **self._clock()) as client:
                return getattr(getattr(client, name), method)(request, **options)

        async def go() -> Any:
            async with AsyncClient(target, API_KEY, sleep=self._asleep, **self._clock()) as client:
                return await getattr(getattr(client, name), method)(request, **options)

        return asyncio.run(go())

    def take(
        self,
        count: int | None,
        target: str,
        watcher: str,
        *args: Any,
        left: Event | None = None,
        silence: float = 75.0,
        **more: Any,
    ) -> Any:
        """Returns the first items of a watcher, all where None, then closes it.

        `left` must be set by that, while the client is still open.
        """
        if self.kind == "sync":
            with Client(target, API_KEY, sleep=self._sleep, silence=silence, **self._clock()) as client:
                with closing(getattr(client, watcher)(*args, **more)) as items:
                    taken = list(islice(items, count))
                assert left is None or left.wait(5)
            return taken

        async def go() -> list[Any]:
            taken: list[Any] = []
            async with AsyncClient(
                target, API_KEY, sleep=self._asleep, silence=silence, **self._clock()
            ) as client:
                async with aclosing(getattr(client, watcher)(*args, **more)) as items:
                    async for item in items:
                        taken.append(item)
                        if len(taken) == count:
                            break
                assert left is None or await asyncio.to_thread(left.wait, 5)
            return taken

        return asyncio.run(go())

    def _clock(self) -> dict[str, Any]:
        return {} if self.now is None else {"clock": lambda: self.now}

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        if self.now is not None:
            self.now += seconds

    async def _asleep(self, seconds: float) -> None:
        self._sleep(seconds)


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)
