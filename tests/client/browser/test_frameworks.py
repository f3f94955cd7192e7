"""The helpers for Starlette, FastAPI, Django and Flask, each with the framework before a real server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import grpc
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from authy_grpc.client import AsyncClient, Client
from authy_grpc.client.browser import path
from authy_grpc.v1.enrollment_pb2 import Enrollment, WatchEnrollmentRequest, WatchEnrollmentResponse
from tests.client.browser.test_events import CANARY, enrollment, told
from tests.client.conftest import API_KEY, Serve
from tests.gateway.asking import serving
from tests.threads import PATIENCE, Event

SCRIPT = (path() / "authy-site.js").read_bytes()


class Watched:
    """A service with one enrollment: `scanned`, then `completed` once `go` is set, unless it is `quiet`."""

    def __init__(self) -> None:
        self.after: list[int] = []
        self.go = Event()
        self.left = Event()
        self.quiet = False

    def watch(self, request: WatchEnrollmentRequest, context: grpc.ServicerContext) -> Iterator[Any]:
        self.after.append(request.after_revision)
        context.add_callback(self.left.set)
        if request.after_revision < 2:
            yield WatchEnrollmentResponse(enrollment=enrollment(2, 2))
        if request.heartbeat:
            yield WatchEnrollmentResponse()
        while self.quiet and not self.left.wait(0.05):
            yield WatchEnrollmentResponse()
        self.go.wait()
        yield WatchEnrollmentResponse(enrollment=enrollment(4, 3))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def keep(state: Enrollment) -> str:
    assert state.authy_id
    return "/kept"


async def read(origin: str, watched: Watched, files: str) -> None:
    """Read the stream of a site to its end, then once more from where a browser was."""
    async with httpx.AsyncClient(timeout=PATIENCE) as browser:
        async with browser.stream("GET", f"{origin}/events") as answer:
            assert answer.headers["content-type"].split(";")[0] == "text/event-stream"
            assert answer.headers["cache-control"] == "no-store"
            heard: list[str] = []
            async for text in answer.aiter_text():
                heard.append(text)
                if "scanned" in text:
                    # It came while the stream goes on.
                    watched.go.set()
        assert told(heard) == [
            ("2", {"state": "scanned"}),
            ("3", {"state": "completed", "next": "/kept"}),
        ]
        assert CANARY not in "".join(heard)
        again = await browser.get(f"{origin}/events", headers={"Last-Event-ID": "2"})
        assert told([again.text]) == [("3", {"state": "completed", "next": "/kept"})]
        assert watched.after == [0, 2]
        if files:
            assert (await browser.get(f"{origin}{files}/authy-site.js")).content == SCRIPT


async def leave(origin: str, watched: Watched) -> None:
    """Leave a quiet stream: its watcher ends."""
    watched.quiet = True
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as browser,
        browser.stream("GET", f"{origin}/events") as answer,
    ):
        async for text in answer.aiter_text():
            if "scanned" in text:
                break
    await asyncio.to_thread(watched.left.wait)


@asynccontextmanager
async def wsgi(app: Any) -> AsyncIterator[str]:
    """The origin of a WSGI application, served by threads."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


@asynccontextmanager
async def starlette_site(target: str) -> AsyncIterator[str]:
    from authy_grpc.client.browser.starlette import Events, files

    async with AsyncClient(target, API_KEY) as site:

        async def stream(request: Request) -> Response:
            return Events(request, site.watch_enrollment, "enr_1", keep)

        routes = [Route("/events", stream), Mount("/authy", files())]
        async with serving(Starlette(routes=routes)) as port:
            yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def fastapi_site(target: str) -> AsyncIterator[str]:
    from fastapi import FastAPI
    from fastapi import Request as Asked

    from authy_grpc.client.browser.starlette import Events, files

    app = FastAPI()
    app.mount("/authy", files())
    async with AsyncClient(target, API_KEY) as site:

        @app.get("/events", response_class=Events)
        async def stream(request: Asked) -> Events:
            return Events(request, site.watch_enrollment, "enr_1", keep)

        # FastAPI describes what a route answers with.
        described = app.openapi()["paths"]["/events"]["get"]["responses"]["200"]
        assert list(described["content"]) == ["text/event-stream"]
        async with serving(app) as port:
            yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def flask_site(target: str) -> AsyncIterator[str]:
    from flask import Flask

    from authy_grpc.client.browser.flask import events, files

    app = Flask(__name__)
    app.register_blueprint(files("/authy"))
    with Client(target, API_KEY) as site:
        app.add_url_rule("/events", view_func=lambda: events(site.watch_enrollment, "enr_1", keep))
        async with wsgi(app) as origin:
            yield origin


def django_ready() -> None:
    """Django's settings, once a process."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", LOGGING_CONFIG=None)
        django.setup(set_prefix=False)


def django_urls(view: Callable[..., Any]) -> None:
    from django.conf import settings
    from django.urls import clear_url_caches
    from django.urls import path as url

    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [url("events", view)]})
    clear_url_caches()


@asynccontextmanager
async def django_site(target: str) -> AsyncIterator[str]:
    django_ready()
    from django.core.wsgi import WSGIHandler

    from authy_grpc.client.browser.django import events

    with Client(target, API_KEY) as site:
        django_urls(lambda request: events(request, site.watch_enrollment, "enr_1", keep))
        async with wsgi(WSGIHandler()) as origin:
            yield origin


@asynccontextmanager
async def django_async_site(target: str) -> AsyncIterator[str]:
    django_ready()
    from django.core.handlers.asgi import ASGIHandler

    from authy_grpc.client.browser.django import events

    async with AsyncClient(target, API_KEY) as site:

        async def view(request: Any) -> Any:
            return events(request, site.watch_enrollment, "enr_1", keep)

        django_urls(view)
        async with serving(ASGIHandler()) as port:
            yield f"http://127.0.0.1:{port}"


SITES = {
    "starlette": (starlette_site, "/authy"),
    "fastapi": (fastapi_site, "/authy"),
    "flask": (flask_site, "/authy"),
    "django": (django_site, ""),
    "django-async": (django_async_site, ""),
}


@pytest.mark.parametrize("name", SITES)
async def test_a_frameworks_stream_tells_and_resumes(serve: Serve, watched: Watched, name: str) -> None:
    site, files = SITES[name]
    async with site(serve(WatchEnrollment=watched.watch)) as origin:
        await read(origin, watched, files)


@pytest.mark.parametrize("name", SITES)
async def test_a_browser_that_goes_ends_the_watcher(serve: Serve, watched: Watched, name: str) -> None:
    site, _ = SITES[name]
    async with site(serve(WatchEnrollment=watched.watch)) as origin:
        await leave(origin, watched)
        watched.go.set()
