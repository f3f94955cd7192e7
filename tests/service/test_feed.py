"""A site reads each of its events once and in order, however it reads and whatever happens meanwhile."""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from authy_grpc import logs
from authy_grpc.domain.errors import BadField, CursorExpired
from authy_grpc.service.caller import Site
from authy_grpc.service.event import Feed, FeedItem, FeedPage
from authy_grpc.service.signals import Signals
from authy_grpc.store import events, retention
from authy_grpc.store.cursor import seal_cursor
from authy_grpc.store.database import Database
from authy_grpc.store.tx import Tools, Tx
from authy_grpc.store.vault import Vault
from tests.clock import TurnedClock
from tests.recording import happened, names, record, transaction
from tests.threads import PATIENCE
from tests.works import does

ONE, TWO = (Site(application_id, "key_1", frozenset(), None) for application_id in ("app_1", "app_2"))
Random = Callable[[int], bytes]
T = TypeVar("T")


@pytest.fixture
async def feed(database: Database, vault: Vault, signals: Signals, random: Random) -> Feed:
    return Feed(
        database=database,
        vault=vault,
        signals=signals,
        random=random,
        checkpoint=timedelta(seconds=20),
    )


class Watcher:
    """One who reads a feed, and keeps the cursor of the last that was read."""

    def __init__(self, items: AsyncGenerator[FeedItem, None]) -> None:
        self._items = items
        self.cursor = ""
        self.read: list[str] = []
        self.checkpoints = 0

    async def next(self) -> FeedItem:
        item = await asyncio.wait_for(anext(self._items), PATIENCE)
        self.cursor = item.cursor
        if item.event is None:
            self.checkpoints += 1
        else:
            self.read.append(item.event.subject_id)
        return item

    async def until(self, count: int) -> list[str]:
        """Read until so many events were read."""
        while len(self.read) < count:
            await self.next()
        return self.read

    async def close(self) -> None:
        await self._items.aclose()


async def pages(
    feed: Feed, cursor: str, types: Sequence[str] = (), size: int = 0, caller: Site = ONE
) -> AsyncIterator[FeedPage]:
    """All pages after a cursor."""
    while True:
        page = await feed.list_page(caller, cursor, types, size)
        yield page
        if not page.has_more:
            return
        assert page.events
        cursor = page.cursor


async def listed(feed: Feed, cursor: str, types: Sequence[str] = (), caller: Site = ONE) -> list[str]:
    """The subjects of all events after a cursor."""
    return [name async for page in pages(feed, cursor, types, caller=caller) for name in names(page.events)]


async def test_a_list_goes_on_from_its_own_cursor(database: Database, feed: Feed) -> None:
    many = [str(number) for number in range(7)]
    await record(database, *many)
    found = [page async for page in pages(feed, "earliest", size=3)]
    assert [names(page.events) for page in found] == [many[:3], many[3:6], many[6:]]
    assert [page.has_more for page in found] == [True, True, False]
    last = await feed.list_page(ONE, found[-1].cursor, [], 3)
    assert (last.events, last.has_more) == ([], False)
    await record(database, "new")
    assert await listed(feed, last.cursor) == ["new"]


@pytest.mark.parametrize(("count", "has_more"), [(2, False), (3, False), (4, True)])
async def test_a_full_page_has_more_only_where_there_is_more(
    database: Database, feed: Feed, count: int, has_more: bool
) -> None:
    await record(database, *map(str, range(count)))
    page = await feed.list_page(ONE, "earliest", [], 3)
    assert (len(page.events), page.has_more) == (min(count, 3), has_more)


async def test_a_page_has_100_or_1000_at_most(database: Database, feed: Feed) -> None:
    await record(database, *map(str, range(1_001)))
    assert [len(page.events) async for page in pages(feed, "earliest", size=5_000)] == [1_000, 1]
    assert len((await feed.list_page(ONE, "earliest", [], 0)).events) == 100


