"""Runs the workers' steps when they are due, and one that failed again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from authy_grpc.worker.due import Due

_LONGEST_PAUSE = 30.0
_DOUBLINGS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done again and again.

    Attributes:
        name: what a log calls it.
        run: takes what is due, and answers how much that was.
        pause: seconds to wait once nothing is due.
        due: whether it has to look then; None: always.
    """

    name: str
    run: Callable[[], Awaitable[int]]
    pause: float
    due: Due | None = None


class Workers:
    """Runs each step in a task of its own.

    Args:
        steps: what to do.
        log: where failures are written.
    """

    def __init__(self, steps: Sequence[Step], log: FilteringBoundLogger) -> None:
        self._steps = steps
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._repeat(step), name=step.name) for step in self._steps]

    async def stop(self) -> None:
        """End; a step that is under way is broken off, which its transaction survives."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def run_due(self) -> None:
        """Run every step until nothing is due: for whoever turns the clock by hand."""
        for step in self._steps:
            while await step.run():
                pass

    def wake(self) -> None:
        """Say that something was committed, here or elsewhere, which may fall due."""
        for step in self._steps:
            if step.due is not None:
                step.due.wake()

    async def _repeat(self, step: Step) -> None:
        failures = 0
        while True:
            if step.due is not None and not step.due.is_unknown:
                await asyncio.sleep(step.pause)
                continue
            try:
                handled = await _look(step)
                failures = 0
                pause = 0.0 if handled else step.pause
            except Exception as error:
                failures = min(failures + 1, _DOUBLINGS)
                pause = min(step.pause * 2**failures, max(step.pause, _LONGEST_PAUSE))
                self._log.error("worker failed", worker=step.name, exc_info=error)
            await asyncio.sleep(pause)


async def _look(step: Step) -> int:
    if step.due is None:
        return await step.run()
    if not await step.due.has_come():
        return 0
    handled = await step.run()
    if handled:
        step.due.wake()
    return handled
