"""How the server starts, tells of itself and stops."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import os
import resource
import urllib.request
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry, Counter

from authy_grpc.domain.errors import Draining, RateLimited
from authy_grpc.domain.forwarded import Forwarding
from authy_grpc.rpc.health import Health
from authy_grpc.rpc.streams import Streams
from authy_grpc.server import Service, Tls, serve_metrics
from authy_grpc.v1 import application_pb2, application_pb2_grpc
from tests.programs import program
from tests.rpc.conftest import NOON
from tests.rushing import PATIENCE

NAME = "authy_grpc.v1.ApplicationService"
BEARER = (("authorization", "Bearer op_1"),)


class Applications(application_pb2_grpc.ApplicationServiceServicer):
    """Answers at once, or when it is released."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.released = asyncio.Event()

    async def GetApplication(self, request: Message, context: Any) -> Any:
        return application_pb2.GetApplicationResponse()

    async def ListApplications(self, request: Message, context: Any) -> Any:
        self.entered.set()
        await self.released.wait()
        return application_pb2.ListApplicationsResponse()


def partly(kind: Any, *arguments: Any) -> Any:
    """A servicer that has some of its methods."""
    return kind(*arguments)


def service(servicer: Applications) -> Service:
    return Service(NAME, servicer, application_pb2_grpc.add_ApplicationServiceServicer_to_server)


async def test_health_checks_lists_and_watches(transport: Any, failure: Any) -> None:
    async with transport(service(partly(Applications))) as world:
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


async def test_one_address_holds_500_watches_of_health(transport: Any, failure: Any) -> None:
    async with transport(service(partly(Applications))) as world:
        stub: Any = health_pb2_grpc.HealthStub(world.channel)

        async def watch() -> Any:
            call = stub.Watch(health_pb2.HealthCheckRequest())
            await call.read()
            return call

        held = await asyncio.gather(*[watch() for _ in range(500)])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch()
        refused = failure(caught.value)
        assert (refused.reason, refused.retry_seconds) == ("RATE_LIMITED", 30)
        # A probe is answered all the same.
        assert await stub.Check(health_pb2.HealthCheckRequest())
        held[0].cancel()
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    held.append(await watch())
                    break


async def test_watches_through_a_trusted_proxy_count_for_who_calls(transport: Any, failure: Any) -> None:
    trusted = Forwarding.read("127.0.0.1")
    async with transport(service(partly(Applications)), address=trusted) as world:
        stub: Any = health_pb2_grpc.HealthStub(world.channel)

        async def watch(caller: str) -> None:
            told = (("x-forwarded-for", f"{caller}:4711"),)
            await stub.Watch(health_pb2.HealthCheckRequest(), metadata=told).read()

        await asyncio.gather(*[watch("203.0.113.7") for _ in range(500)])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch("203.0.113.7")
        assert failure(caught.value).reason == "RATE_LIMITED"
        await watch("203.0.113.8")


async def crowd(port: int) -> Sequence[BaseException]:
    """What becomes wrong where two thousand checks come at once, on as many connections as carry them."""
    apart = (("grpc.use_local_subchannel_pool", 1),)
    async with contextlib.AsyncExitStack() as closing, asyncio.timeout(PATIENCE):
        channels = [
            await closing.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}", apart))
            for _ in range(20)
        ]
        stubs: list[Any] = [health_pb2_grpc.HealthStub(channel) for channel in channels]
        for stub in stubs:
            await stub.Check(health_pb2.HealthCheckRequest())
        answers = await asyncio.gather(
            *(stub.Check(health_pb2.HealthCheckRequest()) for stub in stubs for _ in range(100)),
            return_exceptions=True,
        )
    return [answer for answer in answers if isinstance(answer, BaseException)]


async def test_a_crowd_that_comes_at_once_is_served(transport: Any) -> None:
    """As when a server has started anew."""
    async with transport(service(partly(Applications))) as world:
        assert await crowd(world.port) == []


