"""Streams do not stand in each other's way, nor in that of calls."""

import asyncio
from collections.abc import Callable
from typing import Any

from authy_grpc.v1.event_pb2 import WatchEventsRequest, WatchEventsResponse
from authy_grpc.v1.event_pb2_grpc import EventServiceStub
from authy_grpc.v1.user_pb2 import ListUsersRequest
from authy_grpc.v1.user_pb2_grpc import UserServiceStub
from gateway.channels import Channels
from tests.harness import Service
from tests.threads import PATIENCE


async def opened(stub: Any, count: int, metadata: Any) -> list[Any]:
    calls = [stub.WatchEvents(WatchEventsRequest(), metadata=metadata, timeout=30) for _ in range(count)]
    first = await asyncio.gather(*(call.read() for call in calls))
    assert all(isinstance(each, WatchEventsResponse) for each in first)
    return calls


async def test_more_streams_than_a_connection_carries(
    service: Service, figure: Callable[[int, int], int]
) -> None:
    site, most = await service.site(), figure(4, 400)
    metadata = (("authorization", f"Bearer {site.api_key}"),)
    channels: Any = Channels(service.target, most=most)
    try:
        events, users = EventServiceStub(channels), UserServiceStub(channels)
        calls = await opened(events, 3 * most, metadata)
        assert channels.connections == 3
        await users.ListUsers(ListUsersRequest(), metadata=metadata, timeout=PATIENCE)
        for call in calls:
            call.cancel()
        # Those that have ended make room.
        await asyncio.gather(*(call.wait_for_connection() for call in calls), return_exceptions=True)
        await asyncio.gather(*(call.code() for call in calls))
        await opened(events, most, metadata)
        assert channels.connections == 3
    finally:
        await channels.close()
