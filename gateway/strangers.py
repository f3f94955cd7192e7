"""Limits for how many callers without a known credential a gateway waits for a body (concurrency limit)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2
from starlette.datastructures import Headers

from authy_grpc.domain.places import Places
from gateway.errors import Failure, make

# As many as the core waits for, in all and from one network.
_WAITING, _WAITING_FROM_ONE = 100, 20
_TRY_AGAIN_SECONDS = 1


# Reads a request, and makes its message.
Make = Callable[[], Awaitable[Any]]


class Strangers:
    """Callers whom nobody knows, whose bodies are read."""

    def __init__(self) -> None:
        self._places = Places(_WAITING, _WAITING_FROM_ONE, _limited)

    async def read(self, address: str, request: Make) -> Any:
        """Read a request in a place of its caller's.

        Args:
            address: the caller's.
            request: reads it.

        Raises:
            Failure: its network holds as many places as it may, or its own was given to another.
        """
        limit = asyncio.timeout(None)
        now = asyncio.get_running_loop().time()
        try:
            with self._places.hold(address, lambda: limit.reschedule(now)):
                async with limit:
                    return await request()
        except TimeoutError:
            if limit.expired():
                raise _limited() from None
            raise


def has_body(headers: Headers) -> bool:
    """Whether a request says that it has a body, which may take its time."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _limited() -> Failure:
    wait = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=_TRY_AGAIN_SECONDS))
    text = "Too many requests: try again after the time given."
    status = make(code_pb2.RESOURCE_EXHAUSTED, text, "RATE_LIMITED", wait)
    return Failure(status, headers=((b"connection", b"close"),))