async def test_a_page_ends_at_a_mebibyte(database: Database, feed: Feed) -> None:
    made = [
        happened(str(number), padding=size)
        for number, size in enumerate([400_000, 400_000, 400_000, 1_500_000, 1, 1])
    ]
    await database.write(lambda tx: tx.record(*made))
    found = [page async for page in pages(feed, "earliest", size=100)]
    assert [names(page.events) for page in found] == [["0", "1"], ["2"], ["3"], ["4", "5"]]
    assert [page.has_more for page in found] == [True, True, True, False]


async def test_an_empty_cursor_means_from_now_on(database: Database, feed: Feed) -> None:
    await record(database, "before")
    page = await feed.list_page(ONE, "", [], 10)
    assert (page.events, page.has_more) == ([], False)
    await record(database, "after")
    assert await listed(feed, page.cursor) == ["after"]
    watcher = Watcher(feed.watch(ONE, "", []))
    assert (await watcher.next()).event is None
    await record(database, "later")
    assert await watcher.until(1) == ["later"]
    await watcher.close()


async def test_list_and_watch_go_on_from_each_other_and_with_other_types(
    database: Database, feed: Feed
) -> None:
    made = [
        happened(f"{number}", type=type)
        for number, type in enumerate(["user.locked", "code.accepted", "user.unlocked", "code.sent"])
    ]
    await database.write(lambda tx: tx.record(*made))
    page = await feed.list_page(ONE, "earliest", ["user.*"], 1)
    assert names(page.events) == ["0"]
    watcher = Watcher(feed.watch(ONE, page.cursor, ["code.*"]))
    assert await watcher.until(1) == ["1"]
    await watcher.close()
    assert await listed(feed, watcher.cursor) == ["2", "3"]
    assert await listed(feed, "earliest", ["user.unlocked", "code.sent"]) == ["2", "3"]
    assert await listed(feed, "earliest", ["user"]) == []


async def test_a_cursor_is_of_one_application(database: Database, feed: Feed) -> None:
    await record(database, "a", application_id="app_1")
    await record(database, "b", application_id="app_2")
    cursor = (await feed.list_page(ONE, "earliest", [], 10)).cursor
    sealed = "A" * len(cursor)
    for foreign in (cursor, sealed, cursor[:-1], "EARLIEST", "ä", "\ud800", cursor + "=", "0.0.0"):
        with pytest.raises(BadField) as refused:
            await feed.list_page(TWO, foreign, [], 10)
        assert refused.value.violations[0].field == "cursor"
        with pytest.raises(BadField):
            await anext(feed.watch(TWO, foreign, []))
    assert await listed(feed, "earliest", caller=TWO) == ["b"]


async def test_all_cursors_are_as_long_as_each_other(database: Database, feed: Feed) -> None:
    """Their length says nothing of how much happens at other sites."""
    early = (await feed.list_page(ONE, "earliest", [], 1)).cursor
    await record(database, "a")
    await database.write(does(text("UPDATE event SET sequence = 123456789")))
    late = (await feed.list_page(ONE, "earliest", [], 1)).cursor
    assert len(early) == len(late) == 76
    assert early != (await feed.list_page(ONE, "earliest", [], 1)).cursor


async def prune(database: Database, clock: TurnedClock) -> None:
    clock.turn(days=31)
    await database.write(lambda tx: retention.prune(tx))


async def test_a_cursor_before_what_was_removed_has_expired(
    database: Database, feed: Feed, clock: TurnedClock
) -> None:
    await record(database, "a", "b")
    first = (await feed.list_page(ONE, "earliest", [], 1)).cursor
    last = (await feed.list_page(ONE, first, [], 1)).cursor
    await prune(database, clock)
    with pytest.raises(CursorExpired):
        await feed.list_page(ONE, first, [], 10)
    with pytest.raises(CursorExpired):
        await anext(feed.watch(ONE, first, []))
    assert await listed(feed, last) == []
    assert await listed(feed, "earliest") == []
    await record(database, "c")
    assert await listed(feed, last) == ["c"]
    assert await listed(feed, "earliest") == ["c"]


