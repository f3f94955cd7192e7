"""Serves what browsers load in tests: the authenticator's files and the tests' own, with its policy."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from authy_grpc import logs
from gateway.app import build
from gateway.channels import Channels
from gateway.server import HttpServer
from tests.gateway.asking import settings
from tests.harness import Service

APP = Path(__file__).parents[2] / "gateway/web/app"
_OWN = Path(__file__).parent
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types app"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
# `load` is there because drivers cannot all import by themselves what they run.
_PAGE = (
    '<!doctype html><html lang="en"><title>Tests</title><script type="module" src="/tests/load.js"></script>'
)


@dataclass
class Origin:
    """An origin with the authenticator's files.

    Attributes:
        url: of the origin, without a slash at its end.
        reports: what pages have posted to `/report`, as JSON values.
    """

    url: str = ""
    reports: "asyncio.Queue[Any]" = field(default_factory=asyncio.Queue)

    @property
    def page(self) -> str:
        """A page with nothing on it, where the authenticator's would be: `load(path)` imports a module."""
        return f"{self.url}/app/tests.html"

    def routes(self) -> list[BaseRoute]:
        """What an application has to serve."""
        return [
            Route("/app/tests.html", self._page),
            Route("/app/{path:path}", self._app),
            Route("/tests/{path:path}", self._own),
            Route("/report", self._report, methods=["POST"]),
        ]

    async def _page(self, _: Request) -> Response:
        return HTMLResponse(_PAGE, headers=_HEADERS)

    async def _app(self, request: Request) -> Response:
        return _file(APP, request.path_params["path"])

    async def _own(self, request: Request) -> Response:
        return _file(_OWN, request.path_params["path"])

    async def _report(self, request: Request) -> Response:
        self.reports.put_nowait(json.loads(await request.body()))
        return Response(status_code=204)


@asynccontextmanager
async def files() -> AsyncIterator[Origin]:
    """An origin of files alone. Each has a port of its own, and so a storage of its own."""
    origin = Origin()
    async with served(Starlette(routes=origin.routes())) as url:
        origin.url = url
        yield origin


@asynccontextmanager
async def gateway(service: Service, **options: Any) -> AsyncIterator[Origin]:
    """A gateway before a service, with the files: an origin as phones see it."""
    origin = Origin()
    channels = Channels(service.target)
    try:
        log = logs.build(io.StringIO(), service.clock)
        app = build(channels, settings(), log=log, pages=origin.routes(), **options)
        async with served(app) as url:
            origin.url = url
            yield origin
    finally:
        await channels.close()


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """The URL of an application that is served on loopback."""
    server = HttpServer(app, "127.0.0.1:0", grace=1)
    port = await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop()


def _file(folder: Path, path: str) -> Response:
    found = (folder / path).resolve()
    if not found.is_relative_to(folder.resolve()) or found.suffix not in _TYPES or not found.is_file():
        return Response(status_code=404)
    return FileResponse(found, media_type=_TYPES[found.suffix], headers=_HEADERS)
