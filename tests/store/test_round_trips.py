"""How often a work waits for PostgreSQL: counted on the wire, since each is what a slow network costs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from authy_grpc.domain.errors import NotFound
from authy_grpc.domain.verification import CodeResult
from authy_grpc.store.bulk import Inserted, table
from authy_grpc.store.statements import statement
from authy_grpc.store.tables import BudgetRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.writer import ChangedAndRaised
from tests.checking import Booth
from tests.clock import TurnedClock
from tests.proxy import Proxy
from tests.works import held, traces

_BUDGET = table(BudgetRow)
_LOCK = statement(select(_BUDGET.c.name).with_for_update())
_COUNT = statement(select(func.count()).select_from(_BUDGET))
_INSERT = Inserted(_BUDGET, "name", "times", "expire_time")


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with Proxy.to(postgres_url) as opened:
        yield opened


@pytest.fixture
async def booth(proxy: Proxy, clock: TurnedClock) -> AsyncIterator[Booth]:
    async with Booth.opened(proxy.url, clock) as opened:
        yield opened


async def trips(booth: Booth, proxy: Proxy, *calls: Callable[[], Awaitable[Any]]) -> tuple[int, list[Any]]:
    """How many round trips a group of writes takes, and what each is answered."""

    async def group(*calls: Callable[[], Awaitable[Any]]) -> tuple[int, list[Any]]:
        async with held(booth.database):
            tasks = [asyncio.ensure_future(call()) for call in calls]
            await asyncio.sleep(0)
            before = proxy.trips
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return proxy.trips - before, answers

    # What the holder takes itself is none of theirs.
    holder, _ = await group()
    found, answers = await group(*calls)
    return found - holder, answers


def leaves(*names: str) -> Callable[[Tx], int]:
    """A work that writes behind a lock."""

    def work(tx: Tx) -> int:
        _INSERT.run(tx, [(name, "[]", 1) for name in names])
        return len(names)

    def locks(tx: Tx) -> int:
        _LOCK.all(tx)
        return work(tx)

    return locks


def writes(booth: Booth, *works: Callable[[Tx], int]) -> list[Callable[[], Awaitable[int]]]:
    return [partial(booth.database.write, work) for work in works]


@pytest.mark.parametrize("users", [1, 16])
async def test_a_group_of_codes_takes_three_whatever_its_size(booth: Booth, proxy: Proxy, users: int) -> None:
    """One for what is read, one that locks the accounts, one for what is written and COMMIT."""
    site = await booth.site()
    made = [await booth.user(site) for _ in range(users)]
    now = booth.clock()

    def call(number: int, request_id: str) -> Callable[[], Awaitable[Any]]:
        user = made[number]
        return lambda: booth.verify(user, user.tokens[0].code(now), request_id=request_id)

    found, answers = await trips(booth, proxy, *(call(number, f"r{number}") for number in range(users)))
    assert [each.result for each in answers] == [CodeResult.ACCEPTED] * users
    assert found == 3
    # The same again is answered from what is kept: nothing is held.
    found, again = await trips(booth, proxy, *(call(number, f"r{number}") for number in range(users)))
    assert (found, again) == (2, answers)


async def test_wrong_codes_take_two(booth: Booth, proxy: Proxy) -> None:
    user = await booth.user(await booth.site())
    found, (checked,) = await trips(booth, proxy, lambda: booth.verify(user, "000000", request_id="r"))
    assert (found, checked.result) == (2, CodeResult.WRONG)


async def test_what_is_only_written_waits_for_the_commit_alone(booth: Booth, proxy: Proxy) -> None:
    found, answers = await trips(booth, proxy, *writes(booth, leaves("a"), leaves("b", "c"), leaves("d")))
    # A lock each, and the commit.
    assert (found, answers) == (3 + 1, [1, 2, 1])
    assert await traces(booth.database) == ["a", "b", "c", "d"]


async def test_look_ups_that_wait_share_what_begins_and_ends_them(booth: Booth, proxy: Proxy) -> None:
    async def read(count: int) -> int:
        before = proxy.trips
        reads = [booth.database.read(lambda tx: _COUNT.all(tx), by=f"app_{each}") for each in range(count)]
        await asyncio.gather(*reads)
        return proxy.trips - before

    # The first makes the connection.
    await read(1)
    assert await read(1) == 1 + 1
    assert await read(8) == 8 + 1


async def test_what_reads_alone_takes_two(booth: Booth, proxy: Proxy) -> None:
    found, _ = await trips(booth, proxy, *writes(booth, lambda tx: _COUNT.all(tx)[0][0]))
    assert found == 2


async def test_a_statement_that_was_not_waited_for_fails_its_own_work(booth: Booth, proxy: Proxy) -> None:
    """The commit tells of it: the group runs again, each by itself."""
    _, answers = await trips(booth, proxy, *writes(booth, leaves("a"), leaves("a"), leaves("b")))
    assert answers[0::2] == [1, 1]
    assert isinstance(answers[1], IntegrityError)
    assert await traces(booth.database) == ["a", "b"]


async def test_the_guard_sees_what_is_not_waited_for(booth: Booth) -> None:
    def work(tx: Tx) -> None:
        leaves("a")(tx)
        raise NotFound

    with pytest.raises(ChangedAndRaised):
        await booth.database.write(work)
    assert await traces(booth.database) == []


async def test_statements_of_sqlalchemy_see_what_was_sent_before(booth: Booth) -> None:
    def work(tx: Tx) -> Sequence[int]:
        leaves("a")(tx)
        asked = _COUNT.ask(tx)
        leaves("b")(tx)
        seen = tx.connection().execute(text("SELECT count(*) FROM budget")).scalar_one()
        leaves("c")(tx)
        ((first,),), ((last,),) = asked(), _COUNT.all(tx)
        return first, seen, last

    assert await booth.database.write(work) == (1, 2, 3)
    assert await traces(booth.database) == ["a", "b", "c"]