async def test_who_asks_now_and_then_of_a_quiet_feed_misses_nothing_and_does_not_expire(
    database: Database, feed: Feed, clock: TurnedClock
) -> None:
    cursors = [(await feed.list_page(ONE, beginning, [], 10)).cursor for beginning in ("", "earliest")]
    await record(database, "other", application_id="app_2")
    cursors += [(await feed.list_page(ONE, cursor, [], 10)).cursor for cursor in cursors]
    await prune(database, clock)
    for cursor in cursors[2:]:
        assert await listed(feed, cursor) == []
    # The control: these have passed over an event that is gone, though it was not theirs.
    for cursor in cursors[:2]:
        with pytest.raises(CursorExpired):
            await listed(feed, cursor)
    watcher = Watcher(feed.watch(ONE, "earliest", []))
    await watcher.next()
    await watcher.close()
    assert await listed(feed, watcher.cursor) == []


async def test_a_cursor_of_what_a_restored_database_has_lost_has_expired(
    database: Database, vault: Vault, feed: Feed
) -> None:
    await record(database, "a")
    newest = await database.read(events.newest)
    assert await listed(feed, seal_cursor(vault, "app_1", newest)) == []
    beyond = newest._replace(xid=newest.xid + 1_000_000, sequence=newest.sequence + 1)
    with pytest.raises(CursorExpired):
        await listed(feed, seal_cursor(vault, "app_1", beyond))


async def test_a_quiet_watcher_hears_where_to_go_on_from(
    database: Database, vault: Vault, signals: Signals, random: Random
) -> None:
    feed = Feed(
        database=database,
        vault=vault,
        signals=signals,
        random=random,
        checkpoint=timedelta(seconds=0.05),
    )
    watcher = Watcher(feed.watch(ONE, "", ["user.deleted"]))
    await watcher.next()
    await record(database, "of no interest")
    await record(database, "of others", application_id="app_2")
    newest = await database.read(events.newest)
    while signals.position < newest and not database.postgres:
        await watcher.next()
    for _ in range(3):
        assert (await watcher.next()).event is None
    await watcher.close()
    assert await listed(feed, watcher.cursor, ["user.deleted"]) == []


async def test_nothing_but_the_sites_own_events_is_watched(database: Database, feed: Feed) -> None:
    watcher = Watcher(feed.watch(ONE, "", []))
    await watcher.next()
    # About the application, and in nobody's feed.
    waking = happened("app_1", application_id=None)
    await database.write(lambda tx: tx.record(waking))
    await record(database, "other", application_id="app_2")
    await record(database, "own")
    assert await watcher.until(1) == ["own"]
    await watcher.close()


class Counting(Database):
    """A store that counts how often it is read."""

    reads = 0

    async def read(self, work: Callable[[Tx], T], **options: Any) -> T:
        self.reads += 1
        return await super().read(work, **options)


async def test_a_slow_reader_loses_and_repeats_nothing(
    database: Database, vault: Vault, signals: Signals, random: Random
) -> None:
    counting = Counting(database.url, database.tools)
    feed = Feed(database=counting, vault=vault, signals=signals, random=random)
    watcher = Watcher(feed.watch(ONE, "", []))
    await watcher.next()
    many = [str(number) for number in range(2_500)]
    await record(database, *many[:3])
    await watcher.until(2)
    # It reads nothing while so much happens that no more is kept for it.
    with signals.subscribe("app_1") as quick:
        for begin in range(3, 2_500, 500):
            await record(database, *many[begin : begin + 500])
            rows = await quick.wait(5)
            while names(rows)[-1] != many[min(begin + 499, 2_499)]:
                rows += await quick.wait(5)
    assert await watcher.until(2_500) == many
    await record(database, "and on")
    assert (await watcher.until(2_501))[-1] == "and on"
    # Having caught up, it reads the table no more.
    reads = counting.reads
    await record(database, "and on and on")
    await watcher.until(2_502)
    assert counting.reads == reads
    await watcher.close()
    await counting.close()


