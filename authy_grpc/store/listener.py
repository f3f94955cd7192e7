"""Owns how PostgreSQL tells of commits by other servers: LISTEN on a connection of its own."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from structlog.typing import FilteringBoundLogger

from authy_grpc.store.commit import CHANNEL
from authy_grpc.store.engine import POSTGRES_CONNECTION, plain

_RETRY_SECONDS = 1.0


class Listener:
    """Wakes those who wait when any server has recorded events. One that is lost costs a poll, no event.

    Args:
        url: `postgresql://…`.
        wake: called in the loop.
        log: where faults are written.
    """

    def __init__(self, url: str, wake: Callable[[], None], log: FilteringBoundLogger) -> None:
        self._url = plain(url)
        self._wake = wake
        self._log = log
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
        while True:
            try:
                await self._listen()
            except Exception as error:
                # Whatever the fault: who waits would wait for polls alone from now on.
                self._log.warning("listener broken", exc_info=error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        # The driver is an extra: only servers on PostgreSQL need it.
        import psycopg

        options: dict[str, Any] = {"application_name": "authy_grpc listener", **POSTGRES_CONNECTION}
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, **options)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            # Something may have happened while nobody listened.
            self._wake()
            async for _ in connection.notifies():
                self._wake()
