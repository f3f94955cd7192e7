"""A step that knows when something falls due asks for nothing before."""

import asyncio
import io
from datetime import datetime, timedelta

import pytest

from authy_grpc import logs
from authy_grpc.worker.due import Due
from authy_grpc.worker.loop import Step, Workers
from tests.clock import TurnedClock

_NEVER = 3600.0


class Agenda:
    """What falls due when, and how often it was asked."""

    def __init__(self, clock: TurnedClock, poll: float = _NEVER) -> None:
        self.next: datetime | None = None
        self.asked = 0
        self.due = Due(self._find, clock, poll)

    async def _find(self) -> datetime | None:
        self.asked += 1
        return self.next


@pytest.fixture
async def agenda(clock: TurnedClock) -> Agenda:
    made = Agenda(clock)
    # What there is at the beginning nobody knows.
    assert made.due.is_unknown
    assert not await made.due.has_come()
    return made


async def test_where_nothing_is_known_of_nobody_asks(agenda: Agenda, clock: TurnedClock) -> None:
    clock.turn(days=1)
    assert not agenda.due.is_unknown
    assert agenda.asked == 1


async def test_who_is_woken_asks_once_and_again_when_it_is_due(agenda: Agenda, clock: TurnedClock) -> None:
    agenda.next = clock() + timedelta(minutes=5)
    agenda.due.wake()
    assert agenda.due.is_unknown
    assert not await agenda.due.has_come()
    assert not agenda.due.is_unknown
    clock.turn(minutes=5)
    assert agenda.due.is_unknown
    assert await agenda.due.has_come()
    assert agenda.asked == 3


async def test_what_happens_while_one_asks_is_asked_for_again(clock: TurnedClock) -> None:
    asking: list[Due] = []

    async def find() -> datetime | None:
        asking[0].wake()
        return None

    asking.append(Due(find, clock, _NEVER))
    assert not await asking[0].has_come()
    assert asking[0].is_unknown


async def test_who_had_no_answer_asks_again(clock: TurnedClock) -> None:
    async def find() -> datetime | None:
        raise OSError("away")

    due = Due(find, clock, _NEVER)
    with pytest.raises(OSError, match="away"):
        await due.has_come()
    assert due.is_unknown


async def test_what_is_due_and_held_by_another_is_asked_for_again(agenda: Agenda, clock: TurnedClock) -> None:
    agenda.next = clock()
    agenda.due.wake()
    assert await agenda.due.has_come()
    assert agenda.due.is_unknown


async def test_without_any_signal_one_asks_after_some_seconds(clock: TurnedClock) -> None:
    made = Agenda(clock, poll=0.0)
    assert not await made.due.has_come()
    assert made.due.is_unknown


async def test_a_step_runs_when_something_is_due_and_until_nothing_is(clock: TurnedClock) -> None:
    left, done = [clock()] * 3, asyncio.Event()

    async def find() -> datetime | None:
        if not left:
            done.set()
        return left[0] if left else None

    async def run() -> int:
        left.pop()
        return 1

    step = Step("counts", run, 0.0, Due(find, clock, _NEVER))
    workers = Workers([step], logs.build(io.StringIO(), clock))
    workers.start()
    async with asyncio.timeout(30):
        await done.wait()
    await workers.stop()
    assert left == []
