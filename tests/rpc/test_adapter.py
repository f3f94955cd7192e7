"""The chain as a client meets it: decoding, unknown methods, health, reflection, stopping, metrics."""

import asyncio
import urllib.request
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry, Counter

from authy_grpc.rpc.adapter import Call, Chain
from authy_grpc.rpc.auth import operator
from authy_grpc.server import Service, serve_metrics
from authy_grpc.v1 import application_pb2, application_pb2_grpc, event_pb2, event_pb2_grpc

pytestmark = pytest.mark.asyncio
NAME = "authy_grpc.v1.ApplicationService"
BEARER = (("authorization", "Bearer op_1"),)


class Applications(application_pb2_grpc.ApplicationServiceServicer):
    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.released = asyncio.Event()

    async def GetApplication(self, request: application_pb2.GetApplicationRequest, context: Any) -> Any:
        operator()
        return application_pb2.GetApplicationResponse(
            application=application_pb2.Application(application_id=request.application_id)
        )

    async def ListApplications(self, request: Message, context: Any) -> Any:
        self.entered.set()
        await self.released.wait()
        return application_pb2.ListApplicationsResponse()

    async def ListApiKeys(self, request: Message, context: Any) -> Any:
        return "ak_0123"  # no message


def service(servicer: Applications) -> Service:
    return Service(NAME, servicer, application_pb2_grpc.add_ApplicationServiceServicer_to_server)


def raw(channel: grpc.aio.Channel, method: str) -> Any:
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)


async def test_a_call_passes_and_carries_a_request_id(transport: Any) -> None:
    async with transport(service(Applications())) as world:
        stub = application_pb2_grpc.ApplicationServiceStub(world.channel)
        call = stub.GetApplication(
            application_pb2.GetApplicationRequest(application_id="app_1"), metadata=BEARER
        )
        assert (await call).application.application_id == "app_1"
        [(_, request_id)] = [pair for pair in await call.trailing_metadata() if pair[0] == "x-request-id"]
    [line] = world.lines
    assert line["request_id"] == request_id and len(bytes.fromhex(request_id)) == 8
    assert (line["method"], line["code"], line["caller"]) == (f"/{NAME}/GetApplication", "OK", "operator")
    assert (
        f'grpc_server_handled_total{{code="OK",method="/{NAME}/GetApplication",reason=""}} 1.0'
        in world.metrics
    )


@pytest.mark.parametrize("junk", [b"\x0a\x02\xff\xfe", b"\x0a\x7f", b"\xff"])
async def test_bytes_that_are_no_message_are_a_bad_field(transport: Any, failure: Any, junk: bytes) -> None:
    async with transport(service(Applications())) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/GetApplication")(junk, metadata=BEARER)
        found = failure(caught.value)
    assert (found.code, found.reason, found.fields) == ("INVALID_ARGUMENT", "BAD_FIELD", ("request",))
    assert "protobuf" not in found.message.lower() and "Error" not in found.message


async def test_a_caller_is_asked_for_before_bytes_are_read(transport: Any, failure: Any) -> None:
    async with transport(service(Applications())) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/GetApplication")(b"\xff")
    assert failure(caught.value).reason == "BAD_CREDENTIAL"


async def test_an_answer_that_cannot_be_encoded_tells_nothing(transport: Any, failure: Any) -> None:
    async with transport(service(Applications())) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/ListApiKeys")(b"\x0a\x01a", metadata=BEARER)
    assert failure(caught.value).reason == "INTERNAL"


