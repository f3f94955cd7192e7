"""Wakes subscribers by topic. The table is the truth: a process reads its new rows once and hands them on."""

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from structlog.typing import FilteringBoundLogger

from authy_grpc.domain.errors import BackendUnavailable
from authy_grpc.store import events, figures
from authy_grpc.store.database import Database
from authy_grpc.store.events import EARLIEST, Position, Recorded, may_have_more
from authy_grpc.store.tx import Tx

_PAGE = 500
_KEPT = 1_000
# A lost signal costs this long, never an event.
_POLL = timedelta(seconds=5)
_UNSETTLED_SECONDS = 0.02
_RETRY_SECONDS = 0.5
_BROADCAST = 100


class Subscription:
    """What happens to some topics from now on. A slow reader falls `behind`, and reads the table instead."""

    def __init__(self, signals: "Signals", topics: Iterable[str]) -> None:
        self._signals = signals
        self.topics = frozenset(topics)
        self._rows: deque[Recorded] = deque()
        self._ready = asyncio.Event()
        self.behind = False

    def __enter__(self) -> Self:
        self._signals.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signals.remove(self)

    def put(self, row: Recorded) -> None:
        """Hand a row over; called by the tailer."""
        if len(self._rows) >= _KEPT:
            self._rows.clear()
            self.behind = True
        if not self.behind:
            self._rows.append(row)
        self._ready.set()

    async def wait(self, seconds: float | None = None) -> list[Recorded]:
        """Wait for what happens, and take it.

        Args:
            seconds: how long at most; None: for ever.

        Returns:
            The rows in order; none after the time, or where the reader had fallen `behind`.
        """
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: in 3.11 that loses a cancellation that comes with what is waited for.
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        self._ready.clear()
        rows = list(self._rows)
        self._rows.clear()
        return rows

    @property
    def read_up_to(self) -> Position:
        """All that happened up to there has been taken from here; `EARLIEST` where some of it waits."""
        return EARLIEST if self._rows or self.behind else self._signals.position

    def catch_up(self) -> None:
        """Say that the table will be read now: rows are kept again."""
        self.behind = False


class Signals:
    """Wakes those who wait.

    Args:
        database: where events are read.
        log: where faults are written.
        poll: how often the table is looked at though nothing was heard.
    """

    def __init__(self, database: Database, log: FilteringBoundLogger, *, poll: timedelta = _POLL) -> None:
        self._log = log
        self._poll = poll.total_seconds()
        self._database = database
        self._wake = asyncio.Event()
        self._topics: dict[str, set[Subscription]] = defaultdict(set)
        self._handed = 0
        # All rows up to there have been handed out.
        self.position: Position = EARLIEST
        self._task: asyncio.Task[None] | None = None

    async def unread_since(self) -> datetime | None:
        """When the oldest event was recorded that nobody here was handed yet; None for none."""
        return await self._database.read(lambda tx: figures.unread_since(tx, self.position))

    def wake(self) -> None:
        """Say that there may be new rows. A lost wake-up costs time, never an event."""
        self._wake.set()

    def subscribe(self, *topics: str) -> Subscription:
        """What happens to applications, accounts, enrollments, approvals or credentials, by their ids."""
        return Subscription(self, topics)

    def add(self, subscription: Subscription) -> None:
        """Begin to hand rows to a subscription."""
        for topic in subscription.topics:
            self._topics[topic].add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Hand it no more."""
        for topic in subscription.topics:
            self._topics[topic].discard(subscription)
            if not self._topics[topic]:
                del self._topics[topic]

    async def start(self) -> None:
        """Begin after the newest row there is."""
        self.position = await self._database.read(events.newest)
        self._task = asyncio.create_task(self._run(), name="authy-tailer")

    async def stop(self) -> None:
        """End the tailer."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        pause = self._poll
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()
            try:
                pause = await self._hand_out()
            except Exception as error:
                # Nobody would be woken any more if it ended: it goes on where it was, whatever the fault.
                level = self._log.warning if isinstance(error, BackendUnavailable) else self._log.error
                level("feed unreadable", exc_info=error)
                pause = _RETRY_SECONDS

    async def _hand_out(self) -> float:
        """Read what is new and hand it over; answers after how many seconds to look again."""
        while True:
            rows, unsettled = await self._database.read(self._new_rows)
            for row in rows:
                await self._hand_over(row)
                self.position = row.position
            if not may_have_more(rows, _PAGE):
                return _UNSETTLED_SECONDS if unsettled else self._poll

    async def _hand_over(self, row: Recorded) -> None:
        """Once to each, however many of its topics it waits for; the loop has its turn every 100 streams."""
        subscriptions = dict.fromkeys(each for topic in row.topics for each in self._topics.get(topic, ()))
        for subscription in subscriptions:
            subscription.put(row)
            self._handed += 1
            if self._handed % _BROADCAST == 0:
                await asyncio.sleep(0)

    def _new_rows(self, tx: Tx) -> tuple[list[Recorded], bool]:
        return events.read_new(tx, self.position, _PAGE)
