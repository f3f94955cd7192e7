"""Owns a service in a process of its own, which is killed and started again at the same address."""

import asyncio
import multiprocessing
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from authy_grpc.bootstrap import World, build
from authy_grpc.home import Secrets
from authy_grpc.settings import Settings
from tests.harness import ORIGIN, Carrier, Service

# To import the service takes 2 s: it is done once, in the process of which all lives are forks.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.mortal"])


@dataclass
class Mortal:
    """What was a service in the test's own process, and lives in others from now on.

    Clients, phones and channels of that service stay good.

    Attributes:
        service: its database, secrets and address. A life begins with what its clock says, and stays there.
        log: a file that every life writes to.
    """

    service: Service
    log: Path
    _process: ForkServerProcess | None = field(default=None, init=False)
    _line: Connection | None = field(default=None, init=False)

    @classmethod
    @asynccontextmanager
    async def of(cls, service: Service, log: Path) -> AsyncIterator["Mortal"]:
        """Stop a service, and take its address: nobody else is given that while nothing lives there."""
        await service.core.stop(now=True)
        host, _, port = service.target.rpartition(":")
        mortal = cls(service, log)
        with socket.socket() as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind((host, int(port)))
            try:
                yield mortal
            finally:
                mortal.kill()

    async def start(self) -> None:
        """Begin a life: it serves when this returns."""
        line, theirs = _CONTEXT.Pipe()
        service = self.service
        given = (theirs, self.log, service.url, service.secrets, service.target, service.clock())
        process = _CONTEXT.Process(target=_live, args=given, daemon=True)
        process.start()
        theirs.close()
        self._process, self._line = process, line
        await asyncio.to_thread(line.recv)

    def kill(self) -> None:
        """End it, with SIGKILL, and wait until it is dead; where nothing lives there is nothing to do."""
        process, line = self._process, self._line
        if process is None or line is None:
            return
        process.kill()
        process.join()
        process.close()
        line.close()
        self._process = self._line = None


def _live(line: Connection, log: Path, url: str, secrets: Secrets, address: str, now: datetime) -> None:
    asyncio.run(_serve(line, log, url, secrets, address, now))


async def _serve(
    line: Connection, log: Path, url: str, secrets: Secrets, address: str, now: datetime
) -> None:
    settings = Settings(
        database_url=url,  # type: ignore[arg-type]
        listen=address,
        public_url=ORIGIN,
        dev=True,
        reflection=False,
    )
    with log.open("a", buffering=1) as stream:
        world = World(clock=lambda: now, sender=Carrier(), log_stream=stream)
        core = await build(settings, secrets, world)
        await core.start()
        line.send(None)
        # It does not outlive the tests.
        with suppress(EOFError):
            await asyncio.to_thread(line.recv)
        await core.stop(now=True)