async def test_unknown_methods_are_unimplemented_and_leave_no_label(transport: Any) -> None:
    async with transport(service(Applications())) as world:
        for method in (f"/{NAME}/Nonsense", "/nobody.Knows/This"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await raw(world.channel, method)(b"", metadata=BEARER)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/DeleteApplication")(b"\x0a\x01a", metadata=BEARER)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "Nonsense" not in world.metrics and "nobody" not in world.metrics
    assert f'code="UNIMPLEMENTED",method="/{NAME}/DeleteApplication"' in world.metrics


async def test_concerns_run_outermost_first() -> None:
    order: list[str] = []

    def concern(name: str) -> Any:
        class Around:
            def __init__(self, call: Call) -> None:
                self.call = call

            async def __aenter__(self) -> None:
                order.append(f"{name} in")

            async def __aexit__(self, *_: object) -> None:
                order.append(f"{name} out")

        return Around

    async def handler(request: Message, context: Any) -> Message:
        order.append("handler")
        return application_pb2.GetApplicationResponse()

    known = grpc.unary_unary_rpc_method_handler(
        handler,
        application_pb2.GetApplicationRequest.FromString,
        application_pb2.GetApplicationResponse.SerializeToString,
    )
    chain = Chain(concern("a"), concern("b"))
    await chain.wrap("/x/Y", known).unary_unary(b"", None)  # type: ignore[misc]
    assert order == ["a in", "b in", "handler", "b out", "a out"]
    await chain.idle()


async def test_health_checks_lists_and_watches(transport: Any, failure: Any) -> None:
    async with transport(service(Applications())) as world:
        stub: Any = health_pb2_grpc.HealthStub(world.channel)
        serving, stopped = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", NAME):
            assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == serving
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        messages: Any = health_pb2
        listed = await stub.List(messages.HealthListRequest())
        assert {name: status.status for name, status in listed.statuses.items()} == {
            "": serving,
            NAME: serving,
        }
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == serving
        await world.server.stop()
        assert (await watch.read()).status == stopped
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert failure(caught.value).reason == "DRAINING"


async def _services(channel: grpc.aio.Channel) -> set[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call: Any = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    answers = [answer async for answer in call]
    return {entry.name for answer in answers for entry in answer.list_services_response.service}


async def test_reflection_lists_the_services_and_can_be_switched_off(transport: Any) -> None:
    async with transport(service(Applications())) as world:
        assert await _services(world.channel) == {
            NAME,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
    async with transport(service(Applications()), reflects=False) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _services(world.channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_stop_lets_an_accepted_call_finish(transport: Any) -> None:
    servicer = Applications()
    async with transport(service(servicer)) as world:
        stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
        call = asyncio.ensure_future(
            stub.ListApplications(application_pb2.ListApplicationsRequest(), metadata=BEARER)
        )
        await servicer.entered.wait()
        stop = asyncio.create_task(world.server.stop())
        await asyncio.sleep(0)
        assert not stop.done()
        servicer.released.set()
        assert await call == application_pb2.ListApplicationsResponse()
        await stop
        await world.server.wait()


async def test_a_second_stop_is_at_once(transport: Any) -> None:
    servicer = Applications()
    async with transport(service(servicer), grace=timedelta(hours=1)) as world:
        stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
        call = asyncio.ensure_future(
            stub.ListApplications(application_pb2.ListApplicationsRequest(), metadata=BEARER)
        )
        await servicer.entered.wait()
        first = asyncio.create_task(world.server.stop())
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await world.server.stop(now=True)
            await first
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    assert world.lines[-1]["code"] == "CANCELLED"


async def test_a_taken_port_is_refused(transport: Any) -> None:
    async with transport(service(Applications())) as world:
        with pytest.raises(OSError, match=f"127.0.0.1:{world.port}"):
            async with transport(service(Applications()), listen=f"127.0.0.1:{world.port}"):
                pass


async def test_a_unix_socket(transport: Any, tmp_path: Any) -> None:
    async with transport(service(Applications()), listen=f"unix:{tmp_path}/s") as world:
        stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
        request = application_pb2.GetApplicationRequest(application_id="app_1")
        assert await stub.GetApplication(request, metadata=BEARER)


async def test_a_message_that_is_too_large_is_refused(transport: Any) -> None:
    async with transport(service(Applications())) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/GetApplication")(b"x" * (4 * 1024 * 1024 + 1), metadata=BEARER)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metrics_are_served_as_text() -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc()
    port, stop = serve_metrics("127.0.0.1:0", registry)
    try:
        with await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/metrics") as answer:
            assert b"things_total 1.0" in answer.read()
    finally:
        stop()


async def test_a_stream_is_counted_while_it_is_open(transport: Any) -> None:
    class Events(event_pb2_grpc.EventServiceServicer):
        async def WatchEvents(self, request: Message, context: Any) -> None:  # type: ignore[override]
            await context.write(event_pb2.WatchEventsResponse(cursor="1"))
            await asyncio.Event().wait()

    added = Service("authy_grpc.v1.EventService", Events(), event_pb2_grpc.add_EventServiceServicer_to_server)
    async with transport(added) as world:
        stub: Any = event_pb2_grpc.EventServiceStub(world.channel)
        call = stub.WatchEvents(
            event_pb2.WatchEventsRequest(), metadata=(("authorization", "Bearer ak_events"),)
        )
        await call.read()
        gauge = 'grpc_server_open_streams{method="/authy_grpc.v1.EventService/WatchEvents"}'
        assert f"{gauge} 1.0" in world.metrics
        call.cancel()
        await world.server.stop()
        assert f"{gauge} 0.0" in world.metrics
    assert world.lines[-1]["code"] == "CANCELLED"
