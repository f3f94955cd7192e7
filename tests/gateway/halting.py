"""A gateway's deliverer that tells how far each post has got, and may halt there."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any

import grpc.aio

from authy_grpc import logs
from authy_grpc.outbound.web import Addresses, Answer, Web
from gateway.webhooks import Deliverer

# Given a point and the id of an event or, once it is reported, of a post: it goes on when this returns.
Reach = Callable[[str, str], Awaitable[None]]


class _Web(Web):
    def __init__(self, clock: Callable[[], datetime], reach: Reach) -> None:
        super().__init__(Addresses(dev=True), clock)
        self._reach = reach

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, **options: Any) -> Answer:
        await self._reach("leased", headers["webhook-id"])
        answer = await super().post(url, headers, body)
        await self._reach("answered", headers["webhook-id"])
        return answer


class _Channel:
    def __init__(self, channel: grpc.aio.Channel, reach: Reach) -> None:
        self._channel = channel
        self._reach = reach
        self.unary_stream = channel.unary_stream

    def unary_unary(self, path: str, **options: Any) -> Any:
        call: Any = self._channel.unary_unary(path, **options)

        async def report(request: Any, **options: Any) -> Any:
            answer = await call(request, **options)
            await self._reach("reported", request.delivery_id)
            return answer

        return report


def halting(
    channel: grpc.aio.Channel, key: str, clock: Callable[[], datetime], reach: Reach, **options: Any
) -> Deliverer:
    """A deliverer that waits at `leased`, `answered` and `reported` for as long as `reach` does."""
    log = logs.build(io.StringIO(), clock)
    return Deliverer(_Channel(channel, reach), key, _Web(clock, reach), log, **options)


def live(line: Connection, target: str, key: str, now: datetime, point: str) -> None:
    """Deliver until each post has got to a point, say so, and go no further."""
    asyncio.run(_deliver(line, target, key, now, point))


async def _deliver(line: Connection, target: str, key: str, now: datetime, point: str) -> None:
    async def reach(there: str, name: str) -> None:
        if there == point:
            line.send(name)
            await asyncio.Event().wait()

    async with grpc.aio.insecure_channel(target) as channel:
        deliverer = halting(channel, key, lambda: now, reach)
        deliverer.start()
        # It does not outlive the tests.
        with suppress(EOFError):
            await asyncio.to_thread(line.recv)
        await deliverer.stop(now=True)
