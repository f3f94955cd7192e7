"""Several servers make what there may be one of at once: one is made, and nobody is told of a fault."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from authy_grpc.client import AsyncClient
from authy_grpc.domain.errors import BadField
from authy_grpc.service.operator_key import OperatorKey
from authy_grpc.v1.enrollment_pb2 import (
    CreateEnrollmentRequest,
    EnrollmentMethod,
    EnrollmentState,
    GetEnrollmentRequest,
)
from tests.clock import TurnedClock
from tests.harness import Service

_AT_ONCE = 4


@pytest.fixture
async def servers(database_url: str, clock: TurnedClock) -> AsyncIterator[list[Service]]:
    async with AsyncExitStack() as stack:
        made = [Service.on(database_url, clock, os.urandom) for _ in range(3)]
        for each in made:
            each.secrets = made[0].secrets
            await stack.enter_async_context(each)
        yield made


@pytest.mark.parametrize("method", ["ENROLLMENT_METHOD_AUTHENTICATOR", "ENROLLMENT_METHOD_GENERIC_TOTP"])
async def test_of_enrollments_of_one_user_the_last_is_open(servers: list[Service], method: str) -> None:
    site = await servers[0].site()
    clients = [
        await each.stack.enter_async_context(AsyncClient(each.target, site.api_key)) for each in servers
    ]
    for number in range(12):
        request = CreateEnrollmentRequest(
            custom_user_id=f"user {number}", method=EnrollmentMethod.Value(method)
        )
        made = await asyncio.gather(
            *[each.enrollments.CreateEnrollment(request) for each in clients for _ in range(_AT_ONCE)]
        )
        found = [
            await site.client.enrollments.GetEnrollment(
                GetEnrollmentRequest(enrollment_id=each.enrollment.enrollment_id)
            )
            for each in made
        ]
        ended = [each for each in found if each.enrollment.state == EnrollmentState.ENROLLMENT_STATE_CANCELED]
        assert len(ended) == len(made) - 1


async def test_of_operator_keys_of_one_name_one_is_made(servers: list[Service]) -> None:
    for number in range(4):
        made = await asyncio.gather(
            *[each.core.operator_keys.create(f"key-{number}") for each in servers for _ in range(2)],
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in made) == sorted(
            [OperatorKey.__name__, *[BadField.__name__] * 5]
        )
