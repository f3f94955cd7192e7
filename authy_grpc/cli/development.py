"""Runs what `up` has in development alone: the page of text messages, and the example site beside it."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from authy_grpc.bootstrap import World
    from authy_grpc.outbound.sms.sender import Message, Sender
    from authy_grpc.settings import Settings
    from gateway.messages import Messages

# A checkout of the repository has it, a wheel has not.
_ROOT = Path(__file__).resolve().parents[2]
_LISTEN = "127.0.0.1:8090"
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_PAUSE = 0.1


def check(settings: "Settings", *, example: bool) -> None:
    """Ask whether the example site can be run where it is asked for.

    Raises:
        Failure: it is not here, or this is not development.
        ListenError: its address cannot be bound.
    """
    from authy_grpc import listening
    from authy_grpc.cli.failure import Failure

    if not example:
        return
    if not settings.dev:
        raise Failure("--example is for development.", "Set AUTHY_DEV=1, or leave it out.")
    if not (_ROOT / "examples" / "site" / "app.py").is_file():
        raise Failure("examples/site is not here: packages do not have it.", "Run `make up` in a checkout.")
    listening.probe(listening.parse("NORTHWIND_LISTEN", _listen()))


def messages() -> "Messages":
    """Where messages are kept for the page."""
    from authy_grpc.bootstrap import real_clock
    from gateway.messages import Messages

    return Messages(real_clock, os.urandom)


def world(settings: "Settings", kept: "Messages") -> "World":
    """What the service needs of the outside: its messages are kept, too."""
    from authy_grpc.bootstrap import World, real_clock
    from authy_grpc.outbound.sms import from_url

    sender = from_url(settings.texts, stream=sys.stdout, clock=real_clock)
    return World(sender=Keeping(sender, kept))


def pages(kept: "Messages") -> Sequence["BaseRoute"]:
    """The page that shows them."""
    from gateway.messages import pages as made

    return made(kept)


class Keeping:
    """Keeps each message for the page, and hands it on."""

    def __init__(self, sender: "Sender", kept: "Messages") -> None:
        self._sender = sender
        self._kept = kept

    async def send(self, message: "Message") -> None:
        """Hand one on.

        Raises:
            Refused: it will never go.
            Unreachable: it did not go.
        """
        await self._sender.send(message)
        self._kept.keep(message.number, message.channel.value, message.body)


class Example:
    """The example site as a process of its own, which ends with this one.

    Args:
        settings: the operator's.
        server: where the service is, as AUTHY_SERVER takes it.
        operator_key: makes the site's application and API key, in the first run.
    """

    def __init__(self, settings: "Settings", server: str, operator_key: str) -> None:
        self.address = f"http://{_listen()}/"
        self.runs = False
        self._server = server
        self._operator_key = operator_key
        self._data = settings.home.resolve() / "northwind"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it answers, ends, or 20 s have gone: the service goes on without it."""
        from authy_grpc.cli import show
        from authy_grpc.client import AuthyError

        try:
            given = await self._given()
        except AuthyError as error:
            show.say(f"The example site gets no API key: {error}", style="red")
            return
        host, _, port = _listen().rpartition(":")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "--factory", "examples.site.app:create"),
            *("--host", host.strip("[]"), "--port", port, "--log-level", "warning"),
            *("--timeout-graceful-shutdown", "1"),
            cwd=_ROOT,
            env={**os.environ, **given, "AUTHY_SERVER": self._server, "NORTHWIND_DATA": str(self._data)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        ends = asyncio.get_running_loop().time() + _START_SECONDS
        while self._process.returncode is None and asyncio.get_running_loop().time() < ends:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                writer.close()
                self.runs = True
                return
            await asyncio.sleep(_PAUSE)

    async def _given(self) -> dict[str, str]:
        """What an operator gives a site, kept for the next run at that origin and that service."""
        origin = os.environ.get("NORTHWIND_ORIGIN", "") or self.address.rstrip("/")
        kept = self._data / "site.json"
        given: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
        if given.get("NORTHWIND_ORIGIN") != origin or not await self._known(given["AUTHY_API_KEY"]):
            given = await self._make(origin)
            self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(given, file)
        return given

    async def _known(self, key: str) -> bool:
        """Whether the service knows a key: its database may be another than in the last run."""
        from authy_grpc.client import AsyncClient, BadCredential
        from authy_grpc.v1.application_pb2 import GetCurrentApplicationRequest

        async with AsyncClient(self._server, key) as site:
            try:
                await site.application.GetCurrentApplication(GetCurrentApplicationRequest())
            except BadCredential:
                return False
        return True

    async def _make(self, origin: str) -> dict[str, str]:
        """Its application, an API key and a webhook.

        Raises:
            AuthyError: the service refuses, or is not reached.
        """
        from authy_grpc.client import AsyncClient
        from authy_grpc.v1 import application_pb2, webhook_pb2

        async with AsyncClient(self._server, self._operator_key) as operator:
            shop = application_pb2.Application(name="Northwind Books", origin=origin, require_code=True)
            made = await operator.applications.CreateApplication(
                application_pb2.CreateApplicationRequest(application=shop)
            )
            asked = application_pb2.CreateApiKeyRequest(
                application_id=made.application.application_id,
                name="the shop",
                scopes=[scope for scope in application_pb2.ApiKeyScope.values() if scope],
            )
            key = (await operator.applications.CreateApiKey(asked)).secret
        async with AsyncClient(self._server, key) as site:
            hook = webhook_pb2.CreateWebhookRequest(url=f"{self.address}hook")
            secret = (await site.webhooks.CreateWebhook(hook)).secret
        return {"AUTHY_API_KEY": key, "HOOK_SECRET": secret, "NORTHWIND_ORIGIN": origin}

    async def stop(self, *, now: bool = False) -> None:
        """Stop it: it lets answers finish for a second; or at once."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.kill() if now else process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def welcome(settings: "Settings", http_port: int, token: str, site: Example | None) -> None:
    """Print what a person opens, and what to do there."""
    from rich.text import Text

    from authy_grpc import listening
    from authy_grpc.cli import show

    place = replace(listening.parse("AUTHY_HTTP_LISTEN", settings.http_listen), port=http_port)
    here = f"{settings.http_scheme}://{place}"
    lines = [("The authenticator", "a window for the phone: enter +1 500 555 0006", f"{here}/app/")]
    if site and site.runs:
        lines.insert(0, ("Northwind Books", "the site: sign up, switch two-factor on, log in", site.address))
    lines.append(("Text messages", "the codes that it is sent", f"{here}/dev/messages?token={token}"))
    show.say(Text("\nOpen in a browser, the whole story by hand:", style="bold"))
    for name, todo, address in lines:
        show.say(Text.assemble(f"  {name}, ", (todo, "dim"), "\n    ", (address, "cyan")))
    if site and not site.runs:
        show.say(Text(f"The example site did not start at {site.address}: why stands above.", "red"))


def _listen() -> str:
    return os.environ.get("NORTHWIND_LISTEN", "") or _LISTEN
