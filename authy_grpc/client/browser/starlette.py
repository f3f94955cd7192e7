"""Starlette and FastAPI: the event stream of `<authy-enroll>` and `<authy-approval>`, and their files."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from authy_grpc.client.browser import HEADERS, last_revision, path, sse


class Events(StreamingResponse):
    """An event stream of a watcher of an AsyncClient.

    `return Events(request, site.watch_enrollment, enrollment_id, keep)`

    Args:
        request: tells what the browser has seen.
        watch: `site.watch_enrollment` or `site.watch_approval`.
        id: what to watch, from the site's own record of this session and never from the address.
        done: see `sse`.
        status_code: of the answer. FastAPI describes a `response_class` by this and `media_type`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        request: Request,
        watch: Callable[[str, int], AsyncGenerator[Any, None]],
        id: str,
        done: Callable[[Any], Any] | None = None,
        status_code: int = 200,
    ) -> None:
        after = last_revision(request.headers.get("last-event-id"))
        self._lines = sse(watch(id, after), done)
        super().__init__(self._lines, status_code, HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream, and closes the watcher once the browser has gone."""
        async with aclosing(self._lines):
            await super().__call__(scope, receive, send)


def files() -> StaticFiles:
    """`authy-site.js` and `authy-site.css`: `app.mount("/authy", files())`."""
    return StaticFiles(directory=path())
