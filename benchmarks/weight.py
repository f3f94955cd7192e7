"""Owns what a held stream weighs in the server's memory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.control import Target, served
from benchmarks.streams import feeds, opened

_WARM_STREAMS = 200


@dataclass(frozen=True)
class Weight:
    """Bytes of memory that a held stream takes in the server, and one of a server without all else."""

    streams: int
    held: float
    bare: float

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "streams": self.streams,
            "bytes": self.held,
            "bare_bytes": self.bare,
            "of_bare": self.held / self.bare,
        }


async def weight(url: Callable[[], str], folder: Path, count: int) -> Weight:
    """What a held stream weighs: the memory that a fresh process has more, after many more.

    Args:
        url: makes an empty database.
        folder: for the servers' logs.
        count: how many streams, beyond those with which it is warmed.
    """
    found = []
    for kind in ("core", "bare"):
        async with served(url(), folder, 1) as target:
            streams = await _hold(target, kind, _WARM_STREAMS)
            before = (await target.stand()).resident
            streams += await _hold(target, kind, count)
            found.append(((await target.stand()).resident - before) / count)
            for stream in streams:
                stream.cancel()
    return Weight(count, *found)


async def _hold(target: Target, kind: str, count: int) -> list[Any]:
    if kind == "core":
        return await feeds(target, count)
    streams = target.bare_streams(count)
    await opened(streams)
    return streams
