"""A real server on loopback with the whole chain, and servicers that a test brings."""

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, generate_latest

from authy_grpc import logs
from authy_grpc.client import connect
from authy_grpc.domain.application import Scope
from authy_grpc.domain.forwarded import Forwarding
from authy_grpc.rpc.auth import NEEDS, Auth
from authy_grpc.rpc.chain import Chain
from authy_grpc.rpc.errors import Errors
from authy_grpc.rpc.observe import Observe
from authy_grpc.rpc.peer import Peers, by_socket
from authy_grpc.rpc.receive import Receive
from authy_grpc.rpc.streams import Streams
from authy_grpc.rpc.validate import Validate
from authy_grpc.server import Server, Service
from authy_grpc.service.caller import Caller, Device, Gateway, Operator, Site

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Failure:
    """What a client reads of an error."""

    code: str
    message: str
    reason: str
    metadata: Mapping[str, str]
    fields: tuple[str, ...]
    retry_seconds: float | None
    request_id: str

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> "Failure":
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
        info, bad, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        for detail in status.details if status else ():
            for message in (info, bad, retry):
                detail.Unpack(message)
        trailing = dict(error.trailing_metadata())
        return cls(
            error.code().name,
            error.details() or "",
            info.reason,
            dict(info.metadata),
            tuple(violation.field for violation in bad.field_violations),
            retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
            str(trailing.get("x-request-id", "")),
        )


@dataclass
class Transport:
    """A server, a channel to it, and all that is outside of it."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    output: io.StringIO = field(default_factory=io.StringIO)
    now: datetime = NOON
    credentials: dict[str, Caller] = field(default_factory=dict)
    endings: dict[str, asyncio.Event] = field(default_factory=dict)
    chain: Chain = field(init=False)
    streams: Streams = field(init=False)
    server: Server = field(init=False)
    channel: grpc.aio.Channel = field(init=False)
    port: int = 0

    def __post_init__(self) -> None:
        self.credentials |= {
            "ak_enroll": Site("app_1", "key_enroll", frozenset({Scope.ENROLL}), None),
            "ak_verify": Site("app_1", "key_verify", frozenset({Scope.VERIFY}), None),
            "ak_events": Site("app_1", "key_events", frozenset({Scope.EVENTS}), self.now + HOUR),
            "ak_none": Site("app_1", "key_none", frozenset(), None),
            "dt_active": Device("acc_1", "dev_active", "ses_1", held=False, expire_time=self.now + HOUR),
            "dt_held": Device("acc_1", "dev_held", "ses_2", held=True, expire_time=self.now + HOUR),
            "op_1": Operator(),
            "gw_1": Gateway(),
        }

    async def find(self, token: str) -> Caller | None:
        return self.credentials.get(token)

    @contextlib.asynccontextmanager
    async def ended(self, caller: Caller) -> AsyncIterator[asyncio.Event]:
        name = getattr(caller, "api_key_id", "") or getattr(caller, "device_id", "")
        yield self.endings.setdefault(name, asyncio.Event())

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]

    @property
    def metrics(self) -> str:
        return generate_latest(self.registry).decode()


Open = Callable[..., AbstractAsyncContextManager[Transport]]


@contextlib.asynccontextmanager
async def _open(
    *services: Service,
    stream_limits: Mapping[str, Any] | None = None,
    receive_limits: Mapping[str, Any] | None = None,
    **server: Any,
) -> AsyncIterator[Transport]:
    world = Transport()
    output = logs.output(world.output)
    log, lines = logs.build(output, lambda: world.now), logs.CallLines(output, lambda: world.now)
    world.streams = Streams(
        clock=lambda: world.now, random=os.urandom, ended=world.ended, **(stream_limits or {})
    )
    address = server.pop("address", by_socket)
    if isinstance(address, Forwarding):
        address = Peers(address, log, world.registry)
    world.chain = Chain(
        observe=Observe(log, lines, world.registry, os.urandom),
        errors=Errors(log, abort_timeout=timedelta(milliseconds=200)),
        auth=Auth(world.find, NEEDS, address),
        receive=Receive(address=address, **(receive_limits or {})),
        validate=Validate(),
    )
    options: dict[str, Any] = {"listen": "127.0.0.1:0", "grace": timedelta(seconds=5)} | server
    world.server = Server(
        chain=world.chain, streams=world.streams, services=services, address=address, **options
    )
    world.port = await world.server.start()
    target = options["listen"] if world.port == 1 else f"127.0.0.1:{world.port}"
    try:
        async with grpc.aio.insecure_channel(target, connect.options(secure=False)) as channel:
            world.channel = channel
            yield world
    finally:
        await world.server.stop(now=True)


@pytest.fixture
def transport() -> Open:
    """Opens a server with the services given."""
    return _open


@pytest.fixture
def failure() -> Callable[[grpc.aio.AioRpcError], Failure]:
    """Reads an error as a client does."""
    return Failure.of
