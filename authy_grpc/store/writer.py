"""Group commit: works that wait share one transaction in the writer's thread, and are answered after it.

A work decides before it writes: one that raises a `Refusal` has changed nothing, so the group goes
on without it. A refusal that leaves a trace is returned instead, and raised to the caller after
the commit. Whatever else goes wrong rolls the group back, and each work runs again alone.
"""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from authy_grpc.domain.errors import BackendUnavailable, RateLimited, Refusal
from authy_grpc.store import tally
from authy_grpc.store.commit import OutcomeUnknown, announce, was_committed
from authy_grpc.store.fair import Turns, has_its_share
from authy_grpc.store.faults import contended, may_be_of_notify, out_of_reach
from authy_grpc.store.groups import Groups
from authy_grpc.store.tx import Tools, Tx

Work = Callable[[Tx], Any]
# Takes the items of all calls that wait, answers each in order: a value, a refusal or an exception.
Batch = Callable[[Tx, Sequence[Any]], Sequence[Any]]
# The credentials that a commit changed; None where it recorded no events at all.
Woke = Set[str] | None

# Of all callers, and of one: another still finds room.
MOST_WAITING, MOST_WAITING_OF_ONE = 10_000, 5_000
_TRY_AGAIN = timedelta(seconds=1)
_GROUP = 64
_RUNS_ALONE = 3
_DEADLOCK = "40P01"
_GIVE_WAY_SECONDS = 0.05
_MUTE_SECONDS = 60.0
_CHANGE = re.compile(
    r"\b(INSERT|REPLACE)\s+INTO\b|\bDELETE\s+FROM\b|(?<!FOR )(?<!KEY )\bUPDATE\b|\b(CREATE|DROP|ALTER)\s",
    re.IGNORECASE,
)


def _ignore(*_: object) -> None:
    """Nobody asks."""


class ChangedAndRaised(Exception):
    """A work changed rows and then raised: its group would have kept the change."""


class _GivenUp(Exception):
    """A caller of the group was told that nothing was decided, so it must not be committed."""


