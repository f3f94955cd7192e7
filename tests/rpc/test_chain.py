"""The chain as a client meets it: order, decoding, unknown methods, counting."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from authy_grpc.rpc.auth import operator
from authy_grpc.server import Service
from authy_grpc.v1 import application_pb2, application_pb2_grpc, event_pb2, event_pb2_grpc

NAME = "authy_grpc.v1.ApplicationService"
BEARER = (("authorization", "Bearer op_1"),)


class Applications(application_pb2_grpc.ApplicationServiceServicer):
    async def GetApplication(self, request: application_pb2.GetApplicationRequest, context: Any) -> Any:
        operator()
        return application_pb2.GetApplicationResponse(
            application=application_pb2.Application(application_id=request.application_id)
        )

    async def ListApiKeys(self, request: Message, context: Any) -> Any:
        return "ak_0123"  # no message


def service(servicer: Applications) -> Service:
    return Service(NAME, servicer, application_pb2_grpc.add_ApplicationServiceServicer_to_server)


def partly(kind: Any, *arguments: Any) -> Any:
    """A servicer that has some of its methods."""
    return kind(*arguments)


def raw(channel: grpc.aio.Channel, method: str) -> Any:
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)


async def test_a_call_passes_and_carries_a_request_id(transport: Any) -> None:
    async with transport(service(partly(Applications))) as world:
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
    async with transport(service(partly(Applications))) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/GetApplication")(junk, metadata=BEARER)
        found = failure(caught.value)
    assert (found.code, found.reason, found.fields) == ("INVALID_ARGUMENT", "BAD_FIELD", ("request",))
    assert "protobuf" not in found.message.lower() and "Error" not in found.message


async def test_a_caller_is_asked_for_before_bytes_are_read(transport: Any, failure: Any) -> None:
    async with transport(service(partly(Applications))) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/GetApplication")(b"\xff")
    assert failure(caught.value).reason == "BAD_CREDENTIAL"


async def test_an_answer_that_cannot_be_encoded_tells_nothing(transport: Any, failure: Any) -> None:
    async with transport(service(partly(Applications))) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/ListApiKeys")(b"\x0a\x01a", metadata=BEARER)
    assert failure(caught.value).reason == "INTERNAL"


async def test_unknown_methods_are_unimplemented_and_leave_no_label(transport: Any) -> None:
    async with transport(service(partly(Applications))) as world:
        for method in (f"/{NAME}/Nonsense", "/nobody.Knows/This"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await raw(world.channel, method)(b"", metadata=BEARER)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/DeleteApplication")(b"\x0a\x01a", metadata=BEARER)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "Nonsense" not in world.metrics and "nobody" not in world.metrics
    assert f'code="UNIMPLEMENTED",method="/{NAME}/DeleteApplication"' in world.metrics


async def test_who_calls_comes_before_the_message_and_the_message_before_its_fields(
    transport: Any, failure: Any
) -> None:
    """Each step with what the next would refuse too; however a call ends it is told of, by its id."""
    reasons, ids = [], []
    async with transport(service(partly(Applications))) as world:
        for sent, metadata in ((b"\xff", ()), (b"\xff", BEARER), (b"", BEARER), (b"\x0a\x01a", BEARER)):
            try:
                await raw(world.channel, f"/{NAME}/GetApplication")(sent, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                found = failure(error)
                reasons.append(" ".join((found.reason, *found.fields)))
                ids.append(found.request_id)
            else:
                reasons.append("")
    assert [line["reason"] for line in world.lines] == [each.partition(" ")[0] for each in reasons]
    assert [line["request_id"] for line in world.lines[:3]] == ids
    assert reasons == ["BAD_CREDENTIAL", "BAD_FIELD request", "BAD_FIELD application_id", ""]


async def test_a_message_that_is_too_large_is_refused(transport: Any) -> None:
    async with transport(service(partly(Applications))) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(world.channel, f"/{NAME}/GetApplication")(b"x" * (4 * 1024 * 1024 + 1), metadata=BEARER)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stream_is_counted_while_it_is_open(transport: Any) -> None:
    class Events(event_pb2_grpc.EventServiceServicer):
        async def WatchEvents(self, request: Message, context: Any) -> None:  # type: ignore[override]
            await context.write(event_pb2.WatchEventsResponse(cursor="1"))
            await asyncio.Event().wait()

    added = Service(
        "authy_grpc.v1.EventService", partly(Events), event_pb2_grpc.add_EventServiceServicer_to_server
    )
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
