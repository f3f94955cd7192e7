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
        group = group_of(caller)
        if self._may_run(group):
            self._take(group)
        else:
            await self._wait(group, caller)
        try:
            yield
        finally:
            self._release(group)

    async def _wait(self, group: str, caller: str) -> None:
        waiting = self._waiting.setdefault(group, Turns())
        if has_its_share(waiting, caller, self._most_waiting):
            raise RateLimited(_TRY_AGAIN)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.add(caller, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(group)
            else:
                # Who has gone counts for nothing: it must not be why the next is refused.
                waiting.remove(caller, turn)
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
    """A queue in which callers take turns, however many one has waiting; what one brought stays in order.

    Callers of a group (`GROUP/CALLER`) share one turn, and take turns within it.
    """

    def __init__(self) -> None:
        # By group and caller, in the order of their turns; who has nothing waiting is not there.
        self._waiting: OrderedDict[str, OrderedDict[str, OrderedDict[Item, None]]] = OrderedDict()
        self._of = Counter[str]()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, caller: str) -> int:
        """How many a caller, or a group, has waiting."""
        return self._of[caller]

    def add(self, caller: str, item: Item) -> None:
        """Add an item behind the caller's others."""
        group = group_of(caller)
        self._waiting.setdefault(group, OrderedDict()).setdefault(caller, OrderedDict())[item] = None
        self._add(group, caller, 1)

    def remove(self, caller: str, item: Item) -> None:
        """Take an item back, if it still waits."""
        group = group_of(caller)
        callers = self._waiting.get(group)
        if callers is not None and item in callers.get(caller, ()):
            del callers[caller][item]
            self._add(group, caller, -1)

    def pop(self) -> Item:
        """The first item of the caller whose turn it is."""
        group, callers = next(iter(self._waiting.items()))
        caller, waiting = next(iter(callers.items()))
        item, _ = waiting.popitem(last=False)
        callers.move_to_end(caller)
        self._waiting.move_to_end(group)
        self._add(group, caller, -1)
        return item

    def _add(self, group: str, caller: str, count: int) -> None:
        """Count, and forget who has nothing waiting."""
        self._count += count
        for name in {group, caller}:
            self._of[name] += count
            if not self._of[name]:
                del self._of[name]
        if not self._waiting[group][caller]:
            del self._waiting[group][caller]
        if not self._waiting[group]:
            del self._waiting[group]


def has_its_share(waiting: Turns[Item], caller: str, most: int) -> bool:
    """Whether no more of a caller may wait: of a group so many, and of one of its callers a tenth.

    So that one of a group leaves room for the others.
    """
    group = group_of(caller)
    return waiting.of(group) >= most or (group != caller and waiting.of(caller) >= most // _MEMBERS)


def group_of(caller: str) -> str:
    """The group of a caller; a caller of none is one by itself."""
    return caller.partition("/")[0]


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
