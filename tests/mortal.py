"""Processes that are killed, and a service in one, which is started again at the same address."""

import asyncio
import multiprocessing
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from authy_grpc.bootstrap import World, build
from authy_grpc.home import Secrets
from authy_grpc.settings import Settings
from tests.clock import TurnedClock
from tests.harness import ORIGIN, Carrier, Service
from tests.threads import PATIENCE

# To import the service takes 2 s: it is done once, in the process of which all lives are forks.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.mortal", "tests.gateway.halting"])


class Life:
    """A process that has begun, and a line to it.

    Args:
        target: what it runs, with its end of the line and what is given.
    """

    def __init__(self, target: Callable[..., None], *given: Any) -> None:
        self._line, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=target, args=(theirs, *given), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid or 0

    def tell(self, word: Any) -> None:
        """Say something to it."""
        self._line.send(word)

    async def word(self) -> Any:
        """The next thing that it says."""
        return await asyncio.to_thread(self._next)

    def _next(self) -> Any:
        if not self._line.poll(PATIENCE):
            raise TimeoutError("the process says nothing")
        return self._line.recv()

    def kill(self) -> None:
        """End it, with SIGKILL, and wait until it is dead."""
        self._process.kill()
        self._process.join(PATIENCE)
        self._process.close()
        self._line.close()


@dataclass
class Mortal:
    """What was a service in the test's own process, and lives in others from now on.

    Clients, phones and channels of that service stay good.

    Attributes:
        service: its database, secrets and address. A life begins with what its clock says, and stays there
            until it is told.
        log: a file that every life writes to.
    """

    service: Service
    log: Path
    _life: Life | None = field(default=None, init=False)

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
        service = self.service
        self._life = Life(_live, self.log, service.url, service.secrets, service.target, service.clock())
        await self._life.word()

    @property
    def pid(self) -> int:
        """The number of the process that lives."""
        return self._life.pid if self._life is not None else 0

    async def tell_time(self) -> None:
        """Let its clock be what the service's is, and its workers do what is due."""
        assert self._life is not None
        self._life.tell(self.service.clock())
        await self._life.word()

    def kill(self) -> None:
        """End it, with SIGKILL, and wait until it is dead; where nothing lives there is nothing to do."""
        if self._life is not None:
            self._life.kill()
        self._life = None


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
        clock = TurnedClock()
        clock.now = now
        world = World(clock=clock, sender=Carrier(), log_stream=stream)
        core = await build(settings, secrets, world)
        await core.start()
        line.send(None)
        # It does not outlive the tests.
        with suppress(EOFError):
            while True:
                clock.now = await asyncio.to_thread(line.recv)
                await core.workers.run_due()
                line.send(None)
        await core.stop(now=True)
