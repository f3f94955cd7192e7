"""Steps are run again and again, and no failure ends them."""

import asyncio
import io

from authy_grpc import logs
from authy_grpc.worker.loop import Step, Workers
from tests.clock import TurnedClock


class Task:
    """Something that is due so often, after so many failures."""

    def __init__(self, due: int, failures: int = 0) -> None:
        self.due = due
        self.failures = failures
        self.runs = 0
        self.idle = asyncio.Event()

    async def run(self) -> int:
        self.runs += 1
        if self.failures:
            self.failures -= 1
            raise ValueError("secret")
        if not self.due:
            self.idle.set()
            return 0
        self.due -= 1
        return 1


async def run(*tasks: Task, pause: float = 0.0) -> str:
    """Run tasks until each is idle; answers what was logged."""
    output = io.StringIO()
    steps = [Step(f"step {number}", task.run, pause) for number, task in enumerate(tasks)]
    workers = Workers(steps, logs.build(output, TurnedClock()))
    workers.start()
    for task in tasks:
        await asyncio.wait_for(task.idle.wait(), 30)
    await workers.stop()
    return output.getvalue()


async def test_what_is_due_is_done_at_once_and_then_it_waits() -> None:
    task = Task(due=5)
    assert await run(task, pause=3600.0) == ""
    assert task.runs == 6


async def test_a_failure_is_logged_without_its_text_and_tried_again() -> None:
    task, other = Task(due=1, failures=2), Task(due=1)
    output = await run(task, other)
    assert task.due == other.due == 0
    assert output.count("worker failed") == 2
    assert "ValueError" in output and "step 0" in output
    assert "secret" not in output and "step 1" not in output


async def test_failures_without_end_end_no_step() -> None:
    """The pause doubles with each: it must not outgrow a number."""
    task = Task(due=1, failures=1_100)
    await run(task)
    assert task.due == 0


async def test_a_step_under_way_is_broken_off() -> None:
    began, broken = asyncio.Event(), asyncio.Event()

    async def wait() -> int:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            broken.set()
        return 0

    workers = Workers([Step("waits", wait, 1.0)], logs.build(io.StringIO(), TurnedClock()))
    workers.start()
    await began.wait()
    await workers.stop()
    assert broken.is_set()


async def test_whoever_turns_the_clock_runs_what_is_due() -> None:
    one, two = Task(due=3), Task(due=0)
    steps = [Step("one", one.run, 1.0), Step("two", two.run, 1.0)]
    await Workers(steps, logs.build(io.StringIO(), TurnedClock())).run_due()
    assert (one.due, one.runs, two.runs) == (0, 4, 1)
