"""What ends a stream, and what is cleaned up then."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest
from google.protobuf.message import Message

from authy_grpc.domain.errors import CursorExpired
from authy_grpc.rpc.call import current_caller
from authy_grpc.rpc.streams import Streams
from authy_grpc.server import Service
from authy_grpc.service.caller import Site as SiteCaller
from authy_grpc.v1 import authenticator_pb2, event_pb2, event_pb2_grpc
from authy_grpc.v1.authenticator_pb2_grpc import (
    AuthenticatorServiceServicer,
    AuthenticatorServiceStub,
    add_AuthenticatorServiceServicer_to_server,
)
from tests.clock import TurnedClock
from tests.threads import PATIENCE

BEARER = (("authorization", "Bearer ak_events"),)


class Events(event_pb2_grpc.EventServiceServicer):
    """Relays what a test puts into `source`; None ends it, an exception is raised."""

    def __init__(self) -> None:
        self.source: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.relay: Any = None

    async def messages(self) -> AsyncIterator[str]:
        try:
            while (item := await self.source.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            await asyncio.sleep(0)  # cleaning up may wait
            self.closed.set()

    async def WatchEvents(self, request: Message, context: Any) -> None:  # type: ignore[override]
        await self.relay(
            context, self.messages(), lambda cursor: event_pb2.WatchEventsResponse(cursor=cursor)
        )


def partly(kind: Any, *arguments: Any) -> Any:
    """A servicer that has some of its methods."""
    return kind(*arguments)


class Watch:
    """A server with one open stream that has said something."""

    def __init__(self, world: Any, servicer: Events, call: Any) -> None:
        self.world, self.servicer, self.call = world, servicer, call

    async def end(self) -> grpc.aio.AioRpcError:
        """How the stream ends, when it does not end well."""
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await self.rest()
            await self.servicer.closed.wait()
        return caught.value

    async def rest(self) -> None:
        """Read all that comes."""
        while await self.call.read() is not grpc.aio.EOF:
            pass


@pytest.fixture
def watch(transport: Any) -> Callable[..., AbstractAsyncContextManager[Watch]]:

    @asynccontextmanager
    async def opened(**limits: timedelta) -> AsyncIterator[Watch]:
        servicer = partly(Events)
        added = Service(
            "authy_grpc.v1.EventService", servicer, event_pb2_grpc.add_EventServiceServicer_to_server
        )
        async with transport(added, stream_limits=limits) as world:
            servicer.relay = world.streams.relay
            servicer.source.put_nowait("first")
            stub: Any = event_pb2_grpc.EventServiceStub(world.channel)
            call = stub.WatchEvents(event_pb2.WatchEventsRequest(), metadata=BEARER)
            assert (await call.read()).cursor == "first"
            yield Watch(world, servicer, call)

    return opened


async def test_it_ends_well_when_the_messages_end(watch: Any) -> None:
    async with watch() as one:
        for item in ("second", None):
            one.servicer.source.put_nowait(item)
        assert (await one.call.read()).cursor == "second"
        assert await one.call.read() is grpc.aio.EOF
        assert (await one.call.code()) is grpc.StatusCode.OK
        assert one.servicer.closed.is_set()


async def test_a_refusal_in_the_middle_is_told(watch: Any, failure: Any) -> None:
    async with watch() as one:
        one.servicer.source.put_nowait(CursorExpired())
        assert failure(await one.end()).reason == "CURSOR_EXPIRED"


async def test_a_hang_up_closes_the_messages(watch: Any) -> None:
    async with watch() as one:
        one.call.cancel()
        async with asyncio.timeout(PATIENCE):
            await one.servicer.closed.wait()
            await one.world.server.stop()
    assert one.world.lines[-1]["code"] == "CANCELLED"


async def test_a_drain_ends_it_with_draining(watch: Any, failure: Any) -> None:
    async with watch() as one:
        stop = asyncio.create_task(one.world.server.stop())
        found = failure(await one.end())
        await stop
        assert (found.code, found.reason) == ("UNAVAILABLE", "DRAINING")


async def test_a_stream_that_comes_while_draining_ends_at_once(watch: Any, failure: Any) -> None:
    async with watch() as one:
        await one.world.streams.drain()
        await one.end()
        stub: Any = event_pb2_grpc.EventServiceStub(one.world.channel)
        one.servicer.closed.clear()
        late = Watch(
            one.world, one.servicer, stub.WatchEvents(event_pb2.WatchEventsRequest(), metadata=BEARER)
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await late.call.read()
        assert failure(caught.value).reason == "DRAINING"


async def test_age_ends_it_with_draining(watch: Any, failure: Any) -> None:
    async with watch(max_age=timedelta(milliseconds=200)) as one:
        assert failure(await one.end()).reason == "DRAINING"


async def test_a_revoked_credential_ends_it(watch: Any, failure: Any) -> None:
    async with watch() as one:
        one.world.endings["key_events"].set()
        found = failure(await one.end())
        assert (found.code, found.reason) == ("UNAUTHENTICATED", "BAD_CREDENTIAL")


async def test_nothing_is_told_after_the_credential_has_expired(watch: Any, failure: Any) -> None:
    async with watch() as one:
        one.world.now += timedelta(hours=1)
        one.servicer.source.put_nowait("second")
        found = failure(await one.end())
        assert found.reason == "BAD_CREDENTIAL"


async def test_the_expiry_itself_ends_it(transport: Any, failure: Any) -> None:
    servicer = partly(Events)
    added = Service("authy_grpc.v1.EventService", servicer, event_pb2_grpc.add_EventServiceServicer_to_server)
    async with transport(added) as world:
        servicer.relay = world.streams.relay
        world.now += timedelta(hours=1) - timedelta(milliseconds=100)
        stub: Any = event_pb2_grpc.EventServiceStub(world.channel)
        call = stub.WatchEvents(event_pb2.WatchEventsRequest(), metadata=BEARER)
        assert failure(await Watch(world, servicer, call).end()).reason == "BAD_CREDENTIAL"


async def test_a_peer_that_does_not_read_is_let_go(watch: Any, failure: Any) -> None:
    async with watch(write_timeout=timedelta(milliseconds=200)) as one:
        for _ in range(300):
            one.servicer.source.put_nowait("x" * 100_000)
        async with asyncio.timeout(PATIENCE):
            await one.servicer.closed.wait()
            await one.world.chain.idle()  # the server has done with it, though nothing was read
        assert one.world.lines[-1]["reason"] == "DRAINING"
        assert failure(await one.end()).reason == "DRAINING"


class Held:
    """Two services with a stream each, which says that it is open, and then what `say` is set for."""

    def __init__(self) -> None:
        self.relay: Any = None
        self.say = asyncio.Event()
        self.left: asyncio.Queue[None] = asyncio.Queue()

    @property
    def services(self) -> list[Service]:
        """Both."""
        feed = partly(event_pb2_grpc.EventServiceServicer)
        feed.WatchEvents = self._watching(event_pb2.WatchEventsResponse())
        inbox = partly(AuthenticatorServiceServicer)
        inbox.WatchInbox = self._watching(authenticator_pb2.WatchInboxResponse())
        return [
            Service("authy_grpc.v1.EventService", feed, event_pb2_grpc.add_EventServiceServicer_to_server),
            Service("authy_grpc.v1.AuthenticatorService", inbox, add_AuthenticatorServiceServicer_to_server),
        ]

    def _watching(self, message: Message) -> Callable[[Message, Any], Any]:
        async def messages() -> AsyncIterator[Message]:
            try:
                yield message
                await self.say.wait()
                yield message
            finally:
                self.left.put_nowait(None)

        async def watch(request: Message, context: Any) -> None:
            await self.relay(context, messages())

        return watch


async def test_a_caller_holds_so_many_streams_and_no_more(transport: Any, failure: Any) -> None:
    """All keys of a site count together; other callers' streams do not, nor do those that have ended."""
    held = Held()
    async with (
        transport(*held.services, stream_limits={"most_of_site": 2, "most_of_device": 1}) as world,
        asyncio.timeout(PATIENCE),
    ):
        held.relay = world.streams.relay
        own = world.credentials["ak_events"]
        world.credentials |= {
            "ak_second": replace(own, api_key_id="key_second"),
            "ak_other": replace(own, application_id="app_2"),
            # Of the same device: who holds a stolen token does not shut its owner out.
            "dt_again": replace(world.credentials["dt_active"], session_id="ses_3"),
        }
        feed: Any = event_pb2_grpc.EventServiceStub(world.channel)
        inbox: Any = AuthenticatorServiceStub(world.channel)

        async def opened(token: str) -> Any:
            bearer = (("authorization", f"Bearer {token}"),)
            if token.startswith("ak"):
                call = feed.WatchEvents(event_pb2.WatchEventsRequest(), metadata=bearer)
            else:
                call = inbox.WatchInbox(authenticator_pb2.WatchInboxRequest(), metadata=bearer)
            assert await call.read() is not grpc.aio.EOF
            return call

        async def refused(token: str) -> None:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await opened(token)
            found = failure(caught.value)
            assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
            assert found.retry_seconds == 30

        held_open = [
            await opened(token) for token in ("ak_events", "ak_second", "ak_other", "dt_active", "dt_again")
        ]
        for token in ("ak_events", "ak_second", "dt_active", "dt_again"):
            await refused(token)
        held_open.pop(0).cancel()
        await held.left.get()
        held_open.append(await opened("ak_second"))
        await refused("ak_events")
        events, inboxes = (
            "authy_grpc.v1.EventService/WatchEvents",
            "authy_grpc.v1.AuthenticatorService/WatchInbox",
        )
        assert f'grpc_server_streams_refused_total{{method="/{events}"}} 3.0' in world.metrics
        assert f'grpc_server_streams_refused_total{{method="/{inboxes}"}} 2.0' in world.metrics
        held.say.set()
        for call in held_open:
            assert await call.read() is not grpc.aio.EOF


