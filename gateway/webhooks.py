"""Posts webhooks: takes leased posts from the core, posts each once, reports what became of it.

The core decides what is due, in which order and when again; a post that is not reported in its lease is
leased anew, to this gateway or to another.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from structlog.typing import FilteringBoundLogger

from authy_grpc.outbound.web import Answer, Failure, Web
from authy_grpc.v1.webhook_pb2 import (
    LeaseDeliveriesRequest,
    LeaseDeliveriesResponse,
    ReportDeliveryRequest,
    ReportDeliveryResponse,
)

IN_FLIGHT = 1000
_PACKAGE = "/authy_grpc.v1.DeliveryService"
_REPORT_SECONDS = 5.0
_REPORT_TRIES = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
# What a stream ends with now and then.
_PASSES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})


class Deliverer:
    """Posts what falls due, until it is stopped.

    Args:
        channel: to the core.
        key: the gateway's.
        web: posts.
        log: where a core that is out of reach is told.
        in_flight: posts at a time.
        pause: waits so many seconds before it asks again.
    """

    def __init__(
        self,
        channel: Any,
        key: str,
        web: Web,
        log: FilteringBoundLogger,
        *,
        in_flight: int = IN_FLIGHT,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._lease = channel.unary_stream(
            f"{_PACKAGE}/LeaseDeliveries",
            request_serializer=LeaseDeliveriesRequest.SerializeToString,
            response_deserializer=LeaseDeliveriesResponse.FromString,
        )
        self._report = channel.unary_unary(
            f"{_PACKAGE}/ReportDelivery",
            request_serializer=ReportDeliveryRequest.SerializeToString,
            response_deserializer=ReportDeliveryResponse.FromString,
        )
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._web = web
        self._log = log
        self._in_flight = in_flight
        self._pause = pause
        self._posts: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._call: Any = None
        self._stopping = False

    def start(self) -> None:
        """Begin to take posts."""
        self._task = asyncio.create_task(self._run(), name="authy-webhooks")

    @property
    def in_flight(self) -> int:
        """How many posts are under way."""
        return len(self._posts)

    async def stop(self, *, now: bool = False) -> None:
        """Take no more posts, and finish those under way.

        Args:
            now: leave them: their leases end.
        """
        self._stopping = True
        if self._call is not None:
            self._call.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for post in self._posts if now else ():
            post.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        await self._web.aclose()

    async def _run(self) -> None:
        seconds = _FIRST_PAUSE
        while not self._stopping:
            try:
                came = await self._take()
            except Exception as error:
                self._log.error("webhooks failed", exc_info=error)
                came = False
            if came:
                seconds = _FIRST_PAUSE
            await self._pause(seconds)
            seconds = min(seconds * 2, _LONGEST_PAUSE)

    async def _take(self) -> bool:
        """Take posts until the stream ends; answers whether any came."""
        came = False
        self._call = self._lease(
            LeaseDeliveriesRequest(max_in_flight=self._in_flight), metadata=self._metadata
        )
        try:
            while (leased := await self._call.read()) is not grpc.aio.EOF:
                came = True
                post = asyncio.create_task(self._deliver(leased))
                self._posts.add(post)
                post.add_done_callback(self._posts.discard)
        except grpc.RpcError as error:
            # A stream ends when it is old enough, or its server stops; another one goes on. What else ends it
            # is for the operator to mend: a key that is refused most of all.
            tell = self._log.debug if error.code() in _PASSES else self._log.warning
            tell("call", method=f"{_PACKAGE}/LeaseDeliveries", code=_code(error))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
        finally:
            self._call.cancel()
        return came

    async def _deliver(self, leased: LeaseDeliveriesResponse) -> None:
        try:
            opened = {"allow": tuple(leased.allow)} if leased.allow else {}
            answer = await self._web.post(leased.url, dict(leased.headers), leased.body, **opened)
        except Exception as error:
            # The core counts it, so that it is not posted for ever.
            self._log.error("post failed", delivery=leased.delivery_id, exc_info=error)
            answer = Answer(0, Failure.CONNECTION, None, timedelta())
        report = ReportDeliveryRequest(
            delivery_id=leased.delivery_id,
            http_status=answer.status,
            error=str(answer.error or ""),
            duration=_duration(answer.duration),
            retry_after=_pause_of(answer),
            attempt=leased.attempt,
        )
        seconds, code = _FIRST_PAUSE, ""
        for _ in range(_REPORT_TRIES):
            try:
                await self._report(report, metadata=self._metadata, timeout=_REPORT_SECONDS)
                return
            except grpc.RpcError as error:
                code = _code(error)
            await self._pause(seconds)
            seconds *= 2
        # Its lease ends, and it is posted again: the receiver knows it by its id.
        self._log.warning("call", method=f"{_PACKAGE}/ReportDelivery", code=code)


def _pause_of(answer: Answer) -> Duration | None:
    return None if answer.retry_after is None else _duration(answer.retry_after)


def _duration(span: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(span)
    return made


def _code(error: Any) -> str:
    return str(error.code().name)
