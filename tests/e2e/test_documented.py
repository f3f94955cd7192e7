"""The nginx of docs/operations.md as it is written there, before a service: TLS, REST and quiet streams."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from authy_grpc.client import AsyncClient
from authy_grpc.service.heartbeat import HEARTBEAT, Heartbeat
from authy_grpc.v1.enrollment_pb2 import CancelEnrollmentRequest
from gateway.app import build as gateway_app
from gateway.channels import Channels
from tests.cli.conftest import ROOT
from tests.e2e.proxies import running
from tests.e2e.test_proxies import PATIENCE, _told, begin
from tests.gateway.asking import events, serving, settings
from tests.harness import Service
from tests.ports import free_port
from tests.programs import program

MANUAL = (ROOT / "docs" / "operations.md").read_text()
# What the manual has as 60 s, and how often a stream says something: 25 s in the contract.
CUT, QUIET = "1s", timedelta(seconds=0.4)
BEATS = 8


class Beats(Heartbeat):
    """Heartbeats that are counted: after eight a proxy would have cut what is quiet three times."""

    def __init__(self, longest: timedelta) -> None:
        super().__init__(os.urandom, longest)
        self._left = BEATS
        self.many = asyncio.Event()

    def pause(self) -> float:
        self._left -= 1
        if not self._left:
            self.many.set()
        return super().pause()


@asynccontextmanager
async def documented(folder: Path, grpc: str, rest: str) -> AsyncIterator[tuple[int, trustme.CA]]:
    """The port at which nginx serves as the manual says, and who has signed its certificate."""
    found = re.search(r"```nginx\n(upstream authy_grpc.*?)```", MANUAL, re.DOTALL)
    assert found is not None
    ca, port = trustme.CA(), free_port()
    shown = ca.issue_cert("authy.example", "localhost")
    (folder / "authy.crt").write_bytes(b"".join(each.bytes() for each in shown.cert_chain_pems))
    (folder / "authy.key").write_bytes(shown.private_key_pem.bytes())
    (folder / "ca").write_bytes(ca.cert_pem.bytes())
    text = found[1]
    for old, new in (
        ("/etc/ssl/", f"{folder}/"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("server 10.0.0.11:50051", f"server {grpc}"),
        ("server 10.0.0.11:8080", f"server {rest}"),
        ("60s", CUT),
    ):
        assert old in text
        text = text.replace(old, new)
    # The second server of each is none here.
    text = re.sub(r"\n *server 10\.0\.0\.12:[^\n]*", "", text)
    paths = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;\n"
        f"events {{}}\nhttp {{ access_log off; {paths}\n{text}\n}}\n"
    )
    async with running(port, program("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)):
        yield port, ca


def beat(service: Service, longest: timedelta) -> Beats:
    servicers: Any = {each.name: each.servicer for each in service.core.server._services}
    made = Beats(longest)
    servicers["authy_grpc.v1.EnrollmentService"]._enrollments._heartbeat = made
    return made


@pytest.fixture
async def service(sqlite_url: str, clock: Any, random: Callable[[int], bytes]) -> AsyncIterator[Service]:
    async with Service.on(sqlite_url, clock, random) as made:
        yield made


@pytest.mark.parametrize("longest", [QUIET, HEARTBEAT], ids=["with heartbeats", "without: it is cut"])
async def test_quiet_streams_pass_through_the_documented_nginx(
    service: Service, tmp_path: Path, longest: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    site = await service.site()
    made, beats = await begin(site, "ada"), beat(service, longest)
    async with AsyncExitStack() as stack:
        channels = Channels(service.target)
        stack.push_async_callback(channels.close)
        rest = await stack.enter_async_context(serving(gateway_app(channels, settings())))
        port, ca = await stack.enter_async_context(documented(tmp_path, service.target, f"127.0.0.1:{rest}"))
        client = await stack.enter_async_context(
            AsyncClient(f"grpcs://localhost:{port}", site.api_key, ca=tmp_path / "ca")
        )
        trusting = httpx.create_ssl_context()
        ca.configure_trust(trusting)
        browser = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"https://localhost:{port}",
                verify=trusting,
                timeout=PATIENCE,
                headers={"authorization": f"Bearer {site.api_key}"},
            )
        )
        await stack.enter_async_context(asyncio.timeout(PATIENCE))
        states = await stack.enter_async_context(aclosing(client.watch_enrollment(made.enrollment_id)))
        assert (await anext(states)).revision == 1
        response = await stack.enter_async_context(
            browser.stream("GET", f"/v1/enrollments/{made.enrollment_id}:watch")
        )
        seen = events(response)
        assert (await _told(seen)).id == "1"
        second = asyncio.ensure_future(anext(states))
        if longest == HEARTBEAT:
            # Control.
            while not _cut(caplog):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            second.cancel()
            return
        await beats.many.wait()
        request = CancelEnrollmentRequest(enrollment_id=made.enrollment_id)
        canceled = (await site.client.enrollments.CancelEnrollment(request)).enrollment
        assert await second == canceled
        changed, end = await _told(seen), await _told(seen)
    assert (changed.id, end.kind) == ("2", "end")
    assert _cut(caplog) == []


def _cut(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
