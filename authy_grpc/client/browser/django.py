"""Django: the event stream of `<authy-enroll>` and `<authy-approval>`.

Their files come by `STATICFILES_DIRS = [authy_grpc.client.browser.path()]`.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse

from authy_grpc.client.browser import HEADERS, last_revision, sse


def events(
    request: HttpRequest,
    watch: Callable[[str, int, bool], Any],
    id: str,
    done: Callable[[Any], Any] | None = None,
) -> StreamingHttpResponse:
    """An event stream of a watcher: of a Client under WSGI, of an AsyncClient under ASGI.

    `return events(request, site.watch_enrollment, enrollment_id, keep)`

    Args:
        request: tells what the browser has seen.
        watch: `site.watch_enrollment` or `site.watch_approval`.
        id: what to watch, from the site's own record of this session and never from the address.
        done: see `sse`. It runs after the middleware: save the session by `request.session.save()`.
    """
    after = last_revision(request.headers.get("last-event-id"))
    lines = sse(watch(id, after, True), done)
    return StreamingHttpResponse(lines, content_type="text/event-stream", headers=HEADERS)
