"""Walks: random actions on a service and on a small model of it, which have to agree after each step."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from authy_grpc.domain.errors import Refusal, WrongState
from authy_grpc.store import events
from authy_grpc.store.events import Recorded
from authy_grpc.store.tx import Tx
from tests.asking import Desk
from tests.clock import TurnedClock
from tests.registering import People

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., None])
STEPS = 50


def action(often: int = 1, **draws: st.SearchStrategy[Any]) -> Callable[[Method], Method]:
    """Mark what a walk may do.

    Rules of hypothesis would not do: of these it leaves some out of each walk, and short walks get nowhere.

    Args:
        often: how often, beside the others.
        **draws: what it is called with.
    """

    def mark(method: Method) -> Method:
        method.often, method.draws = often, draws  # type: ignore[attr-defined]
        return method

    return mark


class Walk(RuleBasedStateMachine):
    """One walk. Walks share a database, and have sites or accounts of their own in it.

    Args:
        world: the services.
        loop: in which they run.
    """

    # How often the walks have come from one state to another.
    reached: Counter[str]

    def __init__(self, world: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.world, self._loop = world, loop
        self.clock: TurnedClock = world.clock
        # A walk is the same whatever walks were before it.
        self.clock.now = self.clock.now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        self._position = self.run(self._newest())

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """Do one of all that may be done."""
        act = getattr(self, data.draw(st.sampled_from(self.actions)))
        act(**{name: data.draw(draw) for name, draw in act.draws.items()})

    @cached_property
    def actions(self) -> list[str]:
        """The names of all actions, each as often as it is done."""
        marked = [(name, getattr(type(self), name)) for name in dir(type(self))]
        return [name for name, method in marked for _ in range(getattr(method, "often", 0))]

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(doing)

    def became(self, doing: Coroutine[Any, Any, Any]) -> str:
        """OK, or what is refused; of a wrong state, which."""
        try:
            self.run(doing)
        except WrongState as refusal:
            return f"WrongState {refusal.state}"
        except Refusal as refusal:
            return type(refusal).__name__
        return "OK"

    def happened(self, application_id: str | None = None) -> list[Recorded]:
        """What has been recorded since this was last asked: at a site, or anywhere."""

        def read(tx: Tx) -> tuple[list[Recorded], bool]:
            rows = events.read_after(tx, self._position, limit=10_000)
            return rows, events.unsettled(tx, rows[-1].position if rows else self._position)

        # On PostgreSQL an open write anywhere, of another test too, holds the feed back.
        found: list[Recorded] = []
        for _ in range(10_000):
            rows, unsettled = self.run(self.world.database.read(read))
            found += [row for row in rows if application_id in (None, row.application_id)]
            if rows:
                self._position = rows[-1].position
            if not unsettled:
                return found
        raise AssertionError("the feed is held back")

    async def _newest(self) -> Any:
        return await self.world.database.read(events.newest)


def walk(machine: type[Walk], opened: Callable[[], Any], count: int) -> Counter[str]:
    """Take so many walks in one world.

    Args:
        machine: what one walk is.
        opened: opens the world, as an async context.
        count: of walks.

    Returns:
        How often they have come from one state to another.
    """
    machine.reached = Counter()
    with asyncio.Runner() as runner:
        context = opened()
        world: Desk | People = runner.run(context.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: machine(world, runner.get_loop()),  # type: ignore[arg-type]
                settings=settings(
                    max_examples=count,
                    # To shorten a walk that has failed would take five minutes: take it out to do so.
                    phases=[Phase.generate],
                    stateful_step_count=STEPS,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))
    return machine.reached
