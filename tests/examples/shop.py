"""Northwind Books on loopback, before a real service, and a browser without a screen."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks import Webhook

from authy_grpc.v1.event_pb2 import Event
from examples.site.app import create
from examples.site.store import Store
from tests.clock import TurnedClock
from tests.gateway.asking import serving
from tests.harness import Service, Site
from tests.threads import PATIENCE

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSBzaG9wJ3Mgd2ViaG9vaw=="
_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


class MovingClock(TurnedClock):
    """A clock that goes as the machine's does, and is turned on: the shop is asked over real connections."""

    def __init__(self) -> None:
        self._offset = datetime.now(UTC) - datetime.now(UTC)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    @now.setter
    def now(self, moment: datetime) -> None:
        self._offset = moment - datetime.now(UTC)


@dataclass
class Shop:
    """The running shop.

    Attributes:
        origin: of its pages.
        data: its folder.
        site: what it is to the service.
    """

    origin: str
    data: Path
    site: Site

    def store(self) -> Store:
        """Its database, by another connection."""
        return Store(self.data / "shop.db")

    def browser(self) -> "Browser":
        """A new browser, with no cookies."""
        return Browser(self.origin)


class Browser:
    """Loads pages and sends their forms, with the token that each page has."""

    def __init__(self, origin: str) -> None:
        self.http = httpx.AsyncClient(base_url=origin, follow_redirects=True, timeout=PATIENCE)
        self.page = ""
        self.path = ""

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    @property
    def token(self) -> str:
        """What the forms of this page send."""
        found = _TOKEN.search(self.page)
        assert found is not None, self.page
        return found.group(1)

    async def go(self, path: str) -> str:
        """Load a page; its text."""
        return self._took(await self.http.get(path))

    async def send(self, path: str, **fields: str) -> str:
        """Send a form of this page."""
        return self._took(await self.http.post(path, data={"csrf": self.token, **fields}))

    def _took(self, answer: httpx.Response) -> str:
        self.page, self.path = unescape(answer.text), answer.url.path
        return self.page

    async def ask(self, path: str, method: str = "POST", **body: Any) -> dict[str, Any]:
        """What an element asks."""
        headers = {"accept": "application/json", "x-csrf-token": self.token}
        answer = await self.http.request(method, path, json=body, headers=headers)
        told: dict[str, Any] = answer.json()
        return told

    async def told(self, path: str) -> AsyncGenerator[dict[str, str], None]:
        """What a stream tells, to its end."""
        async with self.http.stream("GET", path) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


@asynccontextmanager
async def shop(
    service: Service, data: Path, target: str = "", patience: float = PATIENCE
) -> AsyncIterator[Shop]:
    """The shop, on loopback; `target` is where it believes the service to be."""
    site = await service.site("Northwind", require_code=True)
    store_folder = data / "northwind"
    given = {
        "AUTHY_SERVER": target or service.target,
        "AUTHY_API_KEY": site.api_key,
        "HOOK_SECRET": SECRET,
        "NORTHWIND_ORIGIN": site.application.origin,
        "NORTHWIND_DATA": str(store_folder),
        "NORTHWIND_TIMEOUT": str(patience),
    }
    app = create(given, service.clock)
    async with app.router.lifespan_context(app), serving(_plain(app)) as port:
        yield Shop(f"http://127.0.0.1:{port}", store_folder, site)


def _plain(app: Any) -> Any:
    """The same application, which takes cookies over http: its origin is an https one."""

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, value.replace(b"; secure", b"")) for name, value in message["headers"]
                ]
            await send(message)

        await app(scope, receive, sent)

    return plain


def posted(event: Event, time: datetime) -> tuple[str, dict[str, str]]:
    """The post of an event, signed: body and headers."""
    from google.protobuf import json_format

    body = json.dumps(
        {"type": event.type, "timestamp": time.isoformat(), "data": json_format.MessageToDict(event)}
    )
    signed = Webhook(SECRET).sign(event.event_id, time, body)
    return body, {
        "webhook-id": event.event_id,
        "webhook-timestamp": str(int(time.timestamp())),
        "webhook-signature": signed,
    }
