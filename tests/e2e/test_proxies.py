"""What nginx and haproxy do to streams and calls: quiet ones are cut, and servers are rolled behind them."""

import asyncio
import io
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from authy_grpc import logs
from authy_grpc.bootstrap import Core, World, build
from authy_grpc.client import AsyncClient, AuthyError
from authy_grpc.settings import Settings
from authy_grpc.v1.enrollment_pb2 import (
    CancelEnrollmentRequest,
    CreateEnrollmentRequest,
    Enrollment,
    GetEnrollmentRequest,
)
from gateway.app import build as gateway_app
from gateway.channels import Channels
from tests.e2e.proxies import haproxy, nginx
from tests.gateway.asking import Event, events, serving, settings
from tests.harness import Service, Site
from tests.ports import free_port

PATIENCE = 60.0


@asynccontextmanager
async def quick_nginx(folder: Path, targets: list[str]) -> AsyncIterator[str]:
    async with nginx(folder, targets, "grpc_read_timeout 300ms; grpc_send_timeout 300ms;") as target:
        yield target


@asynccontextmanager
async def quick_haproxy(folder: Path, targets: list[str]) -> AsyncIterator[str]:
    async with haproxy(folder, targets, "300ms") as target:
        yield target


PROXIES: dict[str, Any] = {"nginx": quick_nginx, "haproxy": quick_haproxy}


class Servers:
    """Servers of one database behind a proxy, each at a port of its own that it keeps."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._cores: dict[int, Core] = {}

    @property
    def targets(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self._cores]

    async def start(self, port: int) -> None:
        service = self._service
        settings = Settings(
            database_url=service.url,  # type: ignore[arg-type]
            listen=f"127.0.0.1:{port}",
            dev=True,
        )
        world = World(
            clock=service.clock, random=os.urandom, sender=service.carrier, log_stream=service.log, guard=True
        )
        self._cores[port] = await build(settings, service.secrets, world)
        await self._cores[port].start()

    async def roll(self, pause: float) -> None:
        """Stop each server as SIGTERM does, and start it anew.

        Args:
            pause: seconds that each serves before the next one goes.
        """
        for port, core in list(self._cores.items()):
            await core.stop()
            await self.start(port)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        for core in self._cores.values():
            await core.stop(now=True)


async def begin(site: Site, name: str) -> Enrollment:
    request = CreateEnrollmentRequest(custom_user_id=name)
    return (await site.client.enrollments.CreateEnrollment(request)).enrollment


@pytest.mark.parametrize("kind", PROXIES)
async def test_a_stream_that_a_proxy_cuts_goes_on(
    sqlite_service: Service, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The proxy cuts in 0.3 s, and the server says nothing for 24: what happens is heard all the same."""
    service = sqlite_service
    site = await service.site()
    made = await begin(site, "ada")
    async with (
        PROXIES[kind](tmp_path, [service.target]) as target,
        AsyncClient(target, site.api_key) as client,
        asyncio.timeout(PATIENCE),
        aclosing(client.watch_enrollment(made.enrollment_id)) as states,
        aclosing(client.watch_events("earliest")) as feed,
    ):
        assert (await anext(states)).revision == 1
        assert (await anext(feed)).event.enrollment.enrollment_id == made.enrollment_id
        ends = asyncio.ensure_future(anext(states))
        events = asyncio.ensure_future(anext(feed))
        while len({record.args[0] for record in caplog.records if record.args}) < 2:  # type: ignore[index]  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        request = CancelEnrollmentRequest(enrollment_id=made.enrollment_id)
        canceled = (await site.client.enrollments.CancelEnrollment(request)).enrollment
        assert await ends == canceled
        assert (await events).event.enrollment == canceled


