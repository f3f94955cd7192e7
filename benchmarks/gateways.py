"""Serves HTTP in the server's process: the gateway as `up` has it, one that calls, and an empty one."""

import asyncio
from collections.abc import AsyncIterator

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from authy_grpc.bootstrap import Core, real_clock
from authy_grpc.outbound.web import Addresses, Web
from gateway.app import build
from gateway.channels import Channels
from gateway.server import HttpServer
from gateway.settings import GatewaySettings
from gateway.webhooks import Deliverer

# What the load generator calls them.
UP, HOP, NOTHING = "up", "hop", "nothing"
EMPTY_PATH, STREAM_PATH = "/empty", "/stream"
_ANY = "127.0.0.1:0"


class Gateways:
    """All of them, in the process of a core.

    Args:
        core: has been started.
        port: where it serves gRPC.
        key: the gateway's.
    """

    def __init__(self, core: Core, port: int, key: str) -> None:
        settings = GatewaySettings(http_listen=_ANY, gateway_key=SecretStr(key))
        local = core.server.local()
        self._channel = Channels(f"127.0.0.1:{port}")
        self._servers = {
            UP: HttpServer(build(local, settings, log=core.log, registry=core.registry), _ANY),
            HOP: HttpServer(build(self._channel, settings, log=core.log), _ANY),
            NOTHING: HttpServer(_nothing(), _ANY),
        }
        web = Web(Addresses(dev=True), real_clock)
        self._deliverer = Deliverer(local, key, web, core.log)

    async def start(self) -> dict[str, int]:
        """Serve; answers the ports."""
        return {name: await server.start() for name, server in self._servers.items()}

    def deliver(self) -> None:
        """Begin to post, as `up` does."""
        self._deliverer.start()

    async def stop(self) -> None:
        """Wait for nothing."""
        await self._deliverer.stop(now=True)
        for server in self._servers.values():
            await server.stop(now=True)
        await self._channel.close()


def _nothing() -> Starlette:
    """One route that answers at once, and one whose stream brings nothing but its first comment."""

    async def empty(_: Request) -> Response:
        return Response(b"{}", media_type="application/json")

    async def silence() -> AsyncIterator[bytes]:
        yield b":\n\n"
        await asyncio.Event().wait()

    async def stream(_: Request) -> Response:
        return StreamingResponse(silence(), media_type="text/event-stream")

    return Starlette(routes=[Route(EMPTY_PATH, empty, methods=["POST"]), Route(STREAM_PATH, stream)])
