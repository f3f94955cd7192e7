"""Who calls is settled before a message is read, and a message that does not come is not waited for."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from authy_grpc.rpc.call import Call
from authy_grpc.rpc.largest import largest_request
from authy_grpc.rpc.validate import Validate
from authy_grpc.server import Service
from authy_grpc.v1 import (
    account_pb2,
    account_pb2_grpc,
    application_pb2_grpc,
    authenticator_pb2,
    event_pb2_grpc,
)
from authy_grpc.v1.approval_pb2 import CreateApprovalRequest, Detail
from tests.framing import Wire, head
from tests.rushing import PATIENCE, came

GET = "/authy_grpc.v1.ApplicationService/GetApplication"
WATCH = "/authy_grpc.v1.EventService/WatchEvents"
START = "/authy_grpc.v1.AccountService/StartPhoneVerification"
CHECK = "/grpc.health.v1.Health/Check"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

BEARER = (("authorization", "Bearer op_1"),)
EVENTS = (("authorization", "Bearer ak_events"),)
SOON = {"timeout": timedelta(milliseconds=200)}


class Accounts(account_pb2_grpc.AccountServiceServicer):
    """Answers at once."""

    async def StartPhoneVerification(self, request: Message, context: Any) -> Any:
        return account_pb2.StartPhoneVerificationResponse()


def services() -> list[Service]:
    accounts: Any = Accounts
    applications: Any = application_pb2_grpc.ApplicationServiceServicer
    events: Any = event_pb2_grpc.EventServiceServicer
    return [
        Service("a", accounts(), account_pb2_grpc.add_AccountServiceServicer_to_server),
        Service("b", applications(), application_pb2_grpc.add_ApplicationServiceServicer_to_server),
        Service("c", events(), event_pb2_grpc.add_EventServiceServicer_to_server),
    ]


async def never() -> AsyncIterator[bytes]:
    """The messages of a call that sends none."""
    await asyncio.Event().wait()
    yield b""


async def none() -> AsyncIterator[bytes]:
    """The messages of a call that ends without one."""
    nothing: list[bytes] = []
    for message in nothing:
        yield message


def silent(channel: grpc.aio.Channel, path: str, metadata: Any = (), messages: Any = never) -> Any:
    """A call whose message never comes."""
    method: Any = channel.stream_stream(path)
    return method(messages(), metadata=grpc.aio.Metadata(*metadata))


async def ending(call: Any, failure: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    return failure(caught.value)


async def start(channel: grpc.aio.Channel) -> None:
    """An honest call that needs no credential."""
    stub: Any = account_pb2_grpc.AccountServiceStub(channel)
    await stub.StartPhoneVerification(
        account_pb2.StartPhoneVerificationRequest(phone_number="+15005550006"),
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("path", [GET, WATCH])
async def test_a_stranger_is_refused_before_the_message_comes(
    transport: Any, failure: Any, path: str
) -> None:
    async with transport(*services()) as world:
        assert (await ending(silent(world.channel, path), failure)).reason == "BAD_CREDENTIAL"
        other = await ending(silent(world.channel, path, (("authorization", "Bearer gw_1"),)), failure)
        assert other.reason == "MISSING_SCOPE"


@pytest.mark.parametrize(
    ("path", "metadata"), [(GET, BEARER), (WATCH, EVENTS), (START, ()), (CHECK, ()), (REFLECT, ())]
)
async def test_a_message_that_does_not_come(transport: Any, failure: Any, path: str, metadata: Any) -> None:
    async with transport(*services(), receive_limits=SOON) as world:
        late = await ending(silent(world.channel, path, metadata), failure)
        assert (late.code, late.reason) == ("DEADLINE_EXCEEDED", "REQUEST_TIMEOUT")
        assert f'code="DEADLINE_EXCEEDED",method="{path}",reason="REQUEST_TIMEOUT"' in world.metrics
        without = await ending(silent(world.channel, path, metadata, none), failure)
        assert (without.reason, without.fields) == ("BAD_FIELD", ("request",))


async def test_a_caller_that_hangs_up_before_its_message_is_told_of_as_such(transport: Any) -> None:
    async with transport(*services()) as world:
        for _ in range(20):
            call = silent(world.channel, START)
            await asyncio.sleep(0)
            call.cancel()
        await start(world.channel)
    codes = {line.get("code") for line in world.lines}
    assert codes <= {"OK", "CANCELLED"}


async def test_a_caller_that_hung_up_is_known_though_its_end_is_told_first() -> None:
    """gRPC cancels the call some turns of the loop after it has told that no message comes."""

    async def hangs_up(_: Any) -> None:
        task = asyncio.current_task()
        assert task
        asyncio.get_running_loop().call_later(0.01, task.cancel)

    context: Any = None
    with pytest.raises(asyncio.CancelledError):
        await Call(START, context, hangs_up, streams=False).receive()


async def test_a_stop_does_not_wait_for_messages(transport: Any, failure: Any) -> None:
    async with transport(*services(), grace=timedelta(hours=1)) as world:
        calls = [silent(world.channel, GET, BEARER), silent(world.channel, START)]
        await until(world, 2)
        await world.server.stop()
        assert [(await ending(call, failure)).reason for call in calls] == ["DRAINING"] * 2


async def until(world: Any, count: int) -> None:
    """Wait until so many calls are in the server."""
    await came(lambda: len(world.chain._open) == count)


async def test_of_one_peer_20_calls_without_a_credential_wait(transport: Any, failure: Any) -> None:
    async with transport(*services()) as world:
        held = [silent(world.channel, path) for path in (START, CHECK, REFLECT, START) for _ in range(5)]
        await until(world, 20)
        refused = await ending(silent(world.channel, CHECK), failure)
        assert (refused.code, refused.reason, refused.retry_seconds) == (
            "RESOURCE_EXHAUSTED",
            "RATE_LIMITED",
            1,
        )
        # Who has a credential has nothing to do with them, and a place that is left is another's.
        waits = silent(world.channel, GET, BEARER)
        await until(world, 21)
        waits.cancel()
        held.pop().cancel()
        await until(world, 19)
        await start(world.channel)


async def test_of_all_peers_100_wait_and_an_honest_one_is_served(transport: Any) -> None:
    async with transport(*services()) as world, contextlib.AsyncExitStack() as closing:
        wires = [
            await closing.enter_async_context(Wire.open(world.port, f"127.0.0.{number}"))
            for number in range(2, 9)
        ]
        for wire in wires:
            for _ in range(30):
                wire.call(START, data=head(100_000) + bytes(1000))
        await came(lambda: sum(len(wire.ended) for wire in wires) >= 7 * 30 - 100)
        await start(world.channel)
        stub: Any = health_pb2_grpc.HealthStub(world.channel)
        assert await stub.Check(health_pb2.HealthCheckRequest())
        assert 95 <= len(world.chain._open) <= 100
        refused = f'code="RESOURCE_EXHAUSTED",method="{START}",reason="RATE_LIMITED"'
        found = re.search(rf"handled_total{{{refused}}} (\d+)", world.metrics)
        assert found and int(found[1]) >= 110


async def test_bytes_that_come_slowly_are_waited_for(transport: Any) -> None:
    """The control: a wire that says the rest is answered."""
    request = account_pb2.StartPhoneVerificationRequest(
        phone_number="+15005550006",
        registration_proof="x" * 4000,
    ).SerializeToString()
    async with transport(*services()) as world, Wire.open(world.port) as wire:
        stream = wire.call(START, data=head(len(request)) + request[:-1])
        await until(world, 1)
        assert not wire.ended
        wire.send(stream, request[-1:])
        await came(lambda: stream in wire.ended)
    assert [line["code"] for line in world.lines] == ["OK"]


async def test_a_message_is_as_large_as_the_contract_can_fill(transport: Any) -> None:
    limit = largest_request()
    wide = "\N{GRINNING FACE}"
    filled: list[Message] = [
        authenticator_pb2.RespondApprovalRequest(approval_id="a", receipt=wide * 65_536),
        CreateApprovalRequest(
            authy_id="1",
            message=wide * 200,
            details=[Detail(label=wide * 40, value=wide * 400)] * 20,
            hidden_details={f"{number:02}" + wide * 38: wide * 400 for number in range(20)},
        ),
    ]
    for request in filled:
        Validate()(request)
        assert request.ByteSize() <= limit
    assert limit < filled[0].ByteSize() * 1.1
    async with transport(*services()) as world:
        method: Any = world.channel.unary_unary(START)
        for size, code in ((limit, "INVALID_ARGUMENT"), (limit + 1, "RESOURCE_EXHAUSTED")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(b"x" * size, timeout=PATIENCE)
            assert caught.value.code().name == code


async def test_streams_of_reflection_are_counted_and_aged(transport: Any, failure: Any) -> None:
    asked = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()

    async def once() -> AsyncIterator[bytes]:
        yield asked
        await asyncio.Event().wait()

    async def hold(channel: grpc.aio.Channel) -> Any:
        call = silent(channel, REFLECT, (), once)
        await call.read()
        return call

    async with transport(*services()) as world:
        held = [await hold(world.channel) for _ in range(500)]
        refused = await ending(silent(world.channel, REFLECT, (), once), failure)
        assert (refused.reason, refused.retry_seconds) == ("RATE_LIMITED", 30)
        held.pop().cancel()
        await until(world, 499)
        await hold(world.channel)
    limits = {"max_age": timedelta(milliseconds=50)}
    async with transport(*services(), stream_limits=limits) as world:
        assert (await ending(await hold(world.channel), failure)).reason == "DRAINING"
