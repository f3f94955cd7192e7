"""Fair queues (round robin by caller): one that admits so many at once, and one of items that wait."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Generic, TypeVar

from authy_grpc.domain.errors import RateLimited

T = TypeVar("T")
Item = TypeVar("Item")

# Some 0.6 ms of work, and a pause: else pages alone would keep the process busy, and each call that comes
# between would wait for the interpreter many times.
_SLICE, _PAUSE_SECONDS = 20, 0.002
_MOST_WAITING = 2_000
_MEMBERS = 10
_TRY_AGAIN = timedelta(seconds=1)


class FairQueue:
    """Who waits is let in by turns: one of each caller, however many one caller has waiting.

    Callers of a group (`GROUP/CALLER`) share one turn and one share, and take turns within it.

    Args:
        slots: at once, of all callers.
        share: at once, of one caller: where it is less than `slots`, another caller finds one free.
        most_waiting: of one caller or group; of a caller of a group a tenth.
    """

    def __init__(self, slots: int, share: int, *, most_waiting: int = _MOST_WAITING) -> None:
        self._free = slots
        self._share = share
        self._most_waiting = most_waiting
        self._running = Counter[str]()
        # In the order of their turns.
        self._waiting: OrderedDict[str, Turns[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it as long as the context lasts.

        Raises:
            RateLimited: the caller has too many waiting.
        """
        group, _, member = caller.partition("/")
        if self._may_run(group):
            self._take(group)
        else:
            await self._wait(group, member)
        try:
            yield
        finally:
            self._release(group)

    async def _wait(self, group: str, member: str) -> None:
        waiting = self._waiting.setdefault(group, Turns())
        # One of a group leaves room for the others.
        most = self._most_waiting // _MEMBERS if member else self._most_waiting
        if len(waiting) >= self._most_waiting or waiting.of(member) >= most:
            raise RateLimited(_TRY_AGAIN)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.add(member, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(group)
            else:
                # Who has gone counts for nothing: it must not be why the next is refused.
                waiting.remove(member, turn)
            raise

    def _may_run(self, caller: str) -> bool:
        # Who waits while a slot is free has its share already.
        return self._free > 0 and self._running[caller] < self._share

    def _take(self, caller: str) -> None:
        self._free -= 1
        self._running[caller] += 1

    def _release(self, caller: str) -> None:
        self._free += 1
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        while self._free and self._let_in():
            pass

    def _let_in(self) -> bool:
        """Give a slot to the first in turn that may have one; answers whether there was one."""
        for caller, waiting in self._waiting.items():
            if waiting and not self._may_run(caller):
                continue
            while waiting:
                turn = waiting.pop()
                # Else it was cancelled, and has not yet gone.
                if not turn.done():
                    self._take(caller)
                    turn.set_result(None)
                    self._waiting.move_to_end(caller)
                    break
            if not waiting:
                del self._waiting[caller]
            return True
        return False


class Turns(Generic[Item]):
    """A queue in which callers take turns, however many one has waiting; what one brought stays in order."""

    def __init__(self) -> None:
        # In the order of their turns; a caller with nothing waiting is not there.
        self._waiting: OrderedDict[str, OrderedDict[Item, None]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, caller: str) -> int:
        """How many a caller has waiting."""
        return len(self._waiting.get(caller, ()))

    def add(self, caller: str, item: Item) -> None:
        """Add an item behind the caller's others."""
        self._waiting.setdefault(caller, OrderedDict())[item] = None
        self._count += 1

    def remove(self, caller: str, item: Item) -> None:
        """Take an item back, if it still waits."""
        waiting = self._waiting.get(caller)
        if waiting is None or item not in waiting:
            return
        del waiting[item]
        self._count -= 1
        if not waiting:
            del self._waiting[caller]

    def pop(self) -> Item:
        """The first item of the caller whose turn it is."""
        caller, waiting = next(iter(self._waiting.items()))
        item, _ = waiting.popitem(last=False)
        self._count -= 1
        if waiting:
            self._waiting.move_to_end(caller)
        else:
            del self._waiting[caller]
        return item


async def in_slices(make: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """Make something of each of many items on the event loop, which does all else between slices of them.

    Twenty items, the most part of all pages, are one slice.
    """
    made = list[T]()
    for number, item in enumerate(items, 1):
        made.append(make(item))
        if number % _SLICE == 0:
            await asyncio.sleep(_PAUSE_SECONDS)
    return made
