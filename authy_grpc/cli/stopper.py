"""Stops servers at SIGTERM and SIGINT, and renews certificates at SIGHUP."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from authy_grpc.cli import supervisor

if TYPE_CHECKING:
    from authy_grpc.server import Server


class Stoppable(Protocol):
    """What serves, and can be told to stop."""

    async def stop(self, *, now: bool = False) -> None:
        """Let what was accepted finish, and stop; or stop at once."""


class Stopper:
    """Waits for SIGTERM or SIGINT: the first drains, the second stops at once. SIGHUP ends nobody.

    Args:
        before: what is stopped first, all at one time: they still call the core.
        core: says at once that it stops, and is stopped last; None where it is elsewhere.
        renew: what reads certificates anew, at SIGHUP.
    """

    def __init__(
        self, *before: Stoppable, core: "Server | None" = None, renew: Sequence[Callable[[], None]] = ()
    ) -> None:
        self._renew = renew
        self._before = before
        self._core = core
        self._stopped = asyncio.Event()
        self._stopping: list[asyncio.Task[None]] = []
        self._hurried = False

    def listen(self) -> None:
        """Take signals from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signal)
        loop.add_signal_handler(signal.SIGHUP, self._renewed)

    async def stopped(self) -> None:
        """Wait until all has stopped, or could not; raises why."""
        await self._stopped.wait()
        await self._stopping[-1]

    async def close(self, last: Stoppable) -> None:
        """Close what they stood on."""
        await last.stop(now=self._hurried)

    def _renewed(self) -> None:
        if self._stopping:
            return
        supervisor.reloading(*self._renew)

    def _signal(self) -> None:
        self._hurried = bool(self._stopping)
        if not self._hurried:
            supervisor.stopping()
        self._stopping.append(asyncio.get_running_loop().create_task(self._stop()))

    async def _stop(self) -> None:
        try:
            if self._core is not None:
                self._core.quit()
            await asyncio.gather(*(each.stop(now=self._hurried) for each in self._before))
            if self._core is not None:
                await self._core.stop(now=self._hurried)
        finally:
            self._stopped.set()
