"""Runs point reads in groups: those that wait share a hop to a thread and a transaction, not their errors."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from authy_grpc.domain.errors import BackendUnavailable, RateLimited
from authy_grpc.store.fair import Turns, group_of, has_its_share
from authy_grpc.store.faults import contended, out_of_reach
from authy_grpc.store.groups import Groups
from authy_grpc.store.tx import Tx

T = TypeVar("T")
Work = Callable[[Tx], Any]

_GROUP = 32
# Shorter than the writer's wait, as reads are.
_QUIET_SECONDS = 0.001
_LATE_SECONDS = 0.05
_MOST_WAITING = 2_000
_TRY_AGAIN = timedelta(seconds=1)


@dataclass(slots=True, eq=False)
class _Job:
    """One caller's read; in the end its value or error."""

    future: asyncio.Future[Any]
    work: Work
    by: str
    value: Any = None
    error: Exception | None = None

    def run(self, tx: Tx) -> None:
        """Read. A fault of the database is raised: it may have ended the transaction of all."""
        try:
            self.value = self.work(tx)
        except DBAPIError:
            raise
        except StopIteration as error:
            self.error = _named(error)
        except Exception as error:
            self.error = error
        except BaseException as error:
            self.error = _named(error)
        tx.next_work()

    def answer(self) -> None:
        """Give the caller its outcome, in the loop; one that has gone gets none."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)


@dataclass(slots=True, eq=False)
class _Group:
    """Reads of one transaction, and when they are late."""

    jobs: list[_Job]
    callers: set[str]
    timer: asyncio.TimerHandle | None = None
    late: bool = False


class LookUps:
    """Reads for callers, who take turns: a group has one read of each before it has a second of any.

    Args:
        run: runs a work in a transaction that sees one moment, in a thread.
        threads: where groups run.
        at_once: groups at once, so long as none is late.
        slots: groups at once. Of them a caller is in one less, so that another's need not wait for it.
        late: seconds after which a group is not waited for by the next.
    """

    def __init__(
        self,
        run: Callable[[Work], Any],
        threads: Executor,
        *,
        at_once: int,
        slots: int,
        late: float = _LATE_SECONDS,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._threads = threads
        self._at_once, self._slots, self._late = at_once, slots, late
        self._running: set[_Group] = set()
        self._of = Counter[str]()
        # In the order of their turns; who has nothing waiting is not there.
        self._waiting: OrderedDict[str, Turns[_Job]] = OrderedDict()
        self._groups = Groups(_GROUP, quiet=_QUIET_SECONDS)
        self._next: asyncio.Handle | None = None

    async def read(self, work: Callable[[Tx], T], by: str) -> T:
        """Run a work in the next group.

        Raises:
            BackendUnavailable: the database is out of reach.
            RateLimited: the caller has too many waiting.
        """
        group = group_of(by)
        waiting = self._waiting.get(group) or Turns()
        if has_its_share(waiting, by, _MOST_WAITING):
            raise RateLimited(_TRY_AGAIN)
        self._waiting[group] = waiting
        job = _Job(self._loop.create_future(), work, by)
        waiting.add(by, job)
        self._groups.came(self._loop.time())
        # At the end of this turn of the loop: what else comes in it is read together.
        self._look()
        try:
            outcome: T = await job.future
            return outcome
        except asyncio.CancelledError:
            # Who has gone counts for nothing: it must not be why the next is refused.
            waiting.remove(by, job)
            raise

    def _look(self, after: float = 0.0) -> None:
        """Look soon whether a group begins."""
        if self._next is not None:
            if after or not isinstance(self._next, asyncio.TimerHandle):
                return
            self._next.cancel()
        self._next = self._loop.call_later(after, self._begin) if after else self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._next = None
        while (
            sum(not each.late for each in self._running) < self._at_once and len(self._running) < self._slots
        ):
            now = self._loop.time()
            waiting = sum(map(len, self._waiting.values()))
            if not waiting:
                break
            if pause := self._groups.pause(waiting, now):
                self._look(pause)
                break
            jobs = self._take()
            if not jobs:
                break
            self._groups.begins(len(jobs), now)
            self._start(_Group(jobs, {group_of(job.by) for job in jobs}))

    def _take(self) -> list[_Job]:
        """The next group: one of each caller that may have one, then another."""
        jobs: list[_Job] = []
        share = max(1, self._slots - 1)
        may = [each for each in self._waiting if self._of[each] < share]
        while may and len(jobs) < _GROUP:
            for caller in may[: _GROUP - len(jobs)]:
                if self._waiting[caller]:
                    jobs.append(self._waiting[caller].pop())
                    self._waiting.move_to_end(caller)
            may = [each for each in may if self._waiting[each]]
        for caller in [each for each, left in self._waiting.items() if not left]:
            del self._waiting[caller]
        return jobs

    def _start(self, group: _Group) -> None:
        self._running.add(group)
        self._of.update(group.callers)
        try:
            self._threads.submit(self._read, group)
        except RuntimeError:
            # They have been stopped.
            for job in group.jobs:
                job.error = BackendUnavailable()
            self._settle(group)
        else:
            group.timer = self._loop.call_later(self._late, self._pass, group)

    def _pass(self, group: _Group) -> None:
        """The next need not wait for a group that is late."""
        group.late = True
        self._look()

    def _read(self, group: _Group) -> None:
        """In a thread: one transaction for all, or one for each where the database refuses one."""
        self._try(group.jobs)
        # Where the loop has been closed nobody waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, group)

    def _try(self, jobs: list[_Job]) -> None:
        def read(tx: Tx) -> None:
            for job in jobs:
                job.run(tx)

        try:
            self._run(read)
        except Exception as error:
            gone = isinstance(error, DBAPIError) and out_of_reach(error)
            # Others in the way, or a statement that took too long: that may be the fault of one.
            if len(jobs) > 1 and not (isinstance(error, DBAPIError) and gone and not contended(error)):
                for job in jobs:
                    if not job.future.done():
                        self._try([job])
                return
            for job in jobs:
                job.error = _unavailable(error) if gone else error

    def _settle(self, group: _Group) -> None:
        if group.timer is not None:
            group.timer.cancel()
        self._running.discard(group)
        self._of.subtract(group.callers)
        for caller in group.callers:
            if not self._of[caller]:
                del self._of[caller]
        self._groups.ends(sum(map(len, self._waiting.values())), self._loop.time())
        for job in group.jobs:
            job.answer()
        if self._waiting:
            self._look()


def _named(error: BaseException) -> RuntimeError:
    """What would end a thread, or mean something else to the loop, as an error."""
    return RuntimeError(f"{type(error).__name__} in a work")


def _unavailable(cause: Exception) -> BackendUnavailable:
    error = BackendUnavailable()
    error.__cause__ = cause
    return error
