"""Measures streams: how long a change takes to its watchers, what a held one weighs."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from authy_grpc.v1.approval_pb2 import CancelApprovalRequest, CreateApprovalRequest, WatchApprovalRequest
from authy_grpc.v1.approval_pb2_grpc import ApprovalServiceStub
from authy_grpc.v1.event_pb2 import WatchEventsRequest
from authy_grpc.v1.event_pb2_grpc import EventServiceStub
from authy_grpc.v1.verification_pb2 import VerifyCodeRequest
from authy_grpc.v1.verification_pb2_grpc import VerificationServiceStub
from benchmarks.control import Target
from benchmarks.load import percentile


@dataclass(frozen=True)
class Arrived:
    """How long after the commit a change was with those who watch, and how long a bare message takes.

    Attributes:
        latencies: in seconds, of each watcher and change.
        bare: of a message that a server without all else writes to as many streams.
    """

    name: str
    watchers: int
    latencies: list[float]
    bare: list[float]

    def as_json(self) -> dict[str, object]:
        """For machines."""
        p50, p99 = percentile(self.latencies, 0.5), percentile(self.latencies, 0.99)
        bare50, bare99 = percentile(self.bare, 0.5), percentile(self.bare, 0.99)
        return {
            "name": self.name,
            "watchers": self.watchers,
            "p50_ms": p50 * 1000,
            "p99_ms": p99 * 1000,
            "bare_p50_ms": bare50 * 1000,
            "bare_p99_ms": bare99 * 1000,
            "p50_of_bare": p50 / bare50,
            "p99_of_bare": p99 / bare99,
        }


class _Ears:
    """Streams that are read, and when each message came."""

    def __init__(self, streams: list[Any], counts: Callable[[Any], bool]) -> None:
        self._count = len(streams)
        self._counts = counts
        self._times: list[float] = []
        self._all = asyncio.Event()
        self._streams = streams
        self._tasks = [asyncio.create_task(self._read(each)) for each in streams]

    async def hear(self) -> list[float]:
        """Wait until each stream has had a message; answers when they came."""
        await self._all.wait()
        self._all.clear()
        times, self._times = self._times, []
        return times

    async def close(self) -> None:
        """End the streams."""
        for stream, task in zip(self._streams, self._tasks, strict=True):
            stream.cancel()
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _read(self, stream: Any) -> None:
        with suppress(grpc.RpcError):
            # Not `async for`: a stream whose first message was read takes none.
            while (message := await stream.read()) is not grpc.aio.EOF:
                if self._counts(message):
                    self._times.append(time.monotonic())
                    if len(self._times) == self._count:
                        self._all.set()


async def fan_out(target: Target, watchers: int, changes: int) -> Arrived:
    """How long after its commit an event is with all who watch the site's feed."""
    verification = VerificationServiceStub(target.channel)
    streams = await feeds(target, watchers)
    ears = _Ears(streams, lambda message: bool(message.HasField("event")))
    bare_streams = target.bare_streams(watchers)
    await opened(bare_streams)
    bare_ears = _Ears(bare_streams, _any)
    latencies, bare = list[float](), list[float]()
    for change in range(changes + 1):
        person = target.persons[-1 - change]
        request = VerifyCodeRequest(
            authy_id=person.authy_id, code=person.wrong_code((await target.stand()).now)
        )
        await verification.VerifyCode(request, metadata=target.metadata)
        times = await ears.hear()
        committed = (await target.stand()).committed
        shouted = (await target.stand(shout=True)).shouted
        bare_times = await bare_ears.hear()
        # The first finds nothing warm.
        if change:
            latencies += [each - committed for each in times]
            bare += [each - shouted for each in bare_times]
    await ears.close()
    await bare_ears.close()
    return Arrived("WatchEvents", watchers, latencies, bare)


async def approval(target: Target, changes: int) -> Arrived:
    """How long after the commit the end of an approval is with the site that watches it."""
    approvals = ApprovalServiceStub(target.channel)
    bare_streams = target.bare_streams(1)
    await opened(bare_streams)
    bare_ears = _Ears(bare_streams, _any)
    latencies, bare = list[float](), list[float]()
    for person in target.persons[-changes:]:
        request = CreateApprovalRequest(authy_id=person.authy_id, message="Pay 12 EUR?")
        made = await approvals.CreateApproval(request, metadata=target.metadata)
        approval_id = made.approval.approval_id
        watch = WatchApprovalRequest(approval_id=approval_id)
        stream: Any = approvals.WatchApproval(watch, metadata=target.metadata)
        await stream.read()
        cancel = CancelApprovalRequest(approval_id=approval_id)
        canceling = asyncio.ensure_future(approvals.CancelApproval(cancel, metadata=target.metadata))
        await stream.read()
        arrived = time.monotonic()
        await canceling
        latencies.append(arrived - (await target.stand()).committed)
        shouted = (await target.stand(shout=True)).shouted
        bare += [each - shouted for each in await bare_ears.hear()]
    await bare_ears.close()
    return Arrived("WatchApproval", 1, latencies, bare)


async def feeds(target: Target, count: int) -> list[Any]:
    """Streams of the site's feed, each of which has had its first checkpoint."""
    stubs = [EventServiceStub(channel) for channel in target.channels("core", count)]
    request = WatchEventsRequest()
    streams: list[Any] = []
    for number in range(count):
        streams.append(stubs[number % len(stubs)].WatchEvents(request, metadata=target.metadata))
        # No more at once than there are readers' places.
        if number % 100 == 99:
            await asyncio.gather(*[each.read() for each in streams[-100:]])
    rest = count % 100
    await asyncio.gather(*[each.read() for each in streams[count - rest :]])
    return streams


async def opened(streams: list[Any]) -> None:
    """Wait until streams are open."""
    await asyncio.gather(*[each.initial_metadata() for each in streams])


def _any(message: Any) -> bool:
    return True
