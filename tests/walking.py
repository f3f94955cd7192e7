"""Owns walks: random actions on a service and on a small model of it, which have to agree after each step."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from authy_grpc.domain.errors import Refusal, WrongState
from authy_grpc.store.database import Session
from authy_grpc.store.events import Recorded
from tests.asking import Desk
from tests.clock import TurnedClock
from tests.registering import People

T = TypeVar("T")
STEPS = 50


class Walk(RuleBasedStateMachine):
    """One walk. Walks share a database, and have sites or accounts of their own in it.

    Args:
        world: the services.
        loop: in which they run.
    """

    def __init__(self, world: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.world, self._loop = world, loop
        self.clock: TurnedClock = world.clock
        # A walk is the same whatever walks were before it.
        self.clock.now = self.clock.now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        self._position = self.run(self._newest())

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

        def read(session: Session) -> Any:
            return self.world.events.read_after(
                session, self._position, application_id=application_id, limit=10_000
            )

        rows: list[Recorded] = self.run(self.world.database.read(read))
        if rows:
            self._position = rows[-1].position
        return rows

    async def _newest(self) -> Any:
        return await self.world.database.read(self.world.events.newest)


def walk(
    machine: Callable[[Any, asyncio.AbstractEventLoop], Walk],
    opened: Callable[[], Any],
    count: int,
) -> None:
    """Take so many walks in one world.

    Args:
        machine: what one walk is.
        opened: opens the world, as an async context.
        count: of walks.
    """
    with asyncio.Runner() as runner:
        context = opened()
        world: Desk | People = runner.run(context.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: machine(world, runner.get_loop()),  # type: ignore[arg-type]
                settings=settings(
                    max_examples=count,
                    stateful_step_count=STEPS,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))
