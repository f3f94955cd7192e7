"""Owns the feed of a site: every event once, in order, from a cursor on."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from authy_grpc.domain.errors import CursorExpired
from authy_grpc.domain.event import matches
from authy_grpc.service.caller import Site
from authy_grpc.service.signals import Signals, Subscription
from authy_grpc.store import cursor as cursors
from authy_grpc.store import page
from authy_grpc.store.database import Database, Session
from authy_grpc.store.events import EARLIEST, Events, Position, Recorded
from authy_grpc.store.vault import Vault

_PAGE = 200
_PAGE_BYTES = 1024 * 1024
_FROM_THE_BEGINNING = "earliest"
_CHECKPOINT_SECONDS = 27.0
_JITTER = 0.1


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


class Feed:
    """What happened to the users of a site.

    Args:
        database: where events are kept.
        vault: seals cursors.
        events: reads them.
        signals: wake those who watch.
        random: source of random bytes, for the jitter of checkpoints.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        events: Events,
        signals: Signals,
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._vault = vault
        self._events = events
        self._signals = signals
        self._random = random

    async def list_page(self, caller: Site, cursor: str, types: Sequence[str], page_size: int) -> FeedPage:
        """Read a page.

        Args:
            caller: whose feed.
            cursor: after which; empty for from now on, `earliest` for all that is kept.
            types: whole types, or beginnings that end in `*`; none for all.
            page_size: at most so many; a page ends at 1 MiB too.

        Raises:
            BadField: the cursor is not of this site's feed.
            CursorExpired: it is older than what is kept.
        """
        size = page.size(page_size)

        def work(session: Session) -> tuple[list[Recorded], Position]:
            position = self._position(session, caller, cursor)
            if not cursor:
                return [], position
            return self._read(session, caller, position, types, size + 1), position

        found, position = await self._database.read(work)
        events = _within(found[:size])
        last = events[-1].position if events else position
        return FeedPage(events, self._seal(caller, last), has_more=len(found) > len(events))

    async def watch(self, caller: Site, cursor: str, types: Sequence[str]) -> AsyncIterator[FeedItem]:
        """Read what is there after a cursor, then what happens, with a checkpoint at least every 30 s.

        A page is read at a time, so a slow reader costs no memory. Arguments and errors: `list_page`.
        """
        with self._signals.subscribe(caller.application_id) as subscription:
            position = await self._database.read(lambda session: self._position(session, caller, cursor))
            behind = bool(cursor)
            yield FeedItem(None, self._seal(caller, position))
            while True:
                if behind:
                    subscription.catch_up()
                    async for row in self._missed(caller, position, types):
                        position = row.position
                        yield FeedItem(row, self._seal(caller, position))
                    behind = False
                said = False
                for row in await self._happened(subscription):
                    if row.position <= position:
                        continue
                    position = row.position
                    if matches(row.type, types):
                        said = True
                        yield FeedItem(row, self._seal(caller, position))
                behind = subscription.behind
                if not said and not behind:
                    position = max(position, subscription.read_up_to)
                    yield FeedItem(None, self._seal(caller, position))

    async def _happened(self, subscription: Subscription) -> list[Recorded]:
        share = int.from_bytes(self._random(2)) / 0xFFFF
        return await subscription.wait(_CHECKPOINT_SECONDS * (1 - _JITTER + 2 * _JITTER * share))

    async def _missed(
        self, caller: Site, position: Position, types: Sequence[str]
    ) -> AsyncIterator[Recorded]:
        while True:
            after = position
            rows = await self._database.read(
                lambda session: self._read(session, caller, after, types, _PAGE)  # noqa: B023
            )
            for row in rows:
                yield row
                position = row.position
            if len(rows) < _PAGE:
                return

    def _read(
        self, session: Session, caller: Site, position: Position, types: Sequence[str], limit: int
    ) -> list[Recorded]:
        return self._events.read_after(
            session, position, application_id=caller.application_id, types=types, limit=limit
        )

    def _position(self, session: Session, caller: Site, cursor: str) -> Position:
        if not cursor:
            return self._events.newest(session)
        if cursor == _FROM_THE_BEGINNING:
            return EARLIEST
        position = cursors.open_cursor(self._vault, caller.application_id, cursor)
        if position < cursors.pruned(session):
            raise CursorExpired
        return position

    def _seal(self, caller: Site, position: Position) -> str:
        return cursors.seal_cursor(self._vault, caller.application_id, position)


def _within(events: list[Recorded]) -> list[Recorded]:
    """As many as fit into a page's bytes, and one at least."""
    total = 0
    for index, event in enumerate(events):
        total += event.size
        if total > _PAGE_BYTES and index:
            return events[:index]
    return events
