"""Owns the writer's thread: group commit. Works that wait share one transaction and are answered after it.

A work decides before it writes: one that raises a `Refusal` has changed nothing, so the group goes
on without it. A refusal that leaves a trace is returned instead, and raised to the caller after
the commit. Whatever else goes wrong rolls the group back, and each work runs again alone.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session

from authy_grpc.domain.errors import BackendUnavailable, Refusal

Work = Callable[[Session], Any]
# Takes the items of all calls that wait, answers each in order: a value, a refusal or an exception.
Batch = Callable[[Session, Sequence[Any]], Sequence[Any]]

_GROUP = 64
_WAITING = 10_000
_RUNS_ALONE = 3


class ChangedAndRaised(Exception):
    """A work changed rows and then raised: its group would have kept the change."""


@dataclass(slots=True, eq=False)
class Job:
    """One caller's work, or its item of a batch."""

    future: asyncio.Future[Any]
    work: Work | None = None
    batch: Batch | None = None
    item: Any = None


class Writer:
    """One lane of writes.

    Args:
        engine: whose transactions take the write lock at once.
        loop: where callers wait.
        before_commit: called in the transaction when something woke watchers.
        after_commit: called in the loop when something woke watchers.
        guard: whether to watch that works which raise have changed nothing (in tests).
    """

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        *,
        before_commit: Callable[[Session], None],
        after_commit: Callable[[], None],
        guard: bool = False,
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._jobs: deque[Job] = deque()
        self._ready = threading.Condition()
        self._stopping = False
        self._changes = 0
        self._guard = guard
        if guard:
            event.listen(engine, "before_cursor_execute", self._count_change)
        self._thread = threading.Thread(target=self._run, name="authy-writer", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Add a job to the queue.

        Raises:
            BackendUnavailable: too much waits already, or the writer has stopped.
        """
        with self._ready:
            if self._stopping or len(self._jobs) >= _WAITING:
                raise BackendUnavailable
            self._jobs.append(job)
            if len(self._jobs) == 1:
                self._ready.notify()

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        while group := self._take():
            # A caller that has gone before its work began gets none done.
            if live := [job for job in group if not job.future.cancelled()]:
                self._settle(live, *self._attempt_group(live))

    def _take(self) -> list[Job]:
        with self._ready:
            while not self._jobs and not self._stopping:
                self._ready.wait()
            return [self._jobs.popleft() for _ in range(min(_GROUP, len(self._jobs)))]

    def _attempt_group(self, group: list[Job]) -> tuple[list[Any], bool]:
        try:
            if len(group) > 1:
                return self._transaction(group)
        except Exception:
            # Whose fault it is shows below.
            pass
        alone = [self._alone(job) for job in group]
        return [outcome for outcome, _ in alone], any(woke for _, woke in alone)

    def _alone(self, job: Job) -> tuple[Any, bool]:
        """Another server may have got in between: a few more runs, then the error is the answer."""
        error: Exception = BackendUnavailable()
        for _ in range(_RUNS_ALONE):
            try:
                outcomes, woke = self._transaction([job])
                return outcomes[0], woke
            except OperationalError as fault:
                error = BackendUnavailable()
                error.__cause__ = fault
            except DBAPIError as fault:
                error = fault
            except Exception as fault:
                return fault, False
        return error, False

    def _transaction(self, group: list[Job]) -> tuple[list[Any], bool]:
        with (
            self._engine.begin() as connection,
            Session(
                connection, autoflush=False, expire_on_commit=False, join_transaction_mode="rollback_only"
            ) as session,
        ):
            outcomes = self._outcomes(session, group)
            woke = bool(session.info.pop("woke", False))
            if woke:
                self._before_commit(session)
        return outcomes, woke

    def _outcomes(self, session: Session, group: list[Job]) -> list[Any]:
        outcomes: dict[int, Any] = {}
        batches: dict[Batch, list[int]] = {}
        for index, job in enumerate(group):
            if job.batch is not None:
                batches.setdefault(job.batch, []).append(index)
        for index, job in enumerate(group):
            if index in outcomes:
                continue
            if job.batch is not None:
                indexes = batches[job.batch]
                answers = job.batch(session, [group[each].item for each in indexes])
                outcomes.update(zip(indexes, answers, strict=True))
            elif job.work is not None:
                outcomes[index] = self._outcome(session, job.work)
            session.flush()
            session.expunge_all()
        return [outcomes[index] for index in range(len(group))]

    def _outcome(self, session: Session, work: Work) -> Any:
        changes = self._changes
        try:
            return work(session)
        except Refusal as refusal:
            if self._guard and (self._changes != changes or session.new or session.dirty or session.deleted):
                raise ChangedAndRaised(type(refusal).__name__) from refusal
            session.expunge_all()
            return refusal

    def _count_change(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "BEGIN", "WITH", "PRAGMA")):
            self._changes += 1

    def _settle(self, group: list[Job], outcomes: list[Any], woke: bool) -> None:
        """One wake-up of the loop for all."""

        def settle() -> None:
            for job, outcome in zip(group, outcomes, strict=True):
                if job.future.done():
                    continue
                if isinstance(outcome, Exception):
                    job.future.set_exception(outcome)
                else:
                    job.future.set_result(outcome)
            if woke:
                self._after_commit()

        self._loop.call_soon_threadsafe(settle)
