"""Relays streams: what ends one, how many a caller holds, and how its messages get to a slow peer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from authy_grpc.domain.errors import BadCredential, Draining, RateLimited, Refusal
from authy_grpc.rpc.auth import caller
from authy_grpc.rpc.call import Context
from authy_grpc.service.caller import Caller, Device, Site
from authy_grpc.store.fair import FairQueue

Ended = Callable[[Caller], AbstractAsyncContextManager[asyncio.Event]]
_Item = TypeVar("_Item")
_JITTER = 0.1
_AT_ONCE = 100
# A stream takes some 40 KiB. A site has one for each user who waits, a phone one for its inbox.
_MOST_OF_SITE, _MOST_OF_DEVICE = 10_000, 10
_TRY_AGAIN = timedelta(seconds=30)
_ANY_NUMBER = 10**9


class _Life:
    """One stream that may be ended from outside, while it waits for its next message.

    Ending it is a deadline that has passed: `asyncio.timeout` tells that from a peer's hang-up. A write is
    never interrupted: grpc could not send the status then.
    """

    def __init__(self, when: float, refusal: Refusal) -> None:
        self._when = when
        self._refusal = refusal
        self._loop = asyncio.get_running_loop()
        self._wait: asyncio.Timeout | None = None

    def end(self, refusal: Refusal) -> None:
        """End the stream with a refusal; what has ended before ends as it would have."""
        now = self._loop.time()
        if self._when <= now:
            return
        self._when, self._refusal = now, refusal
        if self._wait is not None:
            self._wait.reschedule(now)

    async def next(self, messages: AsyncIterator[_Item]) -> _Item:
        """The next message.

        Raises:
            StopAsyncIteration: there is none.
            Refusal: the stream has to end.
        """
        if self._when <= self._loop.time():
            raise self._refusal
        wait = self._wait = asyncio.timeout_at(self._when)
        try:
            async with wait:
                return await anext(messages)
        except TimeoutError:
            if not wait.expired():
                raise
            raise self._refusal from None
        finally:
            self._wait = None


class Streams:
    """All streams of this server.

    Args:
        clock: the time now.
        random: random bytes, for the jitter of ages.
        ended: an event that is set when the caller's credential is revoked.
        max_age: how long a stream lives at most, give or take a tenth.
        write_timeout: how long one message may wait for a peer that does not read.
        most_of_site: how many a site may hold, with all of its keys.
        most_of_device: how many a session of a device may hold. Counted by session, or who has a stolen token
            could hold all, and the owner would hear no alarm.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes],
        ended: Ended,
        max_age: timedelta = timedelta(minutes=30),
        write_timeout: timedelta = timedelta(seconds=30),
        most_of_site: int = _MOST_OF_SITE,
        most_of_device: int = _MOST_OF_DEVICE,
    ) -> None:
        self._clock = clock
        self._random = random
        self._ended = ended
        self._max_age = max_age.total_seconds()
        self._write_timeout = write_timeout.total_seconds()
        self._most_of_site = most_of_site
        self._most_of_device = most_of_device
        self._open: set[_Life] = set()
        # How many each site and session holds.
        self._held = Counter[str]()
        # What wakes thousands of streams of one caller is written to one after another, and the loop does all
        # else between.
        self._turns = FairQueue(_ANY_NUMBER, 1, most_waiting=_ANY_NUMBER)
        self._draining = False

    async def relay(
        self, context: Context, messages: AsyncIterator[_Item], encode: Callable[[_Item], Any] | None = None
    ) -> None:
        """Write messages to the peer until they end, the peer hangs up, or the stream has to end.

        Args:
            messages: closed at the end, however it comes.
            encode: makes the message of an item. Given here rather than in a generator around `messages`,
                since closing a generator does not close the one that it reads.

        Raises:
            Draining: the server stops, the stream is old enough, or the peer does not read.
            BadCredential: the caller's credential has ended.
            RateLimited: the caller holds as many streams as it may.
        """
        try:
            async with self._lived() as life:
                await self._pump(context, messages, encode, life)
        finally:
            close = getattr(messages, "aclose", None)
            if close is not None:
                await close()

    async def drain(self) -> None:
        """End all streams, and those that come from now on."""
        self._draining = True
        for number, life in enumerate(tuple(self._open), 1):
            life.end(Draining())
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    @asynccontextmanager
    async def _lived(self) -> AsyncIterator[_Life]:
        if self._draining:
            raise Draining
        with self._placed():
            life = self._new()
            self._open.add(life)
            try:
                async with self._revocable(life):
                    yield life
            finally:
                self._open.discard(life)

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """A place among the caller's own streams. Theirs alone: nobody takes another's."""
        who = caller()
        if isinstance(who, Site):
            holder, most = who.application_id, self._most_of_site
        elif isinstance(who, Device):
            holder, most = who.session_id, self._most_of_device
        else:
            yield
            return
        if self._held[holder] >= most:
            raise RateLimited(_TRY_AGAIN)
        self._held[holder] += 1
        try:
            yield
        finally:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]

    def _new(self) -> _Life:
        share = int.from_bytes(self._random(4)) / 0xFFFFFFFF
        age = self._max_age * (1 - _JITTER + 2 * _JITTER * share)
        end = _expire_time(caller())
        left = (end - self._clock()).total_seconds() if end is not None else age
        when = asyncio.get_running_loop().time() + max(0.0, min(age, left))
        return _Life(when, BadCredential() if left < age else Draining())

    @asynccontextmanager
    async def _revocable(self, life: _Life) -> AsyncIterator[None]:
        who = caller()
        if who is None:
            yield
            return
        async with self._ended(who) as event:
            watch = asyncio.ensure_future(_tell(event, life))
            try:
                yield
            finally:
                watch.cancel()

    async def _pump(
        self,
        context: Context,
        messages: AsyncIterator[_Item],
        encode: Callable[[_Item], Any] | None,
        life: _Life,
    ) -> None:
        # Tells the peer that the stream is open; a status can be sent while a first write is stuck, too.
        await context.send_initial_metadata(())
        end, holder = _expire_time(caller()), _holder(caller())
        while True:
            try:
                item = await life.next(messages)
            except StopAsyncIteration:
                return
            if end is not None and self._clock() >= end:
                raise BadCredential
            if holder:
                async with self._turns.turn(holder):
                    # Those that were woken with it see that it is not their turn.
                    await asyncio.sleep(0)
                    message = encode(item) if encode else item
            else:
                # Nobody's are few, and are told that the server stops before they are ended.
                message = encode(item) if encode else item
            await self._write(context, message)

    async def _write(self, context: Context, message: Any) -> None:
        limit = asyncio.timeout(self._write_timeout)
        try:
            async with limit:
                await context.write(message)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Draining from None


async def _tell(event: asyncio.Event, life: _Life) -> None:
    await event.wait()
    life.end(BadCredential())


def _holder(who: Caller | None) -> str:
    """Whose turn a stream takes."""
    if isinstance(who, Site):
        return who.application_id
    return who.account_id if isinstance(who, Device) else ""


def _expire_time(who: Caller | None) -> datetime | None:
    return who.expire_time if isinstance(who, Site | Device) else None