async def test_a_crowd_is_not_served_by_a_server_that_bounds_it(transport: Any) -> None:
    bounds = (("grpc.server.max_pending_requests", 10), ("grpc.server.max_pending_requests_hard_limit", 10))
    server = grpc.aio.server(options=bounds)
    async with transport(service(partly(Applications))) as world:
        health_pb2_grpc.add_HealthServicer_to_server(Health([NAME], world.streams), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        refused: Any = await crowd(port)
        await server.stop(None)
    assert {error.code() for error in refused} == {grpc.StatusCode.CANCELLED}


class Peer:
    """A context of a call from an address, which writes to nobody."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.read = asyncio.Event()

    def peer(self) -> str:
        return self.address

    async def send_initial_metadata(self, metadata: Any) -> None:
        await asyncio.sleep(0)

    async def write(self, message: Message) -> None:
        self.read.set()


class Lobby:
    """Health by itself, and those who watch it."""

    def __init__(self) -> None:
        @contextlib.asynccontextmanager
        async def never(caller: Any) -> AsyncIterator[asyncio.Event]:
            yield asyncio.Event()

        streams = Streams(clock=lambda: NOON, random=os.urandom, ended=never)
        self.health = Health([NAME], streams)

    async def watch(self, *peers: str) -> list["asyncio.Task[None]"]:
        """Watches that have been told how it is."""
        callers = [Peer(each) for each in peers]
        request = health_pb2.HealthCheckRequest()
        held = [asyncio.create_task(self.health.Watch(request, cast(Any, each))) for each in callers]
        for caller in callers:
            await caller.read.wait()
        return held


async def test_of_more_than_2000_watches_of_health_the_oldest_of_who_holds_the_most_ends() -> None:
    lobby = Lobby()
    one = await lobby.watch("ipv4:192.0.2.1:50000")
    few = await lobby.watch(*[f"ipv4:192.0.2.{each % 20 + 10}:50000" for each in range(1500)])
    many = await lobby.watch(*["ipv4:198.51.100.1:50000"] * 499)
    for late in range(10):
        held = await lobby.watch(f"ipv4:203.0.113.{late}:50000")
        with pytest.raises(Draining):
            await many[late]
        assert not held[0].done()
    left = one + few + many[10:] + held
    assert not any(each.done() for each in left)
    lobby.health.stop()
    assert {type(each) for each in await asyncio.gather(*left, return_exceptions=True)} == {Draining}
    (late_one,) = await lobby.watch("ipv4:192.0.2.100:50000")
    with pytest.raises(Draining):
        await late_one


async def test_watches_of_health_are_counted_by_ipv4_address_and_by_ipv6_64() -> None:
    lobby = Lobby()
    held = await lobby.watch(*[f"ipv6:%5B2001:db8:0:1:{each:x}::1%5D:50000" for each in range(500)])
    held += await lobby.watch(*["ipv6:%5B::ffff:192.0.2.1%5D:50000"] * 250, *["ipv4:192.0.2.1:50000"] * 250)
    for full in ("ipv6:%5B2001:db8:0:1::9%5D:50000", "ipv4:192.0.2.1:50001"):
        with pytest.raises(RateLimited):
            await lobby.health.Watch(health_pb2.HealthCheckRequest(), cast(Any, Peer(full)))
    held += await lobby.watch("ipv6:%5B2001:db8:0:2::1%5D:50000", "ipv4:192.0.2.2:50000")
    lobby.health.stop()
    assert {type(each) for each in await asyncio.gather(*held, return_exceptions=True)} == {Draining}


async def test_a_watch_of_health_ends_at_its_age(transport: Any, failure: Any) -> None:
    limits = {"max_age": timedelta(milliseconds=50)}
    async with transport(service(partly(Applications)), stream_limits=limits) as world:
        stub: Any = health_pb2_grpc.HealthStub(world.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert failure(caught.value).reason == "DRAINING"


async def _services(channel: grpc.aio.Channel) -> set[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub: Any = reflection_pb2_grpc.ServerReflectionStub
    call = stub(channel).ServerReflectionInfo(iter([request]))
    answers = [answer async for answer in call]
    return {entry.name for answer in answers for entry in answer.list_services_response.service}


async def test_reflection_lists_the_services_and_can_be_switched_off(transport: Any) -> None:
    async with transport(service(partly(Applications))) as world:
        assert await _services(world.channel) == {
            NAME,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
    async with transport(service(partly(Applications)), reflects=False) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _services(world.channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_grpcurl_describes_what_the_contract_says_as_options(transport: Any) -> None:
    async with transport(service(partly(Applications))) as world:

        async def told(name: str) -> str:
            process = await asyncio.create_subprocess_exec(
                program("grpcurl"), "-plaintext", f"127.0.0.1:{world.port}", "describe", name, stdout=PIPE
            )
            output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
            # How protobuf spaces text is not the same each time.
            return "".join(output.decode().split())

        calls, fields = await told(NAME), await told("authy_grpc.v1.Application")
    create = calls.partition("rpcCreateApplication(")[2].partition("}rpc")[0]
    assert "option(.authy_grpc.v1.access)={caller:CALLER_OPERATOR};" in create
    assert "option(.authy_grpc.v1.single_use)=true;" in create
    get = calls.partition("rpcGetApplication(")[2].partition("}rpc")[0]
    assert "option(.authy_grpc.v1.reasons)=ERROR_REASON_NOT_FOUND;" in get
    assert "(.authy_grpc.v1.max_chars)=60" in fields.partition("stringname=2[")[2].partition("]")[0]


async def test_a_stop_lets_an_accepted_call_finish_and_takes_no_other(transport: Any, failure: Any) -> None:
    servicer = partly(Applications)
    async with transport(service(servicer)) as world:
        stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
        health: Any = health_pb2_grpc.HealthStub(world.channel)
        listing = application_pb2.ListApplicationsRequest()
        call = asyncio.ensure_future(stub.ListApplications(listing, metadata=BEARER))
        await servicer.entered.wait()
        stop = asyncio.create_task(world.server.stop())
        checked = await health.Check(health_pb2.HealthCheckRequest(service=NAME))
        assert checked.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListApplications(listing, metadata=BEARER)
        assert failure(caught.value).reason == "DRAINING"
        assert not stop.done()
        servicer.released.set()
        assert await call == application_pb2.ListApplicationsResponse()
        await stop


async def test_under_load_a_stop_answers_everybody_ok_or_draining(transport: Any, failure: Any) -> None:
    ended: list[str] = []
    many = asyncio.Semaphore(0)
    async with transport(service(partly(Applications))) as world:
        stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
        request = application_pb2.GetApplicationRequest(application_id="app_1")

        async def caller() -> None:
            try:
                while True:
                    await stub.GetApplication(request, metadata=BEARER)
                    many.release()
            except grpc.aio.AioRpcError as error:
                ended.append(failure(error).reason)

        callers = asyncio.gather(*(caller() for _ in range(20)))
        for _ in range(100):
            await many.acquire()
        await world.server.stop()
        await callers
    assert ended == ["DRAINING"] * 20


async def test_a_second_stop_is_at_once(transport: Any) -> None:
    servicer = partly(Applications)
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
    async with transport(service(partly(Applications))) as world:
        with pytest.raises(OSError, match=f"127.0.0.1:{world.port}"):
            async with transport(service(partly(Applications)), listen=f"127.0.0.1:{world.port}"):
                pass


async def test_a_unix_socket(transport: Any, tmp_path: Any) -> None:
    async with transport(service(partly(Applications)), listen=f"unix:{tmp_path}/s") as world:
        stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
        request = application_pb2.GetApplicationRequest(application_id="app_1")
        assert await stub.GetApplication(request, metadata=BEARER)


async def test_metrics_are_served_as_text() -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc()
    port, stop = serve_metrics("127.0.0.1:0", registry)
    try:
        with await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/metrics") as answer:
            assert b"things_total 1.0" in answer.read()
    finally:
        stop()


def certificate() -> tuple[bytes, bytes]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return built.public_bytes(pem), key.private_bytes(pem, form, serialization.NoEncryption())


@pytest.mark.parametrize("asks", [False, True])
async def test_tls(transport: Any, asks: bool) -> None:
    shown, key = certificate()
    tls = Tls(certificate=shown, key=key, client_ca=shown if asks else None)
    assert key.decode() not in repr(tls) and repr(key) not in repr(tls)
    async with transport(service(partly(Applications)), tls=tls) as world:

        async def call(credentials: grpc.ChannelCredentials) -> Any:
            async with grpc.aio.secure_channel(f"127.0.0.1:{world.port}", credentials) as channel:
                stub: Any = application_pb2_grpc.ApplicationServiceStub(channel)
                request = application_pb2.GetApplicationRequest(application_id="app_1")
                return await stub.GetApplication(request, metadata=BEARER, timeout=PATIENCE)

        known = grpc.ssl_channel_credentials(shown, key, shown)
        assert await call(known) == application_pb2.GetApplicationResponse()
        if asks:
            with pytest.raises(grpc.aio.AioRpcError):
                await call(grpc.ssl_channel_credentials(shown))
        else:
            assert await call(grpc.ssl_channel_credentials(shown)) is not None


async def test_connections_beyond_the_descriptors_are_closed(transport: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with contextlib.AsyncExitStack() as opened:
        # The limit is read when the server is made: 96 connections are three eighths of it.
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            world = await opened.enter_async_context(transport())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [await _is_taken(world.port, opened) for _ in range(102)] == [True] * 96 + [False] * 6


async def _is_taken(port: int, opened: contextlib.AsyncExitStack) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # The callback keeps the writer, too: without one its connection would be closed.
    opened.callback(lambda: writer.transport.abort())
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            return await reader.read(1) != b""
        return False