async def test_a_watcher_goes_on_after_a_restart(
    database: Database,
    vault: Vault,
    signals: Signals,
    feed: Feed,
    random: Random,
    clock: TurnedClock,
) -> None:
    watcher = Watcher(feed.watch(ONE, "earliest", []))
    await watcher.next()
    await record(database, "a", "b", "c")
    await watcher.until(2)
    await watcher.close()
    await signals.stop()
    await record(database, "while away")

    again = Signals(database, logs.build(io.StringIO(), clock))
    database.on_events = again.wake
    await again.start()
    feed = Feed(database=database, vault=vault, signals=again, random=random)
    resumed = Watcher(feed.watch(ONE, watcher.cursor, []))
    assert await resumed.until(2) == ["c", "while away"]
    await record(database, "d")
    assert await resumed.until(3) == ["c", "while away", "d"]
    await resumed.close()
    await again.stop()


async def test_what_commits_late_is_watched_and_listed_once(
    postgres_url: str, tools: Tools, vault: Vault, random: Random, clock: TurnedClock
) -> None:
    database = Database(postgres_url, tools, guard=True)
    await database.write(events.begin_epoch)
    signals = Signals(database, logs.build(io.StringIO(), clock))
    database.on_events = signals.wake
    await signals.start()
    feed = Feed(database=database, vault=vault, signals=signals, random=random)
    watcher = Watcher(feed.watch(ONE, "", []))
    await watcher.next()
    with transaction(database) as slow:
        slow.begin()
        await record(database, "quick")
        page = await feed.list_page(ONE, watcher.cursor, [], 10)
        assert page.events == []
        slow.record("slow")
        slow.commit()
    assert await watcher.until(2) == ["slow", "quick"]
    assert await listed(feed, page.cursor) == ["slow", "quick"]
    await watcher.close()
    await signals.stop()
    await database.close()


def once_and_in_order(read: list[str], writers: int) -> bool:
    """Whether each writer's events came once, and in the order in which it wrote them."""
    counts = [0] * writers
    for name in read:
        writer, _, number = name.partition(".")
        if int(number) != counts[int(writer)]:
            return False
        counts[int(writer)] += 1
    return len(set(counts)) == 1


@pytest.mark.parametrize(
    ("read", "well"),
    [
        (["0.0", "1.0", "0.1", "1.1"], True),
        (["0.0", "1.0", "0.1"], False),  # one is lost
        (["0.0", "1.0", "0.0", "0.1", "1.1"], False),  # one comes twice
        (["0.0", "1.1", "0.1", "1.0"], False),  # two are swapped
    ],
)
def test_the_control_notices_what_is_lost_doubled_or_swapped(read: list[str], well: bool) -> None:
    assert once_and_in_order(read, 2) is well


async def test_a_live_watcher_gets_each_event_once_and_in_order(
    servers: Sequence[Database], feed: Feed, figure: Callable[[int, int], int]
) -> None:
    each, writers = figure(100, 4_000), 5
    watcher = Watcher(feed.watch(ONE, "", []))
    start = (await watcher.next()).cursor

    async def write(number: int) -> None:
        for index in range(each):
            await record(servers[number % len(servers)], f"{number}.{index}")

    writing = asyncio.gather(*map(write, range(writers)))
    await watcher.until(each * writers)
    await writing
    await watcher.close()
    assert once_and_in_order(watcher.read, writers)
    assert await listed(feed, start) == watcher.read
    assert await listed(feed, watcher.cursor) == []


async def test_a_watcher_that_is_cut_off_again_and_again_gets_each_event_once(
    servers: Sequence[Database], feed: Feed, figure: Callable[[int, int], int]
) -> None:
    each, writers = figure(40, 400), 5

    async def write(number: int) -> None:
        for index in range(each):
            await record(servers[number % len(servers)], f"{number}.{index}")

    cursor, read = (await feed.list_page(ONE, "", [], 1)).cursor, list[str]()
    writing = asyncio.gather(*map(write, range(writers)))
    while len(read) < each * writers:
        async with aclosing(feed.watch(ONE, cursor, [])) as items:
            for _ in range(7):
                item = await anext(items)
                cursor = item.cursor
                if item.event is not None:
                    read.append(item.event.subject_id)
                if len(read) == each * writers:
                    break
    await writing
    assert once_and_in_order(read, writers)
