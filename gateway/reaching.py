"""Logs whether the core can be reached, and why not: once at the start, and whenever that changes."""

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from authy_grpc.client.connect import Road
from authy_grpc.client.diagnosis import diagnose

_EVERY_SECONDS, _PATIENCE_SECONDS = 15.0, 5.0


class Reaching:
    """Asks for the core's health again and again.

    Args:
        channel: to the core.
        road: by which the channel reaches it.
        log: takes the lines.
        every: seconds between two looks.
    """

    def __init__(self, channel: Any, road: Road, log: Any, every: float = _EVERY_SECONDS) -> None:
        self._check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        self._road = road
        self._log = log
        self._every = every
        self._said: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._run(), name="authy-reaching")

    async def stop(self, *, now: bool = False) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Look once, and say what has changed since."""
        found = await self._fault()
        if found == self._said:
            return
        self._said = found
        if found:
            self._log.warning("core not reached", address=str(self._road.target), reason=found)
        else:
            self._log.info("core reached", address=str(self._road.target))

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._every)

    async def _fault(self) -> str:
        """What stands in the way; empty where nothing does."""
        try:
            await self._check(health_pb2.HealthCheckRequest(), timeout=_PATIENCE_SECONDS)
        except grpc.RpcError as error:
            found = await asyncio.to_thread(diagnose, self._road)
            call: Any = error
            return found or f"{call.code().name}, and nothing else is known"
        return ""
