"""Plays the whole story: service, gateway, a shop's pages, and people with browsers beside each other."""

import base64
import io
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyotp
from PIL import Image

from authy_grpc import logs
from authy_grpc.domain.keys import totp_secret
from authy_grpc.store.database import Database
from authy_grpc.store.device import DEVICE_SECRET
from authy_grpc.store.tables import DeviceRow
from authy_grpc.store.vault import Vault
from gateway.app import build
from gateway.channels import Channels
from gateway.server import HttpServer
from tests import rows
from tests.databases import unavailable
from tests.examples.shop import Shop, shop
from tests.gateway.asking import settings
from tests.harness import NUMBER, Service
from tests.web.test_setting_up import sent

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Locator, Page
    from starlette.types import ASGIApp, Receive, Scope, Send

PATIENCE = 20_000
PASSWORD = "correct horse"
# What the policy blocks is told by the console too, in Chromium; here it is told whatever the console does.
_WATCH = """
document.addEventListener('securitypolicyviolation',
  event => console.error(`blocked: ${event.effectiveDirective}`));
"""


@dataclass
class Person:
    """Somebody at a page of their own browser. `said` is what the console and the policy have told."""

    name: str
    context: "BrowserContext"
    page: "Page"
    said: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Keep what is said."""
        self.page.on(
            "console", lambda message: self.said.append(f"{message.text} {message.location.get('url')}")
        )
        self.page.on("pageerror", lambda error: self.said.append(f"thrown: {error}"))

    async def picture(self, name: str) -> None:
        """Keep a picture in AUTHY_TEST_PICTURES, where that is set."""
        if folder := os.environ.get("AUTHY_TEST_PICTURES"):
            await self.page.screenshot(path=str(Path(folder, f"story-{self.name}-{name}.png")))

    async def on(self, heading: str) -> None:
        """Wait for a screen or page."""
        await self.page.locator("h1", has_text=re.compile(f"^{re.escape(heading)}$")).wait_for()

    async def press(self, name: str, role: Any = "button") -> None:
        """Press what is called so."""
        await self.page.get_by_role(role, name=name, exact=True).first.click()

    async def type(self, label: str, text: str) -> None:
        """Fill a field."""
        await self.page.get_by_label(label, exact=True).fill(text)

    async def digits(self, text: str) -> None:
        """Type a number by the keypad's own buttons."""
        for each in text:
            await self.page.get_by_role("button", name=each, exact=True).click()

    async def code(self, card: "Locator | None" = None) -> str:
        """The code that stands there."""
        shown = (card or self.page).locator(".code, .check").first
        return re.sub(r"\D", "", await shown.inner_text())

    async def says(self, words: str) -> None:
        """Wait for words somewhere on the page."""
        await self.page.get_by_text(words).first.wait_for()


@dataclass
class World:
    """Where the story takes place.

    Attributes:
        origin: of the authenticator.
        books: the shop.
        camera: the file that every camera shows.
    """

    service: Service
    origin: str
    books: Shop
    browser: "Browser"
    camera: Path

    @asynccontextmanager
    async def person(
        self, name: str, *, width: int = 390, height: int = 844, **options: Any
    ) -> AsyncIterator[Person]:
        """Somebody with a browser of their own, whose console stays silent to the end."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": height},
            locale="en-GB",
            permissions=["camera", "clipboard-read", "clipboard-write"],
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(PATIENCE)
        await context.add_init_script(_WATCH)
        made = Person(name, context, await context.new_page())
        made.watch()
        try:
            yield made
            assert not made.said, f"{name}: {made.said}"
        finally:
            await made.picture("last")
            await context.close()

    async def set_up(self, person: Person, name: str = "", number: str = NUMBER) -> None:
        """Prove the number, as far as the name of the device."""
        page, before = person.page, len(self.service.carrier.texts)
        await page.goto(f"{self.origin}/app/")
        await page.get_by_label("Country").select_option("DE")
        await person.type("Phone number", "0" + number.removeprefix("+49"))
        await person.press("Text me a code")
        await person.on("Check your phone")
        await person.type("Code", await sent(self.service, before))
        await person.press("Go on")
        await person.on("Name this device")
        if name:
            await person.type("Name", name)
        await person.press("Finish")

    async def show(self, page: "Page") -> None:
        """Hold what a page shows before the cameras."""
        shot = Image.open(io.BytesIO(await page.screenshot())).convert("RGB")
        frame = io.BytesIO()
        shot.resize((1280, 720)).save(frame, "JPEG", quality=90)
        self.camera.write_bytes(frame.getvalue() * 2)

    async def seed(self, name: str, site_id: str) -> pyotp.TOTP:
        """What a device's codes of a site have to be, by what the service has kept."""
        (row,) = (each for each in await self._devices() if each.device_id == name)
        vault = Vault(self.service.secrets.keyset)
        secret = totp_secret(
            vault.open(DEVICE_SECRET, row.device_id, row.sealed_secret),
            site_id=site_id,
            device_id=row.device_id,
            agreement_key=row.agreement_key,
            server_agreement_key=row.server_agreement_key,
        )
        return pyotp.TOTP(base64.b32encode(secret).decode())

    async def seen(self) -> bool:
        """Whether somebody has acknowledged the alarm of a device."""
        return any(row.shown_time for row in await self._devices())

    async def _devices(self) -> list[DeviceRow]:
        database = Database(self.service.url)
        try:
            return await database.read(lambda tx: rows.every(tx, DeviceRow))
        finally:
            await database.close()


class _Later:
    """An application that is there before it is made: its address goes into what it is made of."""

    app: "ASGIApp"

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        await self.app(scope, receive, send)


@asynccontextmanager
async def before(service: Service, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Start a service with a gateway before it, as one installation: the origin that its QR codes name."""
    later = _Later()
    server = HttpServer(later, "127.0.0.1:0", grace=1)
    origin = f"http://{host}:{await server.start()}"
    service.options["public_url"] = origin
    try:
        async with service:
            channels = Channels(service.target)
            log = logs.build(io.StringIO(), service.clock)
            later.app = build(channels, settings(public_url=origin), log=log)
            try:
                yield origin
            finally:
                await server.stop()
                await channels.close()
    finally:
        await server.stop()


@asynccontextmanager
async def world(service: Service, data: Path, host: str = "127.0.0.1") -> AsyncIterator[World]:
    """The whole of it, with a browser whose camera shows a file."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        unavailable("no browser: it needs Chromium (Debian's package chromium)")
    from playwright.async_api import async_playwright

    camera = data / "camera.mjpeg"
    flags = [
        "--disable-gpu",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ]
    async with (
        before(service, host) as origin,
        shop(service, data) as books,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield World(service, origin, books, browser, camera)
        finally:
            await browser.close()