@pytest.mark.parametrize("kind", PROXIES)
async def test_a_reader_of_sse_notices_nothing_of_a_proxy_between_gateway_and_core(
    sqlite_service: Service, tmp_path: Path, kind: str
) -> None:
    service, log = sqlite_service, io.StringIO()
    site = await service.site()
    made = await begin(site, "ada")
    bearer = {"authorization": f"Bearer {site.api_key}"}
    async with AsyncExitStack() as stack:
        channels = Channels(await stack.enter_async_context(PROXIES[kind](tmp_path, [service.target])))
        stack.push_async_callback(channels.close)
        app = gateway_app(channels, settings(), log=logs.build(log, service.clock))
        origin = f"http://127.0.0.1:{await stack.enter_async_context(serving(app))}"
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=origin, timeout=PATIENCE))
        response = await stack.enter_async_context(
            client.stream("GET", f"/v1/enrollments/{made.enrollment_id}:watch", headers=bearer)
        )
        seen = events(response)
        first = await _told(seen)
        while log.getvalue().count("cut on its way") < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        request = CancelEnrollmentRequest(enrollment_id=made.enrollment_id)
        await site.client.enrollments.CancelEnrollment(request)
        second, end = await _told(seen), await _told(seen)
    assert [first.id, second.id, end.kind] == ["1", "2", "end"]


async def _told(seen: AsyncIterator[Event]) -> Event:
    """The next event that is no comment."""
    async with asyncio.timeout(PATIENCE):
        while True:
            event = await anext(seen)
            if event.data is not None:
                return event


async def test_no_call_fails_while_servers_are_rolled_behind_nginx(
    sqlite_service: Service, tmp_path: Path, figure: Callable[[int, int], int]
) -> None:
    """Calls of each kind that may be made twice: one reads, one has a request_id, one cancels.

    Of others nobody can know: nginx answers 502 where a server closed a connection it had not yet taken.
    """
    service, count = sqlite_service, figure(400, 5_000)
    site = await service.site()
    servers, numbers = Servers(service), itertools.count()
    failed: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(servers.close)
        for _ in range(2):
            await servers.start(free_port())
        # By itself nginx leaves a server that refused alone for 10 s: then both must not be rolled at once.
        pause = figure(50, 11_000) / 1000
        targets = [f"{each} max_fails={figure(0, 1)}" for each in servers.targets]
        target = await stack.enter_async_context(nginx(tmp_path, targets))
        client = await stack.enter_async_context(AsyncClient(target, site.api_key))

        async def work() -> None:
            for number in numbers:
                if number * 3 >= count:
                    return
                try:
                    await _three(client, f"user-{number}")
                except AuthyError as error:
                    failed[f"{error.code.name} {error.message}"] += 1

        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work()) for _ in range(16)]
            while not all(each.done() for each in workers):
                await servers.roll(pause)
    assert failed == {}


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
async def test_calls_and_watchers_wait_for_a_server_behind_a_proxy(
    sqlite_service: Service, tmp_path: Path, kind: str
) -> None:
    """Until it is there the proxy answers with an HTML page: 502 or 503."""
    service, port = sqlite_service, free_port()
    site = await service.site()
    made = await begin(site, "ada")
    servers = Servers(service)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(servers.close)
        run = nginx if kind == "nginx" else haproxy
        more = " max_fails=0" if kind == "nginx" else ""
        target = await stack.enter_async_context(run(tmp_path, [f"127.0.0.1:{port}{more}"]))
        waits: list[float] = []
        third = asyncio.Event()

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                third.set()
            await asyncio.sleep(seconds)

        client = await stack.enter_async_context(AsyncClient(target, site.api_key, sleep=sleep, timeout=60))
        request = GetEnrollmentRequest(enrollment_id=made.enrollment_id)
        call = asyncio.ensure_future(_get(client, request))
        states = await stack.enter_async_context(aclosing(client.watch_enrollment(made.enrollment_id)))
        first = asyncio.ensure_future(anext(states))
        async with asyncio.timeout(PATIENCE):
            await third.wait()
            await servers.start(port)
            assert await call == await first == made


async def _get(client: AsyncClient, request: GetEnrollmentRequest) -> Enrollment:
    return (await client.enrollments.GetEnrollment(request)).enrollment


async def _three(client: AsyncClient, name: str) -> None:
    made = await client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id=name))
    enrollment_id = made.enrollment.enrollment_id
    await client.enrollments.GetEnrollment(GetEnrollmentRequest(enrollment_id=enrollment_id))
    await client.enrollments.CancelEnrollment(CancelEnrollmentRequest(enrollment_id=enrollment_id))


@pytest.fixture
async def sqlite_service(
    sqlite_url: str, clock: Any, random: Callable[[int], bytes]
) -> AsyncIterator[Service]:
    async with Service.on(sqlite_url, clock, random) as running:
        yield running
