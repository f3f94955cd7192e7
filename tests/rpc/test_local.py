"""Calls without a socket are answered as those over one."""

import asyncio
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from authy_grpc.domain.errors import BadField
from authy_grpc.v1.application_pb2 import ListApplicationsRequest
from authy_grpc.v1.application_pb2_grpc import ApplicationServiceStub
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, GetEnrollmentRequest, WatchEnrollmentRequest
from authy_grpc.v1.enrollment_pb2_grpc import EnrollmentServiceStub
from authy_grpc.v1.event_pb2 import WatchEventsRequest
from authy_grpc.v1.event_pb2_grpc import EventServiceStub
from authy_grpc.v1.user_pb2 import GetUserRequest
from authy_grpc.v1.user_pb2_grpc import UserServiceStub
from tests.harness import Service, Site
from tests.rpc.conftest import Failure

PATIENCE = 10


@pytest.fixture
async def channels(service: Service) -> dict[str, Any]:
    """Both ways to one service."""
    return {"socket": service.channel(), "local": service.core.server.local()}


def credential(site: Site) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {site.api_key}"),)


async def failed(call: Any) -> tuple[str, str, str, tuple[str, ...]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    failure = Failure.of(caught.value)
    assert len(failure.request_id) == 16
    return failure.code, failure.reason, failure.message, failure.fields


async def test_answers_and_refusals_are_the_same(service: Service, channels: dict[str, Any]) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    told: dict[str, list[Any]] = {}
    for name, channel in channels.items():
        users, applications = UserServiceStub(channel), ApplicationServiceStub(channel)
        call = users.GetUser(GetUserRequest(authy_id=enrollment.authy_id), metadata=credential(site))
        found = await call
        assert "x-request-id" in dict(await call.trailing_metadata())
        told[name] = [
            found.user,
            await failed(users.GetUser(GetUserRequest(authy_id=enrollment.authy_id))),
            await failed(users.GetUser(GetUserRequest(), metadata=credential(site))),
            await failed(applications.ListApplications(ListApplicationsRequest(), metadata=credential(site))),
        ]
    assert told["local"] == told["socket"]
    assert [each[0] for each in told["local"][1:]] == [
        "UNAUTHENTICATED",
        "INVALID_ARGUMENT",
        "PERMISSION_DENIED",
    ]


async def test_a_stream_comes_and_ends(service: Service, channels: dict[str, Any]) -> None:
    site, phone = await service.site(), await service.phone()
    enrollments = EnrollmentServiceStub(channels["local"])
    request = CreateEnrollmentRequest(custom_user_id="ada")
    made = await enrollments.CreateEnrollment(request, metadata=credential(site))
    name = made.enrollment.enrollment_id
    watch: Any = enrollments.WatchEnrollment(
        WatchEnrollmentRequest(enrollment_id=name), metadata=credential(site)
    )
    revisions = [(await watch.read()).enrollment.revision]
    await phone.accept(await phone.open(made.qr.uri))
    async with asyncio.timeout(PATIENCE):
        revisions += [each.enrollment.revision async for each in watch]
    assert revisions == sorted(set(revisions))
    assert await watch.read() is grpc.aio.EOF
    last = await enrollments.GetEnrollment(
        GetEnrollmentRequest(enrollment_id=name), metadata=credential(site)
    )
    assert last.enrollment.revision == revisions[-1]
    assert dict(await watch.trailing_metadata())["x-request-id"]


async def test_a_stream_that_is_refused_says_why(service: Service, channels: dict[str, Any]) -> None:
    site = await service.site()
    request = WatchEventsRequest(cursor="none of ours")
    watch: Any = EventServiceStub(channels["local"]).WatchEvents(request, metadata=credential(site))
    await watch.initial_metadata()
    assert await failed(watch.read()) == await failed(
        EventServiceStub(channels["socket"]).WatchEvents(request, metadata=credential(site)).read()
    )


async def test_a_stream_that_is_left_ends_in_the_service(service: Service, channels: dict[str, Any]) -> None:
    site = await service.site()
    watch: Any = EventServiceStub(channels["local"]).WatchEvents(
        WatchEventsRequest(cursor="earliest"), metadata=credential(site)
    )
    await watch.initial_metadata()
    reading = asyncio.ensure_future(watch.read())
    watch.cancel()
    assert (await failed(reading))[0] == "CANCELLED"
    async with asyncio.timeout(PATIENCE):
        await watch.trailing_metadata()


async def test_deadlines_hold(service: Service, channels: dict[str, Any]) -> None:
    site = await service.site()
    watch: Any = EventServiceStub(channels["local"]).WatchEvents(
        WatchEventsRequest(cursor="earliest"), metadata=credential(site), timeout=0.05
    )
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in watch:
                pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    users = UserServiceStub(channels["local"])
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await users.GetUser(GetUserRequest(authy_id="1234567"), metadata=credential(site), timeout=0)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_request_is_made_when_who_calls_is_known(service: Service, channels: dict[str, Any]) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    users, asked = UserServiceStub(channels["local"]), list[str]()

    def plain() -> GetUserRequest:
        asked.append("plain")
        return GetUserRequest(authy_id=enrollment.authy_id)

    async def late() -> GetUserRequest:
        asked.append("late")
        await asyncio.sleep(0)
        return GetUserRequest(authy_id=enrollment.authy_id)

    def bad() -> GetUserRequest:
        raise BadField.one("authyId", "is no string")

    for make in (plain, late):
        failure = await failed(users.GetUser(cast(Any, make)))
        assert (failure[1], asked) == ("BAD_CREDENTIAL", [])
        found = await users.GetUser(cast(Any, make), metadata=credential(site))
        assert (found.user.authy_id, asked.pop()) == (enrollment.authy_id, make.__name__)
    told = await failed(users.GetUser(cast(Any, bad), metadata=credential(site)))
    assert (told[1], told[3]) == ("BAD_FIELD", ("authyId",))
    with pytest.raises(ZeroDivisionError):
        await users.GetUser(cast(Any, lambda: 1 / 0), metadata=credential(site))
    watch: Any = EventServiceStub(channels["local"]).WatchEvents(
        cast(Any, lambda: WatchEventsRequest(cursor="none of ours")), metadata=credential(site)
    )
    assert (await failed(watch.read()))[1:4] == (
        await failed(
            EventServiceStub(channels["local"])
            .WatchEvents(WatchEventsRequest(cursor="none of ours"), metadata=credential(site))
            .read()
        )
    )[1:4]


async def test_a_method_that_is_not_there_is_unimplemented(channels: dict[str, Any]) -> None:
    call = channels["local"].unary_unary("/authy_grpc.v1.UserService/Nothing")(GetUserRequest())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_server_that_stops_ends_local_streams(service: Service, channels: dict[str, Any]) -> None:
    site = await service.site()
    watch: Any = EventServiceStub(channels["local"]).WatchEvents(
        WatchEventsRequest(cursor="earliest"), metadata=credential(site)
    )
    await watch.initial_metadata()
    reading = asyncio.ensure_future(watch.read())
    await service.core.server.stop(now=True)
    code, reason, *_ = await failed(reading)
    assert (code, reason) == ("UNAVAILABLE", "DRAINING")
