"""A commit of one server wakes the others; a wake-up that is lost costs time, and no event."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest

from authy_grpc import logs
from authy_grpc.service.signals import Signals
from authy_grpc.store.database import Database
from authy_grpc.store.listener import Listener
from authy_grpc.store.postgres import plain
from authy_grpc.store.tx import Tools
from tests.clock import TurnedClock
from tests.proxy import Proxy
from tests.recording import names, record
from tests.threads import PATIENCE


class Ear:
    """A listener, and how often it heard something."""

    def __init__(self, url: str, clock: TurnedClock, fault: Exception | None = None) -> None:
        self.output = io.StringIO()
        self.heard = asyncio.Event()
        self._fault = fault
        self.listener = Listener(url, self._hear, logs.build(self.output, clock))

    def _hear(self) -> None:
        self.heard.set()
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    async def hears(self) -> bool:
        """Whether something is heard in time; it is forgotten then."""
        try:
            await asyncio.wait_for(self.heard.wait(), PATIENCE)
        except TimeoutError:
            return False
        self.heard.clear()
        return True

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, clock: TurnedClock, fault: Exception | None = None) -> AsyncIterator["Ear"]:
        ear = cls(url, clock, fault)
        ear.listener.start()
        # It always says so when it begins: something may have happened before.
        assert await ear.hears()
        yield ear
        await ear.listener.stop()


@pytest.fixture
async def other(postgres_url: str, tools: Tools) -> AsyncIterator[Database]:
    """The store of another server."""
    database = Database(postgres_url, tools)
    yield database
    await database.close()


def end_listeners(url: str) -> int:
    """End the connections of listeners; answers how many there were."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'authy_grpc listener'"
        )
        return len(ended.fetchall())


@pytest.mark.parametrize(
    "spell",
    [
        plain,
        lambda url: plain(url).replace("postgresql", "postgresql+psycopg", 1),
        lambda url: url.replace("postgresql", "postgres", 1),
    ],
)
async def test_another_servers_commit_is_heard(
    other: Database, clock: TurnedClock, spell: Callable[[str], str]
) -> None:
    async with Ear.at(spell(other.url), clock) as ear:
        await other.write(lambda tx: None)
        assert not ear.heard.is_set()
        await record(other, "a")
        assert await ear.hears()
        assert ear.output.getvalue() == ""


async def test_a_servers_own_commits_are_no_news(other: Database, clock: TurnedClock) -> None:
    here = Database(other.url, other.tools)
    woken: list[None] = []
    told: asyncio.Queue[bool] = asyncio.Queue()

    def is_own(pid: int) -> bool:
        told.put_nowait(own := here.is_own(pid))
        return own

    log = logs.build(io.StringIO(), clock)
    listening = asyncio.Event()

    def wake() -> None:
        woken.append(None)
        listening.set()

    listener = Listener(other.url, wake, log, is_own)
    listener.start()
    async with Ear.at(other.url, clock) as ear, asyncio.timeout(60):
        # It says so when it begins, too.
        await listening.wait()
        for database, own in ((here, True), (other, False), (here, True)):
            before = len(woken)
            await record(database, f"{len(woken)} {own}")
            assert await told.get() is own
            assert await ear.hears()
            assert len(woken) - before == (not own)
    await listener.stop()
    await here.close()


async def test_a_connection_that_ends_is_made_anew_and_said_to_be(
    other: Database, clock: TurnedClock
) -> None:
    async with Ear.at(other.url, clock) as ear:
        assert end_listeners(other.url) == 1
        assert await ear.hears()
        await record(other, "a")
        assert await ear.hears()
        assert "listener broken" in ear.output.getvalue()


async def test_a_server_that_is_away_is_waited_for(other: Database, clock: TurnedClock) -> None:
    async with Proxy.to(other.url) as proxy, Ear.at(proxy.url, clock) as ear:
        proxy.refuses = True
        proxy.cut()
        for _ in range(2):
            await proxy.refused.get()
        proxy.refuses = False
        assert await ear.hears()


async def test_no_fault_ends_it_and_each_is_logged(other: Database, clock: TurnedClock) -> None:
    async with Ear.at(other.url, clock, OSError("secret")) as ear:
        assert await ear.hears()
        await record(other, "a")
        assert await ear.hears()
        assert "OSError" in ear.output.getvalue()
        assert "secret" not in ear.output.getvalue()


async def test_a_wake_up_that_is_lost_costs_a_poll(other: Database, clock: TurnedClock) -> None:
    """Nobody listens here."""
    here = Database(other.url, other.tools)
    signals = Signals(here, logs.build(io.StringIO(), clock), poll=timedelta(seconds=0.05))
    await signals.start()
    with signals.subscribe("app_1") as subscription:
        await record(other, "a")
        assert names(await subscription.wait(5)) == ["a"]
    await signals.stop()
    await here.close()
