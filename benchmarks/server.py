"""The server's process: the service as it is, and beside it a server that does nothing but gRPC.

It is told what to do by a line of JSON on stdin, and ends when stdin does.
"""

import asyncio
import json
import os
import resource
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import uvloop

from authy_grpc.bootstrap import Core, World, build, real_clock
from authy_grpc.domain.application import Scope
from authy_grpc.home import Secrets
from authy_grpc.outbound.sms.sender import Message
from authy_grpc.rpc import auth
from authy_grpc.rpc.access import Need
from authy_grpc.server import OPTIONS, Service
from authy_grpc.service.caller import Site
from authy_grpc.settings import Settings
from authy_grpc.v1.verification_pb2 import VerifyCodeRequest, VerifyCodeResponse
from benchmarks.gateways import Gateways

EMPTY, BARE, CONTROL = "benchmarks.Empty", "benchmarks.Bare", "benchmarks.Control"
ORIGIN = "https://authy.example"
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Clock:
    """The time, and what it was turned ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """The time now."""
        return real_clock() + self.ahead


class Carrier:
    """Takes texts, and drops them."""

    async def send(self, message: Message) -> None:
        """Drop one."""


class Control:
    """What the load generator asks of the server's process."""

    def __init__(self, core: Core, clock: Clock, gateways: Gateways | None) -> None:
        self._clock = clock
        self._gateways = gateways
        self._shout: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commits: float = 0
        self._wake = core.database.on_events
        core.database.on_events = self._committed

    async def do(self, raw: bytes, context: Any) -> bytes:
        """Do one thing, and tell how the process stands."""
        asked = json.loads(raw)
        self._clock.ahead += timedelta(seconds=asked.get("turn", 0))
        shouted = time.monotonic()
        if asked.get("shout"):
            self._shout.set_result(None)
            self._shout = asyncio.get_running_loop().create_future()
        if asked.get("deliver") and self._gateways is not None:
            self._gateways.deliver()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE  # noqa: ASYNC240
        told = {
            "now": self._clock().timestamp(),
            "cpu": usage.ru_utime + usage.ru_stime,
            "resident": resident,
            "committed": self._commits,
            "shouted": shouted,
        }
        return json.dumps(told).encode()

    async def watch(self, request: VerifyCodeRequest, context: Any) -> None:
        """Hold a stream, and write one message to it at each shout."""
        await context.send_initial_metadata(())
        while True:
            await asyncio.shield(self._shout)
            await context.write(VerifyCodeResponse())

    def _committed(self) -> None:
        self._commits = time.monotonic()
        self._wake()


async def _nothing(request: VerifyCodeRequest, context: Any) -> VerifyCodeResponse:
    return VerifyCodeResponse()


def _coding() -> dict[str, Any]:
    return {
        "request_deserializer": VerifyCodeRequest.FromString,
        "response_serializer": VerifyCodeResponse.SerializeToString,
    }


def _add(server: grpc.aio.Server, name: str, **handlers: Any) -> None:
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


def _add_empty(core: Core) -> None:
    """Serve a method that does nothing behind the interceptors of all others."""
    cast(dict[str, Need], auth.NEEDS)[f"/{EMPTY}/Call"] = Need(Site, (Scope.VERIFY,))

    def add(_: Any, server: grpc.aio.Server) -> None:
        handlers = {"Call": grpc.unary_unary_rpc_method_handler(_nothing, **_coding())}
        server.add_registered_method_handlers(EMPTY, handlers)

    core.server._services = [*core.server._services, Service(EMPTY, None, add)]


async def _bare(control: Control) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=OPTIONS)
    _add(
        server,
        BARE,
        Call=grpc.unary_unary_rpc_method_handler(_nothing, **_coding()),
        Watch=grpc.unary_stream_rpc_method_handler(control.watch, **_coding()),
    )
    _add(server, CONTROL, Do=grpc.unary_unary_rpc_method_handler(control.do))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


def main() -> None:
    """Serve until stdin ends, on the event loop that `serve` and `up` have."""
    told = json.loads(sys.stdin.readline())
    if told["core"] is not None:
        os.sched_setaffinity(0, {told["core"]})
    uvloop.run(_serve(told))


async def _serve(told: dict[str, Any]) -> None:
    clock = Clock()
    settings = Settings(database_url=told["url"], listen="127.0.0.1:0", public_url=ORIGIN, reflection=False)
    with open(told["log"], "w") as log:  # noqa: ASYNC230
        world = World(clock=clock, sender=Carrier(), log_stream=log)
        secrets = Secrets(**told["secrets"])
        core = await build(settings, secrets, world)
        _add_empty(core)
        port = await core.start()
        gateways = Gateways(core, port, secrets.gateway_key) if told["http"] else None
        ports = await gateways.start() if gateways is not None else {}
        bare, bare_port = await _bare(Control(core, clock, gateways))
        print(json.dumps({"core": port, "bare": bare_port, **ports}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        if gateways is not None:
            await gateways.stop()
        await bare.stop(None)
        await core.stop(now=True)


if __name__ == "__main__":
    main()
