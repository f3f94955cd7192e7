"""Measures what a held stream weighs in the server's memory."""

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.control import Target, served
from benchmarks.gateways import HOP, NOTHING, STREAM_PATH, UP
from benchmarks.streams import feeds, opened
from benchmarks.web import head, hold

_WARM_STREAMS = 200
_HTTP = {UP: "/v1/events:watch", HOP: "/v1/events:watch", NOTHING: STREAM_PATH}


@dataclass(frozen=True)
class Weight:
    """Bytes of memory that a held stream takes in the server, and one of a server without all else."""

    name: str
    streams: int
    held: float
    bare: float

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "name": self.name,
            "streams": self.streams,
            "bytes": self.held,
            "bare_bytes": self.bare,
            "of_bare": self.held / self.bare,
        }


async def weights(url: Callable[[], str], folder: Path, count: int) -> list[Weight]:
    """What held streams weigh: the memory that a fresh process has more, after many more.

    Args:
        url: makes an empty database.
        folder: for the servers' logs.
        count: how many streams, beyond those with which it is warmed.
    """
    # A stream of SSE is a socket, at either end.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found = dict[str, float]()
    for kind in ("core", "bare", UP, HOP, NOTHING):
        async with served(url(), folder, 1, http=kind in _HTTP) as target:
            streams = await _hold(target, kind, _WARM_STREAMS)
            before = (await target.stand()).resident
            streams += await _hold(target, kind, count)
            found[kind] = ((await target.stand()).resident - before) / count
            for stream in streams:
                stream.cancel()
    return [
        Weight("WatchEvents, held", count, found["core"], found["bare"]),
        Weight("SSE, `up`", count, found[UP], found[NOTHING]),
        Weight("SSE, over gRPC", count, found[HOP], found[NOTHING]),
    ]


async def _hold(target: Target, kind: str, count: int) -> list[Any]:
    if kind == "core":
        return await feeds(target, count)
    if kind in _HTTP:
        request = head("GET", _HTTP[kind], dict(target.metadata), 0)
        held = list[Any]()
        while len(held) < count:
            # No more at once than there are readers' places.
            some = min(100, count - len(held))
            held += await asyncio.gather(*[hold(target.addresses[kind], request) for _ in range(some)])
        return held
    streams = target.bare_streams(count)
    await opened(streams)
    return streams
