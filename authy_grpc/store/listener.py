"""Owns how PostgreSQL tells of commits by other servers: LISTEN on a connection of its own."""

import asyncio
import contextlib
from collections.abc import Callable

from authy_grpc.store.database import CHANNEL

_RETRY_SECONDS = 1.0


class Listener:
    """Wakes those who wait when any server has recorded events. One that is lost costs a poll, no event.

    Args:
        url: `postgresql://…`.
        wake: called in the loop.
    """

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run(), name="authy-listener")

    async def stop(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        # The driver is an extra: only servers on PostgreSQL need it.
        import psycopg

        while True:
            with contextlib.suppress(psycopg.Error):
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    # Something may have happened while nobody listened.
                    self._wake()
                    async for _ in connection.notifies():
                        self._wake()
            await asyncio.sleep(_RETRY_SECONDS)
