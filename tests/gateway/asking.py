"""How a test asks the gateway: in process, or over a socket as a browser does."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from starlette.types import ASGIApp

from authy_grpc import logs
from gateway.app import build
from gateway.settings import GatewaySettings
from tests.clock import TurnedClock

JSON = {"content-type": "application/json"}


def settings(**given: Any) -> GatewaySettings:
    """Settings of a gateway, and not those of the environment."""
    return GatewaySettings(**{"gateway_key": "", "trusted_proxies": "", "cors_origins": "", **given})


@dataclass
class Gateway:
    """A gateway in this process, and what it logs."""

    app: ASGIApp
    log: io.StringIO
    registry: CollectorRegistry
    client: httpx.AsyncClient

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    @property
    def metrics(self) -> str:
        """What Prometheus would read."""
        return generate_latest(self.registry).decode()


@asynccontextmanager
async def gateway(channel: Any, given: GatewaySettings | None = None, **more: Any) -> AsyncIterator[Gateway]:
    """A gateway over a channel, asked without a socket."""
    log, registry = io.StringIO(), CollectorRegistry()
    told = logs.build(log, TurnedClock())
    app = build(channel, given or settings(), log=told, registry=registry, **more)
    transport = httpx.ASGITransport(app, client=("203.0.113.7", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield Gateway(app, log, registry, client)


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """The port at which a real server serves an application."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http="httptools", log_config=None, access_log=False, lifespan="off",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.ensure_future(server.serve())
    await server.up.wait()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """A server that says when it is up, and leaves the signals to the tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()

    def capture_signals(self) -> Any:
        return nullcontext()


def fields(response: httpx.Response) -> list[str]:
    """The fields that an error names."""
    return [
        violation["field"]
        for detail in response.json()["details"]
        for violation in detail.get("fieldViolations", ())
    ]


def reason(response: httpx.Response) -> str:
    """The reason of an error."""
    return next((str(each["reason"]) for each in response.json()["details"] if "reason" in each), "")


@dataclass
class Event:
    """One server-sent event."""

    kind: str = "message"
    id: str = ""
    data: Any = None
    comments: int = field(default=0, compare=False)


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    """The events of a stream, read as the standard says; one that has only comments too."""
    made, data = Event(), list[str]()
    async for line in response.aiter_lines():
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            made.data = json.loads("\n".join(data)) if data else None
            yield made
            made, data = Event(), []
        elif name == "":
            made.comments += 1
        elif name == "data":
            data.append(value)
        elif name == "id":
            made.id = value
        elif name == "event":
            made.kind = value