async def test_a_timeout_of_the_messages_own_is_a_fault(watch: Any, failure: Any) -> None:
    async with watch() as one:
        one.servicer.source.put_nowait(TimeoutError())
        assert failure(await one.end()).reason == "INTERNAL"


async def test_messages_that_need_no_encoding(transport: Any) -> None:
    class Inbox(event_pb2_grpc.EventServiceServicer):
        relay: Any = None

        async def WatchEvents(self, request: Message, context: Any) -> None:  # type: ignore[override]
            async def messages() -> AsyncIterator[Message]:
                yield event_pb2.WatchEventsResponse(cursor="only")

            await self.relay(context, messages())

    servicer = partly(Inbox)
    added = Service("authy_grpc.v1.EventService", servicer, event_pb2_grpc.add_EventServiceServicer_to_server)
    async with transport(added) as world:
        servicer.relay = world.streams.relay
        stub: Any = event_pb2_grpc.EventServiceStub(world.channel)
        answers = [
            answer.cursor
            async for answer in stub.WatchEvents(event_pb2.WatchEventsRequest(), metadata=BEARER)
        ]
    assert answers == ["only"]


async def test_streams_of_one_caller_hold_up_no_other_s(clock: TurnedClock) -> None:
    """All wake at one moment, the quiet one last."""
    written: list[str] = []
    happened = asyncio.Event()

    class Peer:
        def __init__(self, name: str) -> None:
            self.name = name

        async def send_initial_metadata(self, metadata: Any) -> None:
            """Nothing."""

        async def write(self, message: str) -> None:
            written.append(self.name)

    @asynccontextmanager
    async def stands(_: Any) -> AsyncIterator[asyncio.Event]:
        yield asyncio.Event()

    async def messages() -> AsyncIterator[str]:
        await happened.wait()
        yield "it"

    streams = Streams(clock=clock, random=os.urandom, ended=stands)

    async def watch(name: str) -> None:
        current_caller.set(SiteCaller(f"app_{name}", "key_1", frozenset(), None))
        await streams.relay(partly(Peer, name), messages())

    watching = [asyncio.create_task(watch("loud")) for _ in range(100)]
    watching.append(asyncio.create_task(watch("quiet")))
    for _ in range(10):
        await asyncio.sleep(0)
    happened.set()
    await asyncio.gather(*watching)
    assert len(written) == 101
    assert written.index("quiet") < 10
