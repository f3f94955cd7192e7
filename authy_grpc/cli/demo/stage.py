"""Starts what the demo plays on: a service on loopback with SQLite in a folder, two sites, one phone."""

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from authy_grpc import logs
from authy_grpc.bootstrap import Core, World, build, real_clock
from authy_grpc.cli.demo.tap import Tap
from authy_grpc.cli.options import LOCAL_ORIGIN
from authy_grpc.client import AsyncClient
from authy_grpc.home import make_secrets, read_secrets
from authy_grpc.outbound.web import Addresses, Web
from authy_grpc.phone import Phone
from authy_grpc.settings import Settings
from authy_grpc.store import schema
from authy_grpc.v1 import application_pb2
from authy_grpc.v1.user_pb2 import SiteKey
from gateway.app import build as build_gateway
from gateway.server import HttpServer
from gateway.settings import GatewaySettings
from gateway.webhooks import Deliverer

# Reserved for tests: it reaches nobody.
NUMBER = "+15005550006"
DEVICE_NAME = "Wren's phone"
_SIX_DIGITS = re.compile(r"\b\d{6}\b")
_PATIENCE = 15.0


@dataclass
class Site:
    """A relying site: what its backend holds, and what the demo's ear has heard of it.

    Attributes:
        name: shown to users.
        origin: of its pages.
        user: its own reference for the user.
        client: with its API key, through `tap`.
        tap: keeps every byte that it sends and receives.
        authy_id: of its user, once enrolled.
        keys: of its user, kept since enrollment.
    """

    name: str
    origin: str
    user: str
    api_key: str = field(repr=False)
    client: AsyncClient
    tap: Tap
    authy_id: str = ""
    keys: list[SiteKey] = field(default_factory=list)


@dataclass
class Stage:
    """All that plays a part.

    Attributes:
        folder: holds the database, the secrets, the texts, the phone's file and the log.
        target: where the service listens.
        http: origin of its REST gateway.
        operator_key: of the installation.
        operator: a client with the operator key.
        phone: the simulated phone.
        sites: that were added.
    """

    folder: Path
    target: str
    http: str
    operator_key: str = field(repr=False)
    operator: AsyncClient
    phone: Phone
    sites: list[Site] = field(default_factory=list)
    _closing: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)
    _texts_read: int = 0

    async def add_site(self, name: str, origin: str, user: str, *, manages: bool = False) -> Site:
        """Lets the operator add a site and its API key.

        Args:
            name: shown to users.
            origin: of its pages.
            user: its own reference for the user.
            manages: whether its key may make webhooks, too.
        """
        scopes = application_pb2.ApiKeyScope.values()[1:] if manages else ()
        application = application_pb2.Application(name=name, origin=origin)
        made = await self.operator.applications.CreateApplication(
            application_pb2.CreateApplicationRequest(application=application)
        )
        key = await self.operator.applications.CreateApiKey(
            application_pb2.CreateApiKeyRequest(
                application_id=made.application.application_id, name="backend", scopes=scopes
            )
        )
        tap = await self._closing.enter_async_context(Tap(self.target))
        client = await self._closing.enter_async_context(AsyncClient(f"grpc://{tap.target}", key.secret))
        site = Site(name, origin, user, key.secret, client, tap)
        self.sites.append(site)
        return site

    async def text(self) -> str:
        """Waits for the next text message, as the `file:` sender has written it.

        Returns:
            The six digits in it.
        """
        path = self.folder / "texts.jsonl"
        async with asyncio.timeout(_PATIENCE):
            while True:
                lines = path.read_text().splitlines() if path.exists() else []
                if len(lines) > self._texts_read:
                    break
                await asyncio.sleep(0.02)
        message = json.loads(lines[self._texts_read])
        self._texts_read += 1
        found = _SIX_DIGITS.search(message["body"])
        return found.group() if message["to"] == NUMBER and found else ""


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Starts a service in a folder, and brings the phone and the operator.

    Args:
        folder: empty, for its owner alone.
    """
    # Made without the environment, which may be that of another installation.
    settings = Settings.model_construct(
        home=folder,
        listen="127.0.0.1:0",
        public_url=LOCAL_ORIGIN,
        sms_url=SecretStr(f"file:{folder / 'texts.jsonl'}"),
        # A webhook is posted to this machine.
        dev=True,
    )
    make_secrets(settings, os.urandom)
    (folder / "data").mkdir(mode=0o700)
    schema.upgrade(settings.database)
    secrets = read_secrets(settings)
    async with AsyncExitStack() as closing:
        log = closing.enter_context((folder / "log.jsonl").open("w"))
        core = await build(settings, secrets, World(log_stream=log))
        # Before the log is closed libraries have to write elsewhere.
        closing.callback(logging.getLogger().removeHandler, logs.take_over(core.log))
        closing.push_async_callback(core.stop)
        target = f"127.0.0.1:{await core.start()}"
        # With the scheme, the certificates of the environment do not matter here.
        http = await closing.enter_async_context(_gateway(core, secrets.gateway_key))
        # Closed first: clients before the service.
        inner = await closing.enter_async_context(AsyncExitStack())
        operator = await inner.enter_async_context(AsyncClient(f"grpc://{target}", secrets.operator_key))
        phone = Phone(f"grpc://{target}", origin=settings.origin, state=folder / "phone.json")
        await inner.enter_async_context(phone)
        yield Stage(folder, target, http, secrets.operator_key, operator, phone, _closing=inner)


@asynccontextmanager
async def _gateway(core: Core, key: str) -> AsyncIterator[str]:
    """The REST gateway of a service in this process; answers its origin."""
    channel, options = core.server.local(), GatewaySettings.model_construct(gateway_key=SecretStr(key))
    http = HttpServer(build_gateway(channel, options, log=core.log), "127.0.0.1:0")
    deliverer = Deliverer(channel, key, Web(Addresses(dev=True), real_clock), core.log)
    port = await http.start()
    deliverer.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await deliverer.stop()
        await http.stop()
