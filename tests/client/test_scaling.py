"""A client of ours holds more streams than a connection carries, and calls do not stand behind them."""

import asyncio
from collections.abc import Callable
from typing import Any

from authy_grpc.client import AsyncClient, Client
from authy_grpc.server import OPTIONS
from authy_grpc.v1.event_pb2 import WatchEventsRequest
from authy_grpc.v1.user_pb2 import ListUsersRequest
from tests.harness import Service
from tests.rushing import PATIENCE

A_CONNECTION = dict(OPTIONS)["grpc.max_concurrent_streams"]


async def test_more_streams_than_a_connection_carries(
    service: Service, figure: Callable[[int, int], int]
) -> None:
    site = await service.site()
    client: AsyncClient = site.client
    streams: list[Any] = []
    for _ in range(figure(A_CONNECTION + 20, 2_000)):
        streams.append(client.events.WatchEvents(WatchEventsRequest()))
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(anext(aiter(stream)) for stream in streams))
        await client.users.ListUsers(ListUsersRequest())
    for stream in streams:
        stream.cancel()


async def test_the_sync_client_does_as_well(service: Service) -> None:
    site = await service.site()

    def watch() -> None:
        with Client(service.target, site.api_key) as client:
            streams: list[Any] = [
                client.events.WatchEvents(WatchEventsRequest(), timeout=PATIENCE)
                for _ in range(A_CONNECTION + 20)
            ]
            for stream in streams:
                next(stream)
            client.users.ListUsers(ListUsersRequest(), timeout=PATIENCE)
            for stream in streams:
                stream.cancel()

    await asyncio.to_thread(watch)
