"""The world of an end-to-end test: a service on loopback, its sites, its phones and its texts."""

import io
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Self

import grpc

from authy_grpc.bootstrap import Core, World, build
from authy_grpc.client import AsyncClient
from authy_grpc.domain.ids import new_secret
from authy_grpc.home import Secrets
from authy_grpc.outbound.sms.sender import Message
from authy_grpc.phone import Phone
from authy_grpc.settings import Settings
from authy_grpc.v1.application_pb2 import (
    ApiKeyScope,
    Application,
    CreateApiKeyRequest,
    CreateApplicationRequest,
)
from authy_grpc.v1.authenticator_pb2 import Site as Linked
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, Enrollment, GetEnrollmentRequest
from tests.clock import TurnedClock
from tests.keyset import shared_keyset
from tests.reasons import unlisted

ORIGIN = "http://127.0.0.1:8080"
NUMBER = "+4915112345678"
_CODE = re.compile(r"\b\d{6}\b")


async def public(host: str) -> list[IPv4Address]:
    """Every name leads to the public internet."""
    return [IPv4Address("93.184.215.14")]


class Carrier:
    """Takes texts, and keeps them."""

    def __init__(self) -> None:
        self.texts: list[Message] = []

    async def send(self, message: Message) -> None:
        self.texts.append(message)


@dataclass
class Site:
    """A relying site: its client, and what it is to the operator."""

    client: AsyncClient
    application: Application
    api_key: str


@dataclass
class Service:
    """A running service. Use it as `async with`; `restart` makes another one on the same database."""

    url: str
    clock: TurnedClock
    random: Callable[[int], bytes]
    secrets: Secrets
    carrier: Carrier = field(default_factory=Carrier)
    carried: bool = True
    log: io.StringIO = field(default_factory=io.StringIO)
    options: dict[str, Any] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    core: Core = field(init=False)
    target: str = field(init=False)
    operator: AsyncClient = field(init=False)

    @classmethod
    def on(cls, url: str, clock: TurnedClock, random: Callable[[int], bytes]) -> Self:
        secrets = Secrets(
            keyset=shared_keyset(),
            operator_key=new_secret("op", random),
            gateway_key=new_secret("gw", random),
        )
        return cls(url, clock, random, secrets)

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        await self.stack.aclose()
        await self.core.stop(now=True)
        # Whatever a test was about: nothing was refused for a reason that the contract does not list.
        assert unlisted(self.core.registry) == set()

    async def _start(self) -> None:
        settings = Settings(
            database_url=self.url,  # type: ignore[arg-type]
            listen="127.0.0.1:0",
            **{"public_url": ORIGIN, "dev": True, **self.options},
        )
        world = World(
            clock=self.clock,
            random=self.random,
            sender=self.carrier if self.carried else None,
            resolve=public,
            log_stream=self.log,
            guard=True,
        )
        self.core = await build(settings, self.secrets, world)
        self.target = f"127.0.0.1:{await self.core.start()}"
        self.operator = await self._client(self.secrets.operator_key)

    async def restart(self) -> None:
        """Stop, and serve the same database anew at another port: clients made before are of the old one."""
        await self._stop()
        self.stack = AsyncExitStack()
        await self._start()

    async def _client(self, key: str) -> AsyncClient:
        return await self.stack.enter_async_context(AsyncClient(self.target, key))

    def channel(self) -> grpc.aio.Channel:
        """A bare channel, closed at the end."""
        channel = grpc.aio.insecure_channel(self.target)
        self.stack.push_async_callback(channel.close)
        return channel

    async def site(self, name: str = "Example", **fields: Any) -> Site:
        """Add a relying site with a key of all scopes."""
        draft = Application(name=name, origin=f"https://{name.lower()}.example", **fields)
        made = await self.operator.applications.CreateApplication(CreateApplicationRequest(application=draft))
        key = await self.operator.applications.CreateApiKey(
            CreateApiKeyRequest(
                application_id=made.application.application_id,
                name="backend",
                scopes=[number for number in ApiKeyScope.values() if number],
            )
        )
        return Site(await self._client(key.secret), made.application, key.secret)

    async def due(self) -> None:
        """Let the workers do what is due by the turned clock."""
        await self.core.workers.run_due()

    async def text_code(self) -> str:
        """The code in the newest text, once it has been sent."""
        await self.due()
        found = _CODE.search(self.carrier.texts[-1].body)
        assert found is not None
        return found.group()

    async def phone(self, number: str = NUMBER, name: str = "Pocket", **options: Any) -> Phone:
        """A phone whose owner proves a number with it."""
        phone = await self.stack.enter_async_context(
            Phone(self.channel(), origin=ORIGIN, clock=self.clock, **options)
        )
        verification = await phone.start(number)
        await phone.register(verification, await self.text_code(), name)
        return phone

    async def enroll(
        self, site: Site, phone: Phone, custom_user_id: str = "ada", **fields: Any
    ) -> tuple[Enrollment, Linked]:
        """Link a phone to a site, up to COMPLETED: the enrollment and the phone's view."""
        made = await site.client.enrollments.CreateEnrollment(
            CreateEnrollmentRequest(custom_user_id=custom_user_id, **fields)
        )
        linked = await phone.accept(await phone.open(made.qr.uri))
        found = await site.client.enrollments.GetEnrollment(
            GetEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id)
        )
        return found.enrollment, linked
