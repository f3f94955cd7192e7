"""A site of somebody else that embeds the two elements under a strict policy, and answers as a test says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authy_grpc.client.browser.starlette import files
from tests.gateway.asking import serving

# As strict as a site can be: no script, style, image or call but its own, and no policy for Trusted Types.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
CSRF = "csrf-token-of-the-session"
LINK = "https://auth.example/app/#/e/AAAAAAAAAAAAAAAAAAAAAA"
PENDING = {"state": "pending", "link": LINK, "image": "/qr.svg", "events": "/events"}
ASKED = {"state": "pending", "number": "419207", "events": "/events"}
_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 29 29"><path fill="#fff" d="M0 0h29v29H0z"/>'
    b'<path d="M4 4h7v7H4zM18 4h7v7h-7zM4 18h7v7H4zM14 14h3v3h-3zM20 20h5v5h-5z"/></svg>'
)
PAGE = """<!doctype html><html lang="{lang}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>A site</title>
<link rel="stylesheet" href="/site.css"><link rel="stylesheet" href="/authy/authy-site.css">
<script src="/watch.js"></script><script type="module" src="/authy/authy-site.js"></script></head>
<body><main><h1>Second factor</h1>
{element}</main></body></html>"""
_FALLBACK = """<img src="/qr.svg" alt="QR code" width="200"><p><a href="{link}">Open the authenticator</a></p>
<form method="post" action="/without">
<label>Code <input name="code"></label><button>Confirm</button></form>"""
# What goes wrong is seen in every engine.
_WATCH = """window.wrong = [];
addEventListener('error', (event) => wrong.push(event.message));
addEventListener('unhandledrejection', (event) => wrong.push(String(event.reason)));
document.addEventListener('securitypolicyviolation', (event) => wrong.push(event.effectiveDirective));
"""
_CSS = """:root { color-scheme: light dark; font: 1rem/1.5 system-ui; background: light-dark(#fff, #121212) }
body { margin: 1rem }"""


@dataclass
class Site:
    """What the site answers, and what it was asked.

    Attributes:
        answers: by method and path below `src`; a list is answered one by one, a number is a status.
        asked: method, path and body of each request; the token too.
        posted: what the form of a page without script has sent.
        open_streams: how many are open now.
        opened_streams: how many were opened.
        arrived: set once a browser has gone to `/in`.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, Any, str]] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    open_streams: int = 0
    opened_streams: int = 0
    origin: str = ""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _feed: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def tell(self, state: str, **more: str) -> None:
        """One event of the stream."""
        self._feed.put_nowait(f"id: 1\ndata: {json.dumps({'state': state} | more)}\n\n")

    def cut(self) -> None:
        """End the stream without a word."""
        self._feed.put_nowait("")

    def page(self, element: str = "authy-enroll", lang: str = "en", **attributes: str) -> str:
        """The address of a page with an element."""
        query = "&".join(f"{name}={value}" for name, value in attributes.items())
        return f"{self.origin}/page/{element}/{lang}?{query}"

    async def _shown(self, request: Request) -> Response:
        name, lang = request.path_params["element"], request.path_params["lang"]
        given = "".join(f' {key}="{value}"' for key, value in request.query_params.items())
        inside = _FALLBACK.format(link=LINK) if name == "authy-enroll" else "<p>Number: <b>419207</b></p>"
        element = f'<{name} src="/factor" csrf="{CSRF}"{given}>{inside}</{name}>'
        return HTMLResponse(PAGE.format(lang=lang, element=element))

    async def _factor(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/factor")
        body = json.loads(await request.body() or b"null")
        self.asked.append((request.method, path, body, request.headers.get("x-csrf-token", "")))
        answer = self.answers[f"{request.method} {path}".strip()]
        if isinstance(answer, list):
            answer = answer.pop(0)
        return Response(status_code=answer) if isinstance(answer, int) else JSONResponse(answer)

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._lines(), media_type="text/event-stream")

    async def _lines(self) -> AsyncIterator[str]:
        self.open_streams += 1
        self.opened_streams += 1
        try:
            yield "retry: 50\n\n"
            while line := await self._feed.get():
                yield line
        finally:
            self.open_streams -= 1

    async def _without(self, request: Request) -> Response:
        form = await request.form()
        self.posted.append(str(form["code"]))
        return HTMLResponse("<!doctype html><title>Done</title><p>Taken")

    def app(self) -> ASGIApp:
        """The site."""

        async def fixed(request: Request) -> Response:
            if request.url.path == "/in":
                self.arrived.set()
            kinds = {
                "/qr.svg": (_SVG, "image/svg+xml"),
                "/site.css": (_CSS, "text/css"),
                "/watch.js": (_WATCH, "text/javascript"),
            }
            content, kind = kinds.get(
                request.url.path, ("<!doctype html><title>In</title><p>In", "text/html")
            )
            return Response(content, media_type=kind)

        routes = [
            Route("/page/{element}/{lang}", self._shown),
            Route("/factor", self._factor, methods=["POST", "DELETE"]),
            Route("/factor/code", self._factor, methods=["POST"]),
            Route("/events", self._events),
            Route("/without", self._without, methods=["POST"]),
            Route("/qr.svg", fixed),
            Route("/site.css", fixed),
            Route("/watch.js", fixed),
            Route("/in", fixed),
            Route("/favicon.ico", fixed),
            Mount("/authy", files()),
        ]
        return Starlette(routes=routes, middleware=[Middleware(_Policy)])


class _Policy:
    """Sends the policy with everything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(b"content-security-policy", POLICY.encode())]
            await send(message)

        await self._app(scope, receive, strict)


@asynccontextmanager
async def embedding(**answers: Any) -> AsyncIterator[Site]:
    """The site, on loopback. `answers` are its answers to the POST of `src`."""
    site = Site({"POST": PENDING, **answers})
    async with serving(site.app()) as port:
        site.origin = f"http://127.0.0.1:{port}"
        yield site
        for _ in range(site.open_streams):
            site.cut()
