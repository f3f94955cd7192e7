"""Reads and watches the feed of a site: every event once, in order, from a cursor on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from authy_grpc.domain.errors import CursorExpired
from authy_grpc.domain.event import matches
from authy_grpc.service.caller import Site
from authy_grpc.service.heartbeat import HEARTBEAT, Heartbeat
from authy_grpc.service.signals import Signals
from authy_grpc.store import cursor as cursors
from authy_grpc.store import events, page, position
from authy_grpc.store.database import Database
from authy_grpc.store.events import PAGE_BYTES, Position, Recorded, may_have_more
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_PAGE = 200
_FROM_THE_BEGINNING = "earliest"


@dataclass(frozen=True, slots=True)
class FeedItem:
    """An event and where to go on from; without an event, a checkpoint."""

    event: Recorded | None
    cursor: str


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some events, where to go on from, and whether there are more now."""

    events: list[Recorded]
    cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """Events after a place, where to go on from, and whether more can be read now."""

    events: list[Recorded]
    after: Position
    more: bool


class Feed:
    """What happened to the users of a site.

    Args:
        database: where events are kept.
        vault: seals cursors.
        signals: wake those who watch.
        random: source of random bytes, for the jitter of checkpoints.
        checkpoint: how long a watcher hears nothing at most.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        signals: Signals,
        random: Callable[[int], bytes],
        checkpoint: timedelta = HEARTBEAT,
    ) -> None:
        self._database = database
        self._vault = vault
        self._signals = signals
        self._heartbeat = Heartbeat(random, checkpoint)

    async def list_page(self, caller: Site, cursor: str, types: Sequence[str], page_size: int) -> FeedPage:
        """Read a page.

        Args:
            caller: whose feed.
            cursor: after which; empty for from now on, `earliest` for all that is kept.
            types: whole types, or beginnings that end in `*`; none for all.
            page_size: at most so many; a page ends at 1 MiB too.

        Raises:
            BadField: the cursor is not of this site's feed.
            CursorExpired: it is older than what is kept, or of events that a restored database has lost.
        """
        size, found = page.size(page_size), list[_Found]()

        def work(tx: Tx) -> list[Recorded]:
            # It may be run again.
            found[:] = [self._begin(tx, caller, cursor, types, size)]
            return found[0].events

        events = await self._database.page(work, _opened, by=caller.application_id)
        return FeedPage(events, self._seal(caller, found[0].after), found[0].more)

    async def watch(self, caller: Site, cursor: str, types: Sequence[str]) -> AsyncGenerator[FeedItem, None]:
        """Read what is there after a cursor, then what happens, with a checkpoint at least every 25 s.

        A page is read at a time, so a slow reader costs no memory. Arguments and errors: `list_page`.
        """
        with self._signals.subscribe(caller.application_id) as subscription:
            found = await self._read(caller, lambda tx: self._begin(tx, caller, cursor, types, _PAGE))
            if not found.events:
                yield FeedItem(None, self._seal(caller, found.after))
            while True:
                for row in found.events:
                    yield FeedItem(row, self._seal(caller, row.position))
                after, due = found.after, self._due()
                while not found.more and not subscription.behind:
                    for row in await subscription.wait(due - self._time()):
                        if row.position <= after or row.application_id != caller.application_id:
                            continue
                        after = row.position
                        if matches(row.type, types):
                            yield FeedItem(row, self._seal(caller, after))
                            due = self._due()
                    if self._time() >= due:
                        after = max(after, subscription.read_up_to)
                        yield FeedItem(None, self._seal(caller, after))
                        due = self._due()
                subscription.catch_up()
                found = await self._read(caller, self._next(caller, after, types))

    async def _read(self, caller: Site, work: Callable[[Tx], _Found]) -> _Found:
        return await self._database.read(work, by=caller.application_id, pages=True)

    def _due(self) -> float:
        """When to say something if nothing happens."""
        return self._time() + self._heartbeat.pause()

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    def _next(self, caller: Site, after: Position, types: Sequence[str]) -> Callable[[Tx], _Found]:
        return lambda tx: self._find(tx, caller, after, types, _PAGE)

    def _begin(self, tx: Tx, caller: Site, cursor: str, types: Sequence[str], limit: int) -> _Found:
        if not cursor:
            return _Found([], events.newest(tx), more=False)
        if cursor == _FROM_THE_BEGINNING:
            return self._find(tx, caller, position.pruned(tx), types, limit)
        after = cursors.open_cursor(tx.vault, caller.application_id, cursor)
        return self._find(tx, caller, after, types, limit)

    def _find(self, tx: Tx, caller: Site, after: Position, types: Sequence[str], limit: int) -> _Found:
        newest = events.newest(tx)
        if not position.pruned(tx) <= after <= newest:
            raise CursorExpired
        rows = events.read_after(
            tx, after, application_id=caller.application_id, types=types, limit=limit + 1
        )
        shown = _within(rows[:limit])
        if len(shown) < len(rows) or may_have_more(rows, limit + 1):
            return _Found(shown, shown[-1].position, more=True)
        # What others did, or is of other types, has been passed too.
        return _Found(shown, newest, more=False)

    def _seal(self, caller: Site, place: Position) -> str:
        return cursors.seal_cursor(self._vault, caller.application_id, place)


def _opened(event: Recorded) -> Recorded:
    """What it says is decrypted and read here, in the caller's turn, and no more when it is encoded."""
    _ = event.body
    return event


def _within(events: list[Recorded]) -> list[Recorded]:
    """As many as fit into a page's bytes, and one at least."""
    total = 0
    for index, event in enumerate(events):
        total += event.size
        if total > PAGE_BYTES and index:
            return events[:index]
    return events
