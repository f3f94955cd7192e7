"""Who waits for something is woken by it, once, and by nothing else; the tailer outlives every fault."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from authy_grpc import logs
from authy_grpc.service.signals import Signals, Subscription
from authy_grpc.store.database import Database
from authy_grpc.store.events import EARLIEST, NewEvent, Position, Recorded
from authy_grpc.store.tx import Tools
from tests.clock import TurnedClock
from tests.proxy import Proxy
from tests.recording import happened, names, record


async def taken(subscription: Subscription, count: int) -> list[Recorded]:
    """So many rows, and no more."""
    rows: list[Recorded] = []
    while len(rows) < count:
        some = await subscription.wait(5)
        assert some, f"only {len(rows)} rows came"
        rows += some
    assert await subscription.wait(0.05) == []
    return rows


async def test_each_hears_of_its_own_topics(database: Database, signals: Signals) -> None:
    event = NewEvent(type="approval.pending", subject_id="apr_1", application_id="app_1", account_id="acc_1")
    topics = ["app_1", "acc_1", "apr_1", "app_2", "acc_2"]
    subscriptions = [signals.subscribe(topic) for topic in topics]
    for subscription in subscriptions:
        signals.add(subscription)
    await database.write(lambda tx: tx.record(event))
    for subscription in subscriptions[:3]:
        assert names(await subscription.wait(5)) == ["apr_1"]
    for subscription in subscriptions[3:]:
        assert await subscription.wait(0.01) == []


async def test_who_waits_for_several_topics_of_a_row_gets_it_once(
    database: Database, signals: Signals
) -> None:
    event = NewEvent(type="approval.pending", subject_id="apr_1", application_id="app_1", account_id="acc_1")
    with signals.subscribe("app_1", "acc_1", "apr_1") as subscription:
        await database.write(lambda tx: tx.record(event))
        assert names(await taken(subscription, 1)) == ["apr_1"]


async def test_what_was_before_is_not_heard_of(database: Database, signals: Signals) -> None:
    await record(database, "before")
    with signals.subscribe("app_1") as early:
        await record(database, "a")
        rows = await early.wait(5)
        while "a" not in names(rows):
            rows += await early.wait(5)
        with signals.subscribe("app_1") as late:
            await record(database, "b")
            assert names(await taken(late, 1)) == ["b"]


async def test_who_has_gone_hears_no_more(database: Database, signals: Signals) -> None:
    with signals.subscribe("app_1", "x") as stays:
        with signals.subscribe("app_1", "y") as gone:
            pass
        await record(database, "a")
        assert names(await taken(stays, 1)) == ["a"]
        assert await gone.wait(0.01) == []


async def test_who_falls_behind_is_told_and_keeps_rows_again_once_caught_up(
    database: Database, signals: Signals
) -> None:
    with signals.subscribe("app_1") as slow, signals.subscribe("app_1") as quick:
        many = [str(number) for number in range(1_001)]
        await record(database, *many[:1_000])
        assert names(await taken(quick, 1_000)) == many[:1_000]
        assert not slow.behind
        await record(database, many[-1])
        await taken(quick, 1)
        assert slow.behind
        assert slow.read_up_to == EARLIEST
        assert await slow.wait(5) == []
        await record(database, "unkept")
        await taken(quick, 1)
        assert await slow.wait(5) == []
        slow.catch_up()
        await record(database, "kept")
        assert names(await taken(slow, 1)) == ["kept"]


async def test_it_says_up_to_where_all_was_taken_and_never_more(database: Database, signals: Signals) -> None:
    """Rows of others are handed out in between: what is said must hold whenever it is asked."""
    chance = Random(7)
    said: list[tuple[int, Position]] = []
    rows: list[Recorded] = []
    with signals.subscribe("app_1") as subscription:

        async def write(number: int) -> None:
            for index in range(20):
                application_id = f"app_{chance.randrange(1, 4)}"
                await record(database, f"{number}.{index}", application_id=application_id)

        async def write_all() -> None:
            await asyncio.gather(*map(write, range(5)))
            await record(database, "end")

        writing = asyncio.create_task(write_all())
        while "end" not in names(rows):
            if chance.randrange(2):
                rows += await subscription.wait(0.001)
            said.append((len(rows), subscription.read_up_to))
            await asyncio.sleep(0)
        await writing
    assert len({up_to for _, up_to in said}) > 10
    for count, up_to in said:
        assert all(row.position > up_to for row in rows[count:])


class Beat(Subscription):
    """Notes how often the loop has had its turn when it is handed a row."""

    def __init__(self, signals: Signals, turns: list[int], seen: list[int]) -> None:
        super().__init__(signals, ["app_1"])
        self._turns = turns
        self._seen = seen

    def put(self, row: Recorded) -> None:
        self._seen.append(len(self._turns))


async def test_a_broadcast_gives_others_their_turn(database: Database, signals: Signals) -> None:
    turns: list[int] = []
    seen: list[int] = []
    for _ in range(450):
        signals.add(Beat(signals, turns, seen))
    await record(database, "a")
    for _ in range(100_000):
        turns.append(1)
        await asyncio.sleep(0)
        if len(seen) == 450:
            break
    assert len(seen) == 450
    assert len(set(seen)) >= 4


class Broken(Subscription):
    """Fails once."""

    failed = 0

    def put(self, row: Recorded) -> None:
        self.failed += 1
        if self.failed == 1:
            raise ValueError("secret")


@asynccontextmanager
async def started(database: Database, clock: TurnedClock) -> AsyncIterator[tuple[Signals, io.StringIO]]:
    """Signals, and what they log."""
    output = io.StringIO()
    signals = Signals(database, logs.build(output, clock))
    database.on_events = signals.wake
    await signals.start()
    yield signals, output
    await signals.stop()


async def test_no_fault_ends_the_tailer_and_each_is_logged(database: Database, clock: TurnedClock) -> None:
    async with started(database, clock) as (signals, output):
        broken = Broken(signals, ["app_1"])
        signals.add(broken)
        with signals.subscribe("app_2") as other:
            await record(database, "a")
            await record(database, "b", application_id="app_2")
            assert names(await taken(other, 1)) == ["b"]
        assert broken.failed == 2
        assert "ValueError" in output.getvalue()
        assert "secret" not in output.getvalue()


async def test_an_outage_costs_time_and_no_event(postgres_url: str, tools: Tools, clock: TurnedClock) -> None:
    async with Proxy.to(postgres_url) as proxy:
        database, direct = Database(proxy.url, tools), Database(postgres_url, replace(tools))
        async with started(database, clock) as (signals, output):
            with signals.subscribe("app_1") as subscription:
                await record(database, "a")
                assert names(await taken(subscription, 1)) == ["a"]
                proxy.refuses = True
                proxy.cut()
                await record(direct, "b")
                signals.wake()
                await proxy.refused.get()
                proxy.refuses = False
                assert names(await taken(subscription, 1)) == ["b"]
            assert "feed unreadable" in output.getvalue()
        await database.close()
        await direct.close()


async def test_it_goes_through_many_at_once_in_order(database: Database, signals: Signals) -> None:
    many = [str(number) for number in range(1_200)]
    with signals.subscribe("app_1") as subscription:
        reading = asyncio.create_task(taken(subscription, 1_200))
        made = [happened(name, padding=2_000) for name in many]
        await database.write(lambda tx: tx.record(*made))
        assert names(await reading) == many


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_who_waits_for_nothing_is_given_nothing(signals: Signals, seconds: float) -> None:
    with signals.subscribe("app_1") as subscription:
        assert await subscription.wait(seconds) == []
