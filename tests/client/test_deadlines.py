"""A deadline of absurd length is a long one, and not one that has passed."""

import asyncio

import pytest

from authy_grpc.client import Client
from authy_grpc.v1.application_pb2 import GetCurrentApplicationRequest
from authy_grpc.v1.event_pb2 import WatchEventsRequest
from tests.harness import Service

ABSURD = [1e9, 3.6e11, 1e18, 1e300, float("inf")]


async def test_deadlines_of_absurd_length_are_long(service: Service) -> None:
    site = await service.site()
    for seconds in ABSURD:
        answer = await site.client.applications.GetCurrentApplication(
            GetCurrentApplicationRequest(), timeout=seconds
        )
        assert answer.application == site.application
        stream = site.client.events.WatchEvents(WatchEventsRequest(cursor="earliest"), timeout=seconds)
        assert (await anext(aiter(stream))).cursor
        stream.cancel()

    def ask() -> None:
        with Client(service.target, site.api_key, timeout=1e18) as client:
            for seconds in (None, *ABSURD):
                client.applications.GetCurrentApplication(GetCurrentApplicationRequest(), timeout=seconds)

    await asyncio.to_thread(ask)
    with pytest.raises(ValueError, match="timeout"):
        Client(service.target, site.api_key, timeout=float("inf"))
