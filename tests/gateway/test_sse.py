"""Streams for browsers: over a real server, read as a browser reads them."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from google.rpc import code_pb2

from authy_grpc import logs
from authy_grpc.service.heartbeat import Heartbeat
from authy_grpc.v1.application_pb2 import ListApiKeysRequest, RevokeApiKeyRequest
from authy_grpc.v1.enrollment_pb2 import CancelEnrollmentRequest, CreateEnrollmentRequest, Enrollment
from authy_grpc.v1.event_pb2 import WatchEventsRequest, WatchEventsResponse
from gateway.app import build
from gateway.channels import Channels
from gateway.errors import Failure
from gateway.routes import contract
from gateway.settings import GatewaySettings
from gateway.sse import Pace, Stream
from gateway.transcode import Transcoder
from tests.gateway.asking import Event, events, fields, gateway, reason, serving, settings
from tests.harness import Service, Site
from tests.rushing import PATIENCE

# No comment is what finds out that a reader is gone.
QUICK = Pace(settle=0.2, comment=10 * PATIENCE)


@asynccontextmanager
async def browser(
    service: Service, credential: str, pace: Pace = QUICK, given: GatewaySettings | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    channels = Channels(service.target)
    app = build(channels, given or settings(), log=logs.build(io.StringIO(), service.clock), pace=pace)
    headers = {"authorization": f"Bearer {credential}"} if credential else {}
    limits = httpx.Limits(max_connections=None)
    async with (
        serving(app) as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, limits=limits, timeout=PATIENCE
        ) as client,
    ):
        yield client
    await channels.close()


@asynccontextmanager
async def watching(
    client: httpx.AsyncClient, address: str, last: str = ""
) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[Event]]]:
    """A stream that is open, and its events: those with data."""
    headers = {"last-event-id": last} if last else {}
    async with client.stream("GET", address, headers=headers) as response:
        yield response, (event async for event in events(response) if event.data is not None)


async def begin(site: Site, name: str = "ada") -> Enrollment:
    made = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id=name))
    return made.enrollment


async def until_open(service: Service, count: int) -> None:
    """Wait until the core has so many streams."""
    async with asyncio.timeout(PATIENCE):
        while len(service.core.server._streams._open) != count:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0)


async def test_one_thing_is_watched_to_its_end(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    made = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
    address = f"/v1/enrollments/{made.enrollment.enrollment_id}:watch"
    async with browser(service, site.api_key) as client, watching(client, address) as (response, stream):
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        first = await anext(stream)
        assert first.data["enrollment"]["state"] == "ENROLLMENT_STATE_PENDING"
        assert first.id == first.data["enrollment"]["revision"]
        await phone.accept(await phone.open(made.qr.uri))
        seen = [first, *[event async for event in stream]]
    assert seen[-1] == Event("end", "", {})
    states = [event.data["enrollment"]["state"] for event in seen[:-1]]
    assert states[-1] == "ENROLLMENT_STATE_COMPLETED"
    revisions = [int(event.id) for event in seen[:-1]]
    assert revisions == sorted(set(revisions))


async def test_a_stream_is_resumed_by_its_last_event(service: Service) -> None:
    site = await service.site()
    made = await begin(site)
    address = f"/v1/enrollments/{made.enrollment_id}:watch"
    async with browser(service, site.api_key) as client:
        async with watching(client, address) as (_, stream):
            first = await anext(stream)
        # It wins over the query, which would have all repeated.
        async with watching(client, f"{address}?afterRevision=0", first.id) as (response, stream):
            assert response.status_code == 200
            cancel = CancelEnrollmentRequest(enrollment_id=made.enrollment_id)
            await site.client.enrollments.CancelEnrollment(cancel)
            second = await anext(stream)
            assert second.data["enrollment"]["state"] == "ENROLLMENT_STATE_CANCELED"
            assert await anext(stream) == Event("end", "", {})
        async with watching(client, f"{address}?afterRevision={first.id}") as (_, stream):
            assert (await anext(stream)).id == second.id
        wrong = await client.get(address, headers={"last-event-id": "SECRET987"})
        assert (wrong.status_code, fields(wrong)) == (400, ["last-event-id"])
        assert "SECRET987" not in wrong.text


async def test_heartbeats_of_the_core_are_comments(service: Service) -> None:
    site = await service.site()
    made = await begin(site)
    address = f"/v1/enrollments/{made.enrollment_id}:watch?heartbeat=true"
    servicers = {each.name: each.servicer for each in service.core.server._services}
    servicers["authy_grpc.v1.EnrollmentService"]._enrollments._heartbeat = Heartbeat(
        os.urandom, timedelta(milliseconds=20)
    )
    async with (
        browser(service, site.api_key) as client,
        client.stream("GET", address, headers={"last-event-id": str(made.revision)}) as response,
    ):
        lines = response.aiter_lines()
        seen = [await anext(lines) for _ in range(8)]
        assert set(seen) == {":", ""}
        await site.client.enrollments.CancelEnrollment(
            CancelEnrollmentRequest(enrollment_id=made.enrollment_id)
        )
        rest = [line async for line in lines if line not in (":", "")]
    assert [line.partition(":")[0] for line in rest] == ["id", "data", "event", "data"]


async def test_a_feed_that_is_resumed_repeats_and_loses_nothing(
    service: Service, figure: Callable[[int, int], int]
) -> None:
    site, count = await service.site(), figure(12, 500)
    seen: list[str] = []
    async with browser(service, site.api_key) as client:
        last = ""
        made = asyncio.ensure_future(many(site, count))
        while len(seen) < count:
            # The query stands in every address: the header wins.
            async with watching(client, "/v1/events:watch?cursor=earliest", last) as (_, stream):
                async for event in stream:
                    last = event.id
                    assert last == event.data["cursor"]
                    if "event" in event.data:
                        seen.append(event.data["event"]["enrollment"]["customUserId"])
                        if len(seen) % 5 == 0 or len(seen) == count:
                            break
        await made
    assert seen == [f"user-{number}" for number in range(count)]


async def many(site: Site, count: int) -> None:
    for number in range(count):
        await begin(site, f"user-{number}")


@pytest.mark.parametrize(
    ("address", "status", "why"),
    [
        ("/v1/enrollments/enr_00000000000000000000000000:watch", 404, "NOT_FOUND"),
        ("/v1/events:watch?cursor=AAAA", 400, "BAD_FIELD"),
        ("/v1/events:watch?unknown=1", 400, "BAD_FIELD"),
        ("/v1/authenticator/inbox:watch", 403, "MISSING_SCOPE"),
    ],
)
async def test_what_is_refused_before_it_begins_is_a_plain_error(
    service: Service, address: str, status: int, why: str
) -> None:
    site = await service.site()
    async with browser(service, site.api_key, Pace(settle=PATIENCE)) as client:
        response = await client.get(address)
        assert (response.status_code, reason(response)) == (status, why)
        assert response.headers["content-type"] == "application/json"
    async with browser(service, "") as client:
        response = await client.get(address.partition("?")[0])
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_stream_that_the_core_ends_tells_why(service: Service) -> None:
    site = await service.site()
    async with (
        browser(service, site.api_key) as client,
        watching(client, "/v1/events:watch") as (_, stream),
    ):
        await anext(stream)
        asked = ListApiKeysRequest(application_id=site.application.application_id)
        keys = await service.operator.applications.ListApiKeys(asked)
        request = RevokeApiKeyRequest(api_key_id=keys.api_keys[0].api_key_id)
        await service.operator.applications.RevokeApiKey(request)
        ended = await anext(stream)
        assert (ended.kind, ended.data["code"]) == ("error", code_pb2.UNAUTHENTICATED)
        assert ended.data["details"][0]["reason"] == "BAD_CREDENTIAL"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_server_that_stops_says_to_come_again(service: Service) -> None:
    site = await service.site()
    async with (
        browser(service, site.api_key) as client,
        watching(client, "/v1/events:watch") as (_, stream),
    ):
        first = await anext(stream)
        stopped = asyncio.ensure_future(service.core.server.stop(now=False))
        ended = await anext(stream)
        assert (ended.kind, ended.data["code"]) == ("error", code_pb2.UNAVAILABLE)
        assert ended.data["details"][0]["reason"] == "DRAINING"
        assert first.id
        await stopped


async def test_a_silent_stream_is_kept_alive_by_comments(service: Service) -> None:
    site = await service.site()
    async with (
        browser(service, site.api_key, Pace(settle=0.05, comment=0.05)) as client,
        client.stream("GET", "/v1/events:watch") as response,
    ):
        silent = 0
        async for event in events(response):
            silent += event.comments if event.data is None else 0
            if silent >= 5:
                break


async def test_who_hangs_up_ends_the_call(service: Service, figure: Callable[[int, int], int]) -> None:
    site, count = await service.site(), figure(5, 1_000)
    turnstile, hang_up = asyncio.Semaphore(20), asyncio.Event()

    async def tab(client: httpx.AsyncClient, opened: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            async with turnstile:
                _, stream = await stack.enter_async_context(watching(client, "/v1/events:watch"))
                await anext(stream)
            opened.set()
            await hang_up.wait()

    async with browser(service, site.api_key) as client, asyncio.TaskGroup() as tabs:
        opened = [asyncio.Event() for _ in range(count)]
        for each in opened:
            tabs.create_task(tab(client, each))
        for each in opened:
            await each.wait()
        assert len(service.core.server._streams._open) == count
        hang_up.set()
        await until_open(service, 0)


async def test_head_tells_of_a_stream_and_opens_none(service: Service) -> None:
    site = await service.site()
    async with browser(service, site.api_key) as client:
        response = await client.head("/v1/events:watch")
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"].startswith("text/event-stream")
        await until_open(service, 0)
        assert (await client.head("/v1/enrollments/enr_0:watch")).status_code in (400, 404)
        assert (await client.post("/v1/events:watch")).status_code == 405


async def test_no_credential_is_taken_from_an_address(service: Service) -> None:
    site = await service.site()
    async with browser(service, "") as client:
        response = await client.get(f"/v1/events:watch?authorization=Bearer%20{site.api_key}")
        assert (response.status_code, fields(response)) == (400, ["authorization"])
        assert site.api_key not in response.text


class Full:
    """A call of which there is always more: it counts what is read."""

    def __init__(self, *, opens: bool = True) -> None:
        self.read_count = 0
        self.canceled = False
        self._opens = opens

    async def initial_metadata(self) -> Any:
        if not self._opens:
            await asyncio.Event().wait()
        return ()

    async def read(self) -> Any:
        if not self._opens:
            await asyncio.Event().wait()
        self.read_count += 1
        return WatchEventsResponse(cursor=f"c{self.read_count}")

    def cancel(self) -> None:
        self.canceled = True


def stream_of(call: Full, send: Callable[[Any], Awaitable[None]], pace: Pace) -> Stream:
    route = next(each for each in contract() if each.path.endswith("WatchEvents"))
    transcoder = Transcoder(route)
    assert isinstance(transcoder.request([], "", b""), WatchEventsRequest)

    async def receive() -> Any:
        await asyncio.Event().wait()

    return Stream(transcoder, call, receive, send, [], pace)


async def test_a_slow_reader_holds_the_core_back_and_is_left_in_the_end() -> None:
    call, sent = Full(), []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 5:
            await asyncio.Event().wait()

    ended = await stream_of(call, send, Pace(send=0.1)).run(head=False)
    assert ended is None
    assert call.canceled
    # The answer's begin, a comment, and a message each: one more is read, and none beyond it.
    assert (len(sent), call.read_count) == (6, 4)


async def test_a_core_that_never_opens_a_stream_is_given_up() -> None:
    call, sent = Full(opens=False), []

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(Failure) as failed:
        await stream_of(call, send, Pace(open=0.05)).run(head=False)
    assert (failed.value.http, sent, call.canceled) == (504, [], True)


async def test_a_stream_has_the_deadline_that_it_asks_for(service: Service) -> None:
    site = await service.site()
    async with browser(service, site.api_key) as client:
        headers = {"grpc-timeout": "500m"}
        async with client.stream("GET", "/v1/events:watch", headers=headers) as response:
            seen = [event async for event in events(response) if event.data is not None]
    assert (seen[-1].kind, seen[-1].data["code"]) == ("error", code_pb2.DEADLINE_EXCEEDED)


async def test_what_is_logged_of_a_stream_is_how_it_ended(service: Service) -> None:
    async with gateway(service.channel()) as running:
        await running.client.get("/v1/events:watch?cursor=SECRET987")
        assert running.lines[-1]["code"] == "UNAUTHENTICATED"
        assert running.lines[-1]["path"] == "GET /v1/events:watch"
        assert "SECRET987" not in running.log.getvalue()
        assert 'gateway_open_streams{route="/v1/events:watch"} 0.0' in running.metrics
