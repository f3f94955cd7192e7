"""What has a limit is counted, by every server."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from authy_grpc.domain.errors import RateLimited
from authy_grpc.domain.limits import SEND_RULES
from authy_grpc.store import budget
from authy_grpc.store.database import Database
from authy_grpc.store.tables import BudgetRow
from authy_grpc.store.tx import Tx
from tests import rows
from tests.clock import TurnedClock


class Spender:
    """Spends a budget."""

    def __init__(self, database: Database, clock: TurnedClock) -> None:
        self.database = database
        self.clock = clock

    async def spend(self, name: str = "link:sit_1", database: Database | None = None) -> None:
        def work(tx: Tx) -> None:
            times = budget.allow(tx, name, SEND_RULES)
            budget.keep(tx, name, times, SEND_RULES)

        await (database or self.database).write(work)

    async def left(self) -> BudgetRow | None:
        return await self.database.read(lambda tx: rows.find(tx, BudgetRow, "link:sit_1"))


@pytest.fixture
def spender(database: Database, clock: TurnedClock) -> Spender:
    return Spender(database, clock)


async def test_it_is_refused_until_its_time_has_come(spender: Spender) -> None:
    await spender.spend()
    spender.clock.turn(seconds=29, milliseconds=999)
    with pytest.raises(RateLimited) as refused:
        await spender.spend()
    assert refused.value.retry_after == timedelta(milliseconds=1)
    spender.clock.turn(milliseconds=1)
    await spender.spend()


async def test_each_has_a_budget_of_its_own(spender: Spender) -> None:
    await spender.spend("link:sit_1")
    await spender.spend("link:sit_2")
    with pytest.raises(RateLimited):
        await spender.spend("link:sit_1")


async def test_what_no_rule_looks_at_any_more_goes(spender: Spender) -> None:
    began = spender.clock()
    for _ in range(4):
        await spender.spend()
        spender.clock.turn(hours=7)
    await spender.spend()
    row = await spender.left()
    assert row is not None
    assert row.expire_time == began + timedelta(hours=28) + timedelta(days=1)
    times = await spender.database.read(lambda tx: budget.spent(tx, "link:sit_1"))
    assert times == tuple(began + timedelta(hours=hours) for hours in (7, 14, 21, 28))


async def test_nothing_was_spent_of_what_nobody_used(spender: Spender) -> None:
    assert await spender.database.read(lambda tx: budget.spent(tx, "link:sit_1")) == ()


@pytest.mark.parametrize("before", [False, True])
async def test_of_many_at_once_one_is_allowed(
    spender: Spender, servers: Sequence[Database], before: bool
) -> None:
    if before:
        await spender.spend()
        spender.clock.turn(minutes=1)
    answers = await asyncio.gather(
        *(spender.spend(database=servers[number % len(servers)]) for number in range(40)),
        return_exceptions=True,
    )
    assert answers.count(None) == 1
    assert sum(isinstance(answer, RateLimited) for answer in answers) == 39
