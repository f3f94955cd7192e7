"""A step that knows when something falls due looks for nothing before."""

from datetime import datetime, timedelta

import pytest

from authy_grpc.worker.due import Due
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

    async def look(self) -> None:
        """Look, and find nothing to do."""
        self.due.looks()
        await self.due.found_nothing()


@pytest.fixture
async def agenda(clock: TurnedClock) -> Agenda:
    made = Agenda(clock)
    # What there is at the beginning nobody knows.
    assert made.due.has_come
    await made.look()
    return made


async def test_where_nothing_is_known_of_nobody_looks(agenda: Agenda, clock: TurnedClock) -> None:
    clock.turn(days=1)
    assert not agenda.due.has_come
    assert agenda.asked == 1


async def test_who_is_woken_looks_once_and_asks_when_next(agenda: Agenda, clock: TurnedClock) -> None:
    agenda.next = clock() + timedelta(minutes=5)
    agenda.due.wake()
    assert agenda.due.has_come
    await agenda.look()
    assert not agenda.due.has_come
    clock.turn(minutes=5)
    assert agenda.due.has_come


async def test_what_happens_during_a_look_asks_for_another(agenda: Agenda) -> None:
    agenda.due.looks()
    agenda.due.wake()
    await agenda.due.found_nothing()
    assert agenda.due.has_come


async def test_what_was_due_and_is_held_by_another_is_looked_at_again(
    agenda: Agenda, clock: TurnedClock
) -> None:
    agenda.next = clock()
    agenda.due.wake()
    await agenda.look()
    assert agenda.due.has_come


async def test_without_any_signal_it_looks_after_some_seconds(clock: TurnedClock) -> None:
    made = Agenda(clock, poll=0.0)
    await made.look()
    assert made.due.has_come
