"""Flask: the event stream of `<authy-enroll>` and `<authy-approval>`, and their files."""

from collections.abc import Callable, Generator
from typing import Any

from flask import Blueprint, Response, request, stream_with_context

from authy_grpc.client.browser import HEADERS, last_revision, path, sse


def events(
    watch: Callable[[str, int, bool], Generator[Any, None, None]],
    id: str,
    done: Callable[[Any], str | None] | None = None,
) -> Response:
    """An event stream of a watcher of a Client, in the present request.

    `return events(site.watch_enrollment, enrollment_id, keep)`. Each holds a thread of the server, or a
    greenlet of gevent's.

    Args:
        watch: `site.watch_enrollment` or `site.watch_approval`.
        id: what to watch, from the site's own record of this session and never from the address.
        done: see `sse`. The headers have gone by then: it cannot set a cookie, so `session` stays as it was.
    """
    after = last_revision(request.headers.get("last-event-id"))
    lines = stream_with_context(sse(watch(id, after, True), done))
    return Response(lines, mimetype="text/event-stream", headers=HEADERS)


def files(prefix: str = "/authy") -> Blueprint:
    """`authy-site.js` and `authy-site.css` below a prefix: `app.register_blueprint(files())`."""
    return Blueprint("authy", __name__, static_folder=path(), static_url_path=prefix)
