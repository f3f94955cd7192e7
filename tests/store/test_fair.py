"""Who waits is let in by turns, and no caller holds all that there is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from authy_grpc.domain.errors import RateLimited
from authy_grpc.store.fair import FairQueue, Turns, has_its_share, in_slices


class Desk:
    """Lets callers in by a queue, and writes down in which order; each holds its slot until it is let out."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.order: list[str] = []
        self.holding: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, callers: Sequence[str]) -> list[asyncio.Task[None]]:
        came = [asyncio.create_task(self._hold(each)) for each in callers]
        self.tasks += came
        await asyncio.sleep(0)
        return came

    async def _hold(self, caller: str) -> None:
        async with self.queue.turn(caller):
            self.order.append(caller)
            done = asyncio.Event()
            self.holding.append((caller, done))
            await done.wait()

    async def let_out(self, count: int = 1) -> None:
        for _ in range(count):
            self.holding.pop(0)[1].set()
            for _ in range(4):
                await asyncio.sleep(0)

    async def empty(self) -> None:
        while self.holding:
            await self.let_out()


@asynccontextmanager
async def desk(slots: int, share: int, **options: int) -> AsyncIterator[Desk]:
    made = Desk(FairQueue(slots, share, **options))
    yield made
    await made.empty()
    await asyncio.gather(*made.tasks)


async def test_callers_take_turns_however_many_one_has_waiting() -> None:
    async with desk(1, 1) as made:
        await made.come(["a"] * 10)
        await made.come(["b", "b", "c"])
        await made.empty()
        assert "".join(made.order) == "aabcab" + "a" * 7


async def test_a_group_has_one_turn_and_its_members_take_turns_within_it() -> None:
    """Whoever has many addresses has no more turns than one caller, and holds up no other of the group."""
    async with desk(1, 1) as made:
        await made.come(["g/a"] * 5)
        await made.come([*(f"g/{number}" for number in range(3)), "b", "b", "c"])
        await made.empty()
        assert made.order == ["g/a", "g/a", "b", "c", "g/0", "b", "g/1", "g/2", "g/a", "g/a", "g/a"]


async def test_one_of_a_group_leaves_room_for_the_others() -> None:
    async with desk(1, 1, most_waiting=20) as made:
        await made.come(["g/a"] * 3)
        with pytest.raises(RateLimited):
            await (await made.come(["g/a"]))[0]
        del made.tasks[-1]
        await made.come([f"g/{number}" for number in range(18)])
        with pytest.raises(RateLimited):
            await (await made.come(["g/full"]))[0]
        del made.tasks[-1]


async def test_in_order_of_coming_the_second_caller_would_be_the_last() -> None:
    """The control: where all are one caller they go in the order in which they came."""
    async with desk(1, 1) as made:
        await made.come(["everybody"] * 3)
        came = await made.come(["everybody"])
        await made.let_out(2)
        assert len(made.order) == 3 and not came[0].done()


async def test_a_caller_never_has_all_slots() -> None:
    async with desk(4, 3) as made:
        await made.come(["a"] * 20)
        assert made.order == ["a"] * 3
        await made.come(["b"])
        assert made.order[-1] == "b"
        # Nor takes the one that another leaves.
        await made.let_out(3)
        assert len(made.holding) == 4
        await made.come(["c"])
        assert [caller for caller, _ in made.holding].count("a") == 3


async def test_who_goes_away_takes_no_turn_and_keeps_no_slot() -> None:
    async with desk(1, 1) as made:
        await made.come(["a"])
        gone = await made.come(["b", "b"])
        await made.come(["c"])
        for each in gone:
            each.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        made.tasks = [each for each in made.tasks if each not in gone]
        await made.let_out()
        assert made.order == ["a", "c"]


async def test_a_turn_that_is_given_to_one_who_goes_away_is_given_on() -> None:
    async with desk(1, 1) as made:
        await made.come(["a"])
        (gone,) = await made.come(["b"])
        await made.come(["c"])
        made.holding.pop(0)[1].set()
        # Until `a` has left, and `b` has the slot but has not woken.
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        made.tasks.remove(gone)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert made.order[-1] == "c"


async def test_of_one_caller_so_many_wait_and_others_are_not_refused_for_it() -> None:
    async with desk(1, 1, most_waiting=3) as made:
        await made.come(["a"] * 4)
        (late,) = await made.come(["a"])
        with pytest.raises(RateLimited) as refused:
            await late
        assert refused.value.retry_after
        made.tasks.remove(late)
        await made.come(["b"])
        await made.empty()
        assert made.order == ["a", "a", "b", "a", "a"]


async def test_who_went_away_is_not_counted_as_waiting() -> None:
    """A database that hangs sends calls away when their time is up; the next does not ask too often."""
    async with desk(1, 1, most_waiting=3) as made:
        await made.come(["a"])
        gone = await made.come(["a"] * 3)
        for each in gone:
            each.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        (next_one,) = await made.come(["a"])
        assert not next_one.done()
        made.tasks = [each for each in made.tasks if each not in gone]
        await made.empty()
        assert made.order == ["a", "a"]


async def test_long_lists_are_made_in_slices() -> None:
    steps: list[object] = []

    async def beside() -> None:
        while len(steps) < 100:
            steps.append("beside")
            await asyncio.sleep(0)

    def make(number: int) -> int:
        steps.append(number)
        return number

    other = asyncio.create_task(beside())
    assert await in_slices(make, range(60)) == list(range(60))
    # With a control: of a list that is one slice nothing else comes between.
    first = steps.index(19) - steps.index(0)
    assert first == 19 and "beside" in steps[steps.index(19) : steps.index(20)]
    other.cancel()


def test_a_group_that_waits_has_one_turn_and_its_members_take_turns_within_it() -> None:
    waiting: Turns[str] = Turns()
    for each in ("g/a1", "g/a2", "g/a3", "g/b1", "c1", "c2", "g/d1"):
        waiting.add(each[:-1], each)
    waiting.remove("g/d", "g/d1")
    waiting.remove("g/e", "g/e1")
    assert (len(waiting), waiting.of("g"), waiting.of("g/a"), waiting.of("g/d")) == (6, 4, 3, 0)
    assert has_its_share(waiting, "g/x", 4) and not has_its_share(waiting, "g/x", 40)
    assert has_its_share(waiting, "g/a", 30) and not has_its_share(waiting, "c", 3)
    assert [waiting.pop() for _ in range(6)] == ["g/a1", "c1", "g/b1", "c2", "g/a2", "g/a3"]
    assert (len(waiting), waiting.of("g"), waiting.of("g/a")) == (0, 0, 0)


def test_what_waits_is_taken_by_turns_of_callers() -> None:
    waiting: Turns[str] = Turns()
    for each in ("a1", "a2", "a3", "b1", "a4", "c1", "b2"):
        waiting.add(each[0], each)
    waiting.remove("a", "a2")
    waiting.remove("a", "gone")
    waiting.remove("d", "d1")
    assert (len(waiting), waiting.of("a"), waiting.of("d")) == (6, 3, 0)
    assert [waiting.pop() for _ in range(6)] == ["a1", "b1", "c1", "a3", "b2", "a4"]
    assert len(waiting) == 0
    # With a control: of one caller they are taken as they came.
    for each in ("a1", "a2", "b1"):
        waiting.add("", each)
    assert [waiting.pop() for _ in range(3)] == ["a1", "a2", "b1"]
