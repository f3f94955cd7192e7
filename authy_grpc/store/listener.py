"""Listens for commits by other servers: PostgreSQL's LISTEN, on a connection of its own."""

import asyncio
import contextlib
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from authy_grpc.store.commit import CHANNEL
from authy_grpc.store.postgres import parameters

_RETRY_SECONDS = 1.0
# How often a quiet connection is asked whether it is still there, and how long it may take to say so.
_QUIET_SECONDS, _ANSWER_SECONDS = 30.0, 8.0
# What can be read need not be a whole notice.
_READ_SECONDS = 1.0


class Listener:
    """Wakes those who wait when any server has recorded events. One that is lost costs a poll, no event.

    Args:
        url: `postgresql://…`; past a pooler, which hands a session to others.
        wake: called in the loop.
        log: where faults are written.
        is_own: whether a process of PostgreSQL tells of what this server itself has committed.
    """

    def __init__(
        self,
        url: str,
        wake: Callable[[], None],
        log: FilteringBoundLogger,
        is_own: Callable[[int], bool] = lambda pid: False,
    ) -> None:
        self._url = url
        self._is_own = is_own
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

        given = {"application_name": "authy_grpc listener", **parameters(self._url, "AUTHY_SIGNALS_URL")}
        connection = await psycopg.AsyncConnection.connect("", **given, autocommit=True)
        async with connection:
            while True:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await connection.execute(f"LISTEN {CHANNEL}")
                # Something may have happened while nobody listened.
                self._wake()
                while await _readable(connection.fileno(), _QUIET_SECONDS):
                    async for notice in connection.notifies(timeout=_READ_SECONDS, stop_after=1):
                        if not self._is_own(notice.pid):
                            self._wake()


async def _readable(file: int, seconds: float) -> bool:
    """Wait until something can be read; False after the time. psycopg's own wait looks ten times a second."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(file, readable.set)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await readable.wait()
        return readable.is_set()
    finally:
        loop.remove_reader(file)
