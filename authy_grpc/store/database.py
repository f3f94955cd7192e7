"""Owns transactions: `write` runs a plain function in a writer's thread, `read` in a reader's."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from zlib import crc32

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session as Session

from authy_grpc.domain.errors import BackendUnavailable, Refusal
from authy_grpc.store.engine import connect
from authy_grpc.store.writer import Job, Writer

T = TypeVar("T")
Item = TypeVar("Item")

CHANNEL = "authy_grpc"
_POSTGRES_LANES = 4
_READERS = 4


class Database:
    """The store of one process. Make it inside the running loop.

    Args:
        url: `sqlite:///…` or `postgresql://…`; its schema is up to date.
        on_events: called in the loop after a commit that recorded events here.
        timeout: seconds after which a call that waits answers UNAVAILABLE.
        guard: see `Writer`.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 8.0,
        guard: bool = False,
    ) -> None:
        self.url = url
        self.postgres = not url.startswith("sqlite")
        # Called in the loop after a commit that recorded events here.
        self.on_events: Callable[[], None] = _nothing
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._reads = connect(url, writes=False, connections=_READERS)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="authy-reader")
        self._lanes = [
            Writer(
                connect(url, writes=True, connections=1),
                self._loop,
                before_commit=self._notify,
                after_commit=lambda: self.on_events(),
                guard=guard,
            )
            for _ in range(_POSTGRES_LANES if self.postgres else 1)
        ]

    async def write(self, work: Callable[[Session], T | Refusal], lane: str = "") -> T:
        """Run a work in a transaction and answer after its commit.

        Args:
            work: does no I/O but SQL and decryption, may be run again, and decides before it
                writes. A `Refusal` that it raises has changed nothing; one that it returns is
                raised after the commit.
            lane: works with the same lane run one after another.

        Raises:
            BackendUnavailable: the database is out of reach; nothing was decided.
        """
        outcome: T = await self._submit(Job(self._loop.create_future(), work=work), lane)
        return outcome

    async def write_batched(
        self, batch: Callable[[Session, Sequence[Item]], Sequence[T | Exception]], item: Item, lane: str = ""
    ) -> T:
        """Run an item together with all others that wait for the same batch, as `write` does.

        Args:
            batch: one bound method; answers each item, in order.
            item: what it is called with.
            lane: as in `write`.
        """
        outcome: T = await self._submit(Job(self._loop.create_future(), batch=batch, item=item), lane)
        return outcome

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run a work that only reads, in a transaction of its own.

        Raises:
            BackendUnavailable: the database is out of reach.
        """
        try:
            return await asyncio.wait_for(
                self._loop.run_in_executor(self._readers, self._read, work), self._timeout
            )
        except (DBAPIError, TimeoutError) as error:
            raise BackendUnavailable from error

    async def close(self) -> None:
        """Finish what waits, then close all connections."""
        for lane in self._lanes:
            await self._loop.run_in_executor(None, lane.stop)
        self._readers.shutdown()
        self._reads.dispose()

    async def _submit(self, job: Job, lane: str) -> Any:
        self._lanes[crc32(lane.encode()) % len(self._lanes)].put(job)
        try:
            outcome = await asyncio.wait_for(job.future, self._timeout)
        except TimeoutError as error:
            raise BackendUnavailable from error
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _read(self, work: Callable[[Session], T]) -> T:
        with self._reads.begin() as connection, Session(connection, autoflush=False) as session:
            return work(session)

    def _notify(self, session: Session) -> None:
        if self.postgres:
            session.connection().execute(text(f"SELECT pg_notify('{CHANNEL}', '')"))


def _nothing() -> None:
    """Nobody listens yet."""
