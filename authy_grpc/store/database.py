"""Runs transactions: `write` runs a plain function in a writer's thread, `read` in a reader's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.store import probe
from authy_grpc.store.engine import connect, truncate_wal
from authy_grpc.store.fair import FairQueue, in_slices
from authy_grpc.store.faults import Fault, kind, out_of_reach
from authy_grpc.store.look_ups import LookUps
from authy_grpc.store.tally import Tally
from authy_grpc.store.tx import Tools, Tx
from authy_grpc.store.writer import MOST_WAITING, Job, Writer

T = TypeVar("T")
Item = TypeVar("Item")

# How many reads run at once, by what they are. Of a caller's own look-ups and pages one caller never has all.
_OWN, _LOOK_UPS, _PAGES = 3, 4, 2
# How often a commit is waited for that was under way when its caller's time was up, and how long.
_COMMIT_WAITS = 40
_COMMIT_WAIT_SECONDS = 0.25


class Database:
    """The store of one process. Make it inside the running loop.

    Args:
        url: `sqlite:///…` or `postgresql://…`; its schema is up to date.
        tools: what works are handed; None where they bring their own.
        timeout: seconds after which a call that waits answers UNAVAILABLE.
        guard: see `Writer`.
    """

    def __init__(
        self, url: str, tools: Tools | None = None, *, timeout: float = 8.0, guard: bool = False
    ) -> None:
        self.url = url
        self.tools = tools
        self.postgres = not url.startswith("sqlite")
        # Called in the loop after a commit that recorded events here.
        self.on_events: Callable[[], None] = _nothing
        # Called before, with the API keys, sessions and devices that have changed.
        self.on_credentials: Callable[[Set[str]], None] = _nothing
        # Called in the loop when nothing can be written any more, with the fault; once it can be, with None.
        self.on_writable: Callable[[Exception | None], None] = _nothing
        self.writable = True
        # Called in some thread after a commit, with how many works it held and what they counted.
        self.on_commit: Callable[[int, Tally], None] = _nothing
        # Called in some thread with each error of the database.
        self.on_error: Callable[[Fault], None] = _nothing
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        readers = _OWN + _LOOK_UPS + _PAGES
        self._reads = connect(url, writes=False, connections=readers)
        self._former = self._reads.pool
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="authy-reader")
        # What every call needs, such as credentials, waits for no caller; look-ups wait for no pages.
        # Of the service's own so many wait as of all together: nobody is told of a rate that is not theirs.
        self._own = FairQueue(_OWN, _OWN, most_waiting=MOST_WAITING)
        self._look_ups = LookUps(
            self._read, self._readers, at_once=2 if self.postgres else 1, slots=_LOOK_UPS
        )
        self._pages = FairQueue(_PAGES, _PAGES - 1)
        self._reading = 0
        # What was deleted before this server began may stand in the log, too.
        self._log_holds_deleted = not self.postgres
        self._closed = False
        # One: with two on PostgreSQL groups were smaller, and waited for each other's rows.
        writes = connect(url, writes=True, connections=1)
        for engine in (self._reads, writes):
            event.listen(engine, "handle_error", self._failed)
        # Of the server's process that runs what is written here, by which others are told.
        self._pid: int | None = None
        if self.postgres:
            event.listen(writes, "connect", self._connected)
        self._writer = Writer(
            writes,
            self._loop,
            postgres=self.postgres,
            tools=tools,
            wake=self._woke,
            broken=self._broke,
            committed=lambda works, counted: self.on_commit(works, counted),
            guard=guard,
        )

    async def write(self, work: Callable[[Tx], T | Exception], *, accounts: bool = False, by: str = "") -> T:
        """Run a work in a transaction and answer after its commit.

        A caller that is cancelled before its work began gets none done. One whose time is up is
        told so only when its work can no longer be committed; a commit that is under way by then
        is waited for.

        Args:
            work: does no I/O but SQL and decryption, may be run again, and decides before it
                writes. A `Refusal` that it raises has changed nothing; an exception that it returns
                is raised after the commit.
            accounts: whether it locks an account, before any link. Of works that share a transaction those
                go first: one that waited for an account while another of them holds a link could wait for
                itself by way of another server.
            by: the caller whose turn it takes: an application or account. Empty for the service itself.

        Raises:
            BackendUnavailable: the database is out of reach; nothing was decided. (Where it went
                away in the midst of a commit and did not come back in seconds, nobody knows.)
        """
        outcome: T = await self._submit(Job(self._loop.create_future(), work=work, accounts=accounts, by=by))
        return outcome

    async def write_batched(
        self,
        batch: Callable[[Tx, Sequence[Item]], Sequence[T | Exception]],
        item: Item,
        *,
        accounts: bool = False,
        by: str = "",
    ) -> T:
        """Run an item together with all others that wait for the same batch, as `write` does.

        Args:
            batch: one bound method; answers each item, in order.
            item: what it is called with.
            accounts: as in `write`.
            by: as in `write`.
        """
        job = Job(self._loop.create_future(), batch=batch, item=item, accounts=accounts, by=by)
        outcome: T = await self._submit(job)
        return outcome

    async def read(self, work: Callable[[Tx], T], *, by: str = "", pages: bool = False) -> T:
        """Run a work that only reads, in a transaction that sees one moment; look-ups that wait share one.

        Args:
            work: does no I/O but SQL and decryption, and may be run again.
            by: the caller whose turn it takes: an application or account. Empty for the service itself.
            pages: whether it may read many rows: look-ups do not wait behind such.

        Raises:
            BackendUnavailable: the database is out of reach.
            RateLimited: the caller has too many reads waiting.
        """
        if by and not pages:
            async with self._room():
                return await self._look_ups.read(work, by)
        async with self._room(), (self._pages if pages else self._own).turn(by):
            return await self._loop.run_in_executor(self._readers, self._read, work)

    async def page(
        self, work: Callable[[Tx], Sequence[Item]], make: Callable[[Item], T], *, by: str
    ) -> list[T]:
        """Read many rows, as `read` does, and make something of each, giving way to all else meanwhile.

        Args:
            work: reads them.
            make: opens one.
            by: the caller whose turn it takes.

        Raises:
            BackendUnavailable: the database is out of reach.
            RateLimited: the caller has too many pages waiting.
        """
        async with self._room(), self._pages.turn(by):
            rows = await self._loop.run_in_executor(self._readers, self._read, work)
            return await in_slices(make, rows)

    @asynccontextmanager
    async def _room(self) -> AsyncIterator[None]:
        """So many reads wait, and so long each, and no more."""
        if self._closed or self._reading >= MOST_WAITING:
            raise BackendUnavailable
        self._reading += 1
        try:
            # Not `wait_for`: in 3.11 that takes an answer for a cancellation that comes with it.
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            raise BackendUnavailable from error
        except DBAPIError as error:
            if out_of_reach(error):
                raise BackendUnavailable from error
            raise
        finally:
            self._reading -= 1

    def deleted(self) -> None:
        """Note that something was deleted of which nothing shall be left: `truncate_log` sees to it."""
        self._log_holds_deleted = not self.postgres

    @property
    def log_holds_deleted(self) -> bool:
        """Whether SQLite's write-ahead log may hold what was deleted here."""
        return self._log_holds_deleted

    async def truncate_log(self) -> int:
        """Empty SQLite's write-ahead log where it may hold what was deleted; answers whether that was done.

        Where somebody reads an earlier state it stays as it is, for another try.
        """
        if not self._log_holds_deleted:
            return 0
        # Before it is done: what is deleted meanwhile asks for another.
        self._log_holds_deleted, done = False, False
        try:
            done = await self._loop.run_in_executor(self._readers, truncate_wal, self._reads)
        finally:
            self._log_holds_deleted |= not done
        return int(done)

    async def probe(self) -> int:
        """Ask whether the database can be written: lightly, and after a fault by a true write; answers 0.

        A standby may follow its primary late or no more, so readers, too, are connected anew after a fault.
        """
        try:
            if await self.write(probe.writes if not self.writable else probe.may_write):
                if not self.writable:
                    self._renew_reads()
                    self._set_writable(None)
            else:
                self._set_writable(BackendUnavailable())
        except (BackendUnavailable, DBAPIError) as error:
            self._set_writable(error)
        return 0

    @property
    def waiting(self) -> int:
        """How many works wait to be written."""
        return self._writer.waiting

    async def close(self) -> None:
        """Finish what waits, then close all connections."""
        self._closed = True
        await self._loop.run_in_executor(None, self._writer.stop)
        await self._loop.run_in_executor(None, self._readers.shutdown)
        self._renew_reads()
        self._former.dispose()

    def _renew_reads(self) -> None:
        """Have reads connect anew."""
        # What is in use comes back to the pool that it is of, which closes nothing by itself.
        self._former.dispose()
        self._former = self._reads.pool
        self._reads.dispose()

    async def _submit(self, job: Job) -> Any:
        self._writer.put(job)
        timer = self._loop.call_later(self._timeout, self._give_up, job, _COMMIT_WAITS)
        try:
            return await job.future
        except asyncio.CancelledError:
            self._writer.forget(job)
            raise
        finally:
            timer.cancel()

    def _give_up(self, job: Job, waits: int) -> None:
        if job.future.done():
            return
        if self._writer.give_up(job) or not waits:
            job.future.set_exception(BackendUnavailable())
        else:
            self._loop.call_later(_COMMIT_WAIT_SECONDS, self._give_up, job, waits - 1)

    def _broke(self, fault: DBAPIError) -> None:
        self._set_writable(fault)

    def _failed(self, context: Any) -> None:
        # What is raised is the error itself, whatever becomes of its figure.
        with suppress(Exception):
            self.on_error(kind(context.original_exception))

    def _set_writable(self, fault: Exception | None) -> None:
        if self.writable == (fault is None):
            return
        self.writable = fault is None
        self.on_writable(fault)

    def is_own(self, pid: int) -> bool:
        """Whether it was a commit from here of which a process of PostgreSQL tells: that is known already."""
        return pid == self._pid

    def _connected(self, connection: Any, record: Any) -> None:
        self._pid = None if connection.pooled else connection.info.backend_pid

    def _woke(self, credentials: Set[str]) -> None:
        try:
            if credentials:
                self.on_credentials(credentials)
        finally:
            self.on_events()

    def _read(self, work: Callable[[Tx], T]) -> T:
        try:
            return self._read_once(work)
        except DBAPIError as error:
            # A connection may have died while nobody used it.
            if not error.connection_invalidated:
                raise
            return self._read_once(work)

    def _read_once(self, work: Callable[[Tx], T]) -> T:
        with self._reads.begin() as connection:
            tx = Tx(connection, self.tools)
            return work(tx)


def _nothing(*_: object) -> None:
    """Nobody listens yet."""