@dataclass(slots=True, eq=False)
class Job:
    """One caller's work, or its item of a batch.

    Attributes:
        accounts: whether it locks an account, before any link: those go first.
        by: the caller whose turn it takes; empty for the service itself.
        committing: whether its commit is under way; from then on the outcome has to be waited for.
        given_up: whether its caller was told that nothing was decided.
    """

    future: asyncio.Future[Any]
    work: Work | None = None
    batch: Batch | None = None
    item: Any = None
    accounts: bool = False
    by: str = ""
    committing: bool = False
    given_up: bool = False

    def answer(self, outcome: Any) -> None:
        """Give the caller its outcome, in the loop; one that has gone gets none."""
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Writer:
    """A thread that runs what is written, in groups.

    Args:
        engine: whose transactions take the write lock at once.
        loop: where callers wait.
        postgres: whether it is PostgreSQL, which tells other servers, and says what became of a commit.
        tools: what works are handed.
        wake: called in the loop after a commit that recorded events, before any caller is answered,
            with the credentials that changed.
        broken: called in the loop with a fault of the database by which nothing can be written.
        committed: called in the thread after each commit, with how many works it held and what they counted.
        guard: whether to watch that works which raise have changed nothing (in tests).
    """

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        *,
        postgres: bool,
        tools: Tools | None = None,
        wake: Callable[[Set[str]], None],
        broken: Callable[[DBAPIError], None] = _ignore,
        committed: Callable[[int, tally.Tally], None] = _ignore,
        guard: bool = False,
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._postgres = postgres
        self._tools = tools
        self._wake = wake
        self._broken = broken
        self._committed = committed
        self._fault: DBAPIError | None = None
        # Until when nothing is told to other servers, since that failed: they poll.
        self._mute = 0.0
        self._jobs: Turns[Job] = Turns()
        self._ready = threading.Condition()
        self._stopping = False
        self._groups = Groups(_GROUP)
        self._changes = 0
        self._guard = guard
        if guard:
            event.listen(engine, "before_cursor_execute", self._count_change)
        self._thread = threading.Thread(target=self._run, name="authy-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Add a job to the queue.

        Raises:
            BackendUnavailable: too much waits already, or the writer has stopped.
            RateLimited: too much of this caller's waits.
        """
        with self._ready:
            if self._stopping or len(self._jobs) >= MOST_WAITING:
                raise BackendUnavailable
            if job.by and has_its_share(self._jobs, job.by, MOST_WAITING_OF_ONE):
                raise RateLimited(_TRY_AGAIN)
            self._jobs.add(job.by, job)
            self._groups.came(time.monotonic())
            if len(self._jobs) in (1, self._groups.expected):
                self._ready.notify()

    def forget(self, job: Job) -> None:
        """Take a job back whose caller has gone; one that has begun is finished, or others would suffer."""
        with self._ready:
            self._jobs.remove(job.by, job)

    def give_up(self, job: Job) -> bool:
        """Take a job back, so that its caller may be told that nothing was decided.

        Returns:
            False where its commit is under way: it cannot be told yet.
        """
        with self._ready:
            if job.committing:
                return False
            job.given_up = True
            self._jobs.remove(job.by, job)
            return True

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        while group := self._take():
            self._settle(group, *self._decide(group))
            with self._ready:
                self._groups.ends(len(self._jobs), time.monotonic())

    def _take(self) -> list[Job]:
        with self._ready:
            while True:
                self._ready.wait_for(lambda: self._jobs or self._stopping)
                if self._stopping or not (pause := self._groups.pause(len(self._jobs), time.monotonic())):
                    break
                # They may all be taken back meanwhile.
                self._ready.wait(pause)
            group = [self._jobs.pop() for _ in range(min(_GROUP, len(self._jobs)))]
            self._groups.begins(len(group), time.monotonic())
            return group

    def _decide(self, group: list[Job]) -> tuple[list[Any], Woke]:
        if len(group) > 1:
            # Whose fault an error is shows when each runs alone.
            with suppress(Exception):
                return self._attempt(group)
        alone = [self._alone(job) for job in group]
        changes = [woke for _, woke in alone if woke is not None]
        return [outcome for outcome, _ in alone], frozenset().union(*changes) if changes else None

    def _alone(self, job: Job) -> tuple[Any, Woke]:
        """Another server may have got in between: a few more runs, then the error is the answer."""
        error: Exception = BackendUnavailable()
        for _ in range(_RUNS_ALONE):
            if job.future.done():
                break
            try:
                outcomes, woke = self._attempt([job])
                return outcomes[0], woke
            except DBAPIError as fault:
                error = _unavailable(fault) if out_of_reach(fault) else fault
                self._fault = fault if out_of_reach(fault) and not contended(fault) else None
                if getattr(fault.orig, "sqlstate", None) == _DEADLOCK:
                    # Who waited for this one's rows is only being woken, and would be too late again.
                    time.sleep(_GIVE_WAY_SECONDS)
            except Exception as fault:
                return fault, None
        return error, None

    def _attempt(self, group: list[Job]) -> tuple[list[Any], Woke]:
        """One transaction; whatever it raises, nothing was committed."""
        xid = None
        try:
            with self._engine.begin() as connection:
                tx = Tx(connection, self._tools)
                tx.asks_xid = self._postgres
                outcomes = self._outcomes(tx, group)
                tx.write_recorded()
                woke: Woke = tx.info.pop("woke", None)
                counted = tally.take(tx)
                wakes = woke is not None and time.monotonic() >= self._mute
                xid = announce(tx, wakes=wakes) if self._postgres else None
                self._begin_commit(group)
        except BaseException as error:
            if isinstance(error, DBAPIError) and may_be_of_notify(error):
                # It is run again without, as others poll.
                self._mute = time.monotonic() + _MUTE_SECONDS
            if xid is not None and isinstance(error, DBAPIError) and error.connection_invalidated:
                try:
                    if was_committed(self._engine, xid):
                        self._observe(group, counted)
                        return outcomes, woke
                except OutcomeUnknown as unknown:
                    return [_unavailable(unknown) for _ in group], woke
            self._end_commit(group)
            raise
        self._observe(group, counted)
        return outcomes, woke

    def _observe(self, group: list[Job], counted: tally.Tally) -> None:
        # What was committed stays so, whatever becomes of its figures.
        with suppress(Exception):
            self._committed(len(group), counted)

    def _begin_commit(self, group: list[Job]) -> None:
        with self._ready:
            if any(job.given_up for job in group):
                raise _GivenUp
            for job in group:
                job.committing = True

    def _end_commit(self, group: list[Job]) -> None:
        with self._ready:
            for job in group:
                job.committing = False

    def _outcomes(self, tx: Tx, group: list[Job]) -> list[Any]:
        outcomes: dict[int, Any] = {}
        batches: dict[Batch, list[int]] = {}
        live = [index for index, job in enumerate(group) if not job.future.done()]
        live.sort(key=lambda index: not group[index].accounts)
        for index in live:
            if (batch := group[index].batch) is not None:
                batches.setdefault(batch, []).append(index)
        for index in live:
            job = group[index]
            if index in outcomes:
                continue
            if job.batch is not None:
                indexes = batches[job.batch]
                answers = _run(job.batch, tx, [group[each].item for each in indexes])
                outcomes.update(zip(indexes, answers, strict=True))
            elif job.work is not None:
                outcomes[index] = self._outcome(tx, job.work)
            tx.next_work()
        return [outcomes.get(index) for index in range(len(group))]

    def _outcome(self, tx: Tx, work: Work) -> Any:
        before = self._changes, tx.recorded
        try:
            return _run(work, tx)
        except Refusal as refusal:
            if self._guard and (self._changes, tx.recorded) != before:
                raise ChangedAndRaised(type(refusal).__name__) from refusal
            tx.drop_recorded(before[1])
            return refusal

    def _count_change(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if _CHANGE.search(statement):
            self._changes += 1

    def _settle(self, group: list[Job], outcomes: list[Any], woke: Woke) -> None:
        """One wake-up of the loop for all."""
        fault, self._fault = self._fault, None

        def settle() -> None:
            try:
                if fault is not None:
                    self._broken(fault)
                if woke is not None:
                    self._wake(woke)
            finally:
                # A fault of those who are woken is not that of those who wait.
                for job, outcome in zip(group, outcomes, strict=True):
                    job.answer(outcome)

        # Where the loop has been closed nobody waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle)


def _run(work: Callable[..., Any], *given: Any) -> Any:
    try:
        return work(*given)
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        # It would end the writer's thread, or mean something else to the loop.
        raise RuntimeError(f"{type(error).__name__} in a work") from error


def _unavailable(cause: Exception) -> BackendUnavailable:
    error = BackendUnavailable()
    error.__cause__ = cause
    return error
